"""Signals for a job, which SLURM gives to the first process of the job's step alone.

That is Snakemake, when SLURM tracks processes by cgroups, as most clusters do (proctrack/cgroup: it
sends all others SIGKILL alone). So Snakemake passes the warning before a time limit
(SIGUSR1) and that of preemption (SIGTERM) on to the command that it runs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path

POLL = 0.5  # seconds between two looks for a command
PASSED_ON = (signal.SIGTERM, signal.SIGUSR1)


def start() -> None:
    """Begin to pass signals on, when this process is in a step of SLURM's; else do nothing.

    Snakemake keeps its own handler of SIGTERM, which waits for the job: this only listens.
    """
    if "SLURM_STEP_ID" not in os.environ:
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.signal(signal.SIGUSR1, lambda *_: None)  # by default it would end Snakemake
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(reader, writer), daemon=True).start()


def _listen(reader: socket.socket, _writer: socket.socket) -> None:
    """Read the numbers of signals for ever; `_writer` must not be closed meanwhile."""
    while number := reader.recv(1):
        if number[0] in PASSED_ON:
            while not pass_on(number[0]):  # it came before the command was started
                time.sleep(POLL)


def pass_on(number: int) -> int:
    """Signal the commands of the shells that this process started; returns how many there are."""
    return tell(children(children()), number)


def tell(processes: Iterable[int], number: int) -> int:
    """Signal some processes; returns how many there are."""
    found = list(processes)
    for process in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
    return len(found)


def children(parents: Iterable[int] | None = None) -> set[int]:
    """The processes that some processes (None: this one) started and that still run."""
    mine = {os.getpid()} if parents is None else set(parents)
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended
            # "pid (name) state parent ...", and the name may hold anything
            if int(path.read_text(errors="replace").rpartition(")")[2].split()[1]) in mine:
                found.add(int(path.parent.name))
    return found
