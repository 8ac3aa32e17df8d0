"""Snakemake's own process: what it leaves when it is killed, and a signal that is not for it.

Snakemake marks the files of a running workflow in ``.snakemake/locks``, by names alone. After
``kill -9`` or a power cut the mark stays, and every later run refuses until somebody says
``--unlock``. So each controller holds a lock of the kernel's too, which ends with it however it
ends: who can have that one alone knows that the others are dead, and takes their mark away.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import re
import signal
import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from snakecap.log import logger
from snakecap.provenance import sidecar
from snakecap.provenance.code import SOURCE

FAILED = re.compile(r"^    log: (.+) \(check log file", re.MULTILINE)  # of Snakemake's own log
REASON = re.compile(r"[\w-]+: error: ")  # of a step's
UNKNOWN = "?"  # whose the lock of a folder is that no controller of ours marked
_alive: list[IO[str]] = []  # open as long as this process lives


def attend(workflow: Any) -> None:
    """Begin a run of Snakemake; its Snakefile calls this, in the controller and in jobs."""
    # SLURM sends it to all processes of a job before the time limit: the step saves and ends.
    signal.signal(signal.SIGUSR1, lambda *_: None)
    if workflow.is_main_process:
        with contextlib.suppress(PermissionError):  # a look at somebody else's results
            begin(Path(".snakemake").absolute())
    sidecar.remember_in(Path(".snakemake/snakecap_contents.json").absolute())


def look_after(results: Path) -> None:
    """What the controller does to results before it compares them, and when it ends."""
    sidecar.restore_times(results)
    if "--delete-all-output" in sys.argv:  # which knows nothing of records
        atexit.register(sidecar.remove_orphans, results)
    if {"--touch", "-t"} & {*sys.argv}:
        atexit.register(sidecar.accept_times, results)


def begin(folder: Path) -> None:
    """Mark a controller as alive, and remove the lock that dead ones left on this machine.

    Controllers with different targets run beside each other: they share the kernel's lock. One on
    another machine is never taken for dead, since not every file system shares locks.

    Args:
        folder: Snakemake's ``.snakemake``.
    """
    folder.mkdir(exist_ok=True)
    mark = (folder / "controllers").open("a+", encoding="utf-8")
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass  # another one lives
    except OSError as error:  # no locks in this file system: Snakemake's own must do
        logger.warning("%s: %s; after kill -9, say snakemake --unlock", mark.name, error)
        mark.close()
        return
    else:
        mark.seek(0)
        hosts = set(mark.read().split()) or {UNKNOWN}
        if _bury(folder, hosts):
            mark.truncate(0)
        elif hosts == {UNKNOWN}:
            mark.write(f"{UNKNOWN}\n")  # so that the next start does not take it for ours
    fcntl.flock(mark, fcntl.LOCK_SH)
    mark.write(socket.gethostname() + "\n")
    mark.flush()
    _alive.append(mark)


def reasons(logs: Iterable[Path]) -> Iterator[str]:
    """Why jobs failed, as their logs end: Snakemake's dump of their commands buries it."""
    texts = [log.read_text(encoding="utf-8", errors="replace") for log in logs]
    for name in dict.fromkeys(name for text in texts for name in FAILED.findall(text)):
        if Path(name).is_file():
            lines = Path(name).read_text(encoding="utf-8", errors="replace").splitlines()
            starts = [at for at, line in enumerate(lines) if REASON.match(line)]
            yield from lines[starts[-1] if starts else -1 :]
            yield f"  ({name})"


def forced(workflow: Any) -> list[Path]:
    """The first outputs of jobs that somebody wants to be computed again (-R, -f or -F).

    Not those that a killed run left incomplete, which Snakemake forces by itself.
    """
    asked, dag = workflow.dag_settings, workflow.dag
    named = {*asked.forcerun, *(asked.targets if asked.forcetargets else ())}
    files = {Path(name).absolute() for name in named}
    return [
        Path(job.output[0])
        for job in dag.needrun_jobs()
        if job.output
        and (job.rule in dag.forcerules or files & {Path(name).absolute() for name in job.output})
    ]


def _bury(folder: Path, hosts: set[str]) -> bool:
    """Remove Snakemake's lock after the last controllers, which ran on `hosts`, died.

    Returns:
        Whether there is none now, so that `hosts` may be forgotten.
    """
    if not list((folder / "locks").glob("*.lock")):
        return True
    if hosts == {socket.gethostname()}:
        from snakemake.persistence.file import FilePersistence

        FilePersistence(path=folder).cleanup_locks()
        logger.warning("removed the lock that a killed snakemake left in %s", folder)
        return True
    if hosts != {UNKNOWN}:
        logger.warning("%s was locked on %s; is it dead there?", folder, ", ".join(sorted(hosts)))
    return False


def put_interpreter_first() -> None:
    """Make ``python`` in a job's command mean this interpreter, and ``snakecap`` this source.

    An absolute path in the command would be tracked, and a moved environment rerun everything.
    """
    for variable, folder in (("PATH", Path(sys.executable).parent), ("PYTHONPATH", SOURCE)):
        entries = [entry for entry in os.environ.get(variable, "").split(os.pathsep) if entry]
        if entries[:1] != [str(folder)]:
            os.environ[variable] = os.pathsep.join([str(folder), *entries])
