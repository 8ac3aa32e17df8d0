"""Progress for people and for log files."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
logger = logging.getLogger("snakecap")


def setup(level: int = logging.INFO) -> None:
    """Send the library's messages to standard error, one plain line each."""
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s", stream=sys.stderr)
    logger.setLevel(logging.WARNING if _follows() else level)


def _follows() -> bool:
    """Whether this is one of several processes of a job, and not the one of rank 0."""
    return os.environ.get("RANK", "0") != "0"


def progress(
    items: Iterable[Item],
    *,
    title: str,
    total: int | None = None,
    unit: str = "it",
    initial: int = 0,
) -> Iterator[Item]:
    """Iterate with a progress bar on a terminal and a plain line every ten seconds elsewhere."""
    yield from bar(items, title=title, total=total, unit=unit, initial=initial)


def bar(
    items: Iterable[Any] | None = None,
    *,
    title: str,
    total: int | None = None,
    unit: str = "it",
    initial: int = 0,
) -> tqdm[Any]:
    """The bar itself, for loops that set a postfix or update by more than one."""
    terminal = sys.stderr.isatty()
    return tqdm(
        items,
        desc=title,
        total=total,
        unit=unit,
        initial=initial,
        disable=_follows(),
        smoothing=0.1,
        mininterval=0.2 if terminal else 10.0,
        # In a log file every redraw is its own line.
        file=sys.stderr if terminal else _Lines(),
        dynamic_ncols=terminal,
    )


class _Lines:
    """A text stream that turns the bar's carriage returns into lines."""

    def write(self, text: str) -> None:
        line = text.strip("\r\n ")
        if line:
            with contextlib.suppress(OSError):  # a full disk or a closed pipe: work goes on
                sys.stderr.write(line + "\n")

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
