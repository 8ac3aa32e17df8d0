"""Medians of things run by turns, so that a busy machine slows them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def alternate(
    runs: Mapping[str, Callable[[], object]], rounds: int, *, processor: bool = False
) -> dict[str, float]:
    """Median seconds of each, after one round that is not counted.

    With `processor`, seconds of its processors: for a busy machine, and then on one thread, since
    threads that wait for each other count too.
    """
    clock = time.process_time if processor else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(rounds + 1):
        for name, run in runs.items():
            start = clock()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if round_:
                seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}
