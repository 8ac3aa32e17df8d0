"""Signals that ask a job to end: it saves what it can, and its exit code says that it goes on.

SIGTERM comes with scancel, preemption and shutdowns; SIGUSR1 is what SLURM sends before a time
limit (``--signal``); SIGINT is Ctrl-C. They end a job at once, wherever it is, for what its files
hold is whole and the next run takes it up; training ends after its step, with a checkpoint.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Iterator

logger = logging.getLogger("snakecap")  # not from `log`: signals are handled before its imports
# 75 is EX_TEMPFAIL of sysexits.h, "try again"; 130 is what shells give for Ctrl-C.
CODES = {signal.SIGTERM: 75, signal.SIGUSR1: 75, signal.SIGINT: 130}
TOGETHER = 5.0  # seconds


class Interrupted(SystemExit):
    """A signal ended the job; the exit code is that of `CODES`."""

    def __init__(self, number: int):
        super().__init__(CODES[signal.Signals(number)])
        self.name = signal.Signals(number).name


class _State:
    """Of the main thread, which receives all signals."""

    received: int | None = None
    raised = -math.inf  # when
    postponed = False
    resumable = False


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Turn the signals into `Interrupted` while a command runs, and say so in its log."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread handle signals
        return
    # Of several processes of a job rank 0 saves and ends; the others live until it has.
    follows = os.environ.get("RANK", "0") != "0"
    handler = _note if follows else _receive
    before = {number: signal.signal(number, handler) for number in CODES}
    try:
        yield
    except BaseException as error:
        # Also what a library made of the exception, when it was raised in the middle of it.
        if _State.received is None or isinstance(error, KeyboardInterrupt):
            raise
        ended = error if isinstance(error, Interrupted) else Interrupted(_State.received)
        if not follows:
            advice = ": run again; what was saved is kept" if _State.resumable else ""
            logger.warning("ended by %s%s", ended.name, advice)
        raise ended from None
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)
        _State.received, _State.raised, _State.resumable = None, -math.inf, False


def resumable() -> None:
    """Say, if a signal ends this command, that the next run goes on from what was saved."""
    _State.resumable = True


def _note(number: int, _: object) -> None:
    """What follows when rank 0 is gone comes of this signal, not of a mistake."""
    _State.received = _State.received or number


def _receive(number: int, _: object) -> None:
    _State.received = _State.received or number
    now = time.monotonic()
    # Signals that come together are one: the second must not break off the cleaning up.
    if not _State.postponed and now - _State.raised > TOGETHER:
        _State.raised = now
        raise Interrupted(_State.received)


def came() -> bool:
    """Whether a signal waits for the end of a `postponed` block."""
    return _State.received is not None


def end() -> None:
    """Raise `Interrupted` if a signal came."""
    if _State.received is not None:
        raise Interrupted(_State.received)


@contextlib.contextmanager
def postponed(wanted: bool = True) -> Iterator[None]:
    """A block that signals do not break off: it looks at `came`, saves, and calls `end`.

    Without `wanted`, a part of such a block that they do break off.
    """
    before, _State.postponed = _State.postponed, wanted
    try:
        if not wanted:
            end()
        yield
    finally:
        _State.postponed = before
