"""Input while the model computes: the next batch is made in a thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Prefetch(Generic[Result]):
    """Computes the next batch in a thread while this one is used.

    The batches must be a pure function of the iteration.
    """

    def __init__(self, make: Callable[[int], Result], end: int):
        self.make = make
        self.end = end
        self.pool = ThreadPoolExecutor(1)
        self.pending: dict[int, Future[Result]] = {}

    def __call__(self, iteration: int) -> Result:
        """The batch of an iteration; the one after it starts being made."""
        future = self.pending.pop(iteration, None) or self.pool.submit(self.make, iteration)
        if iteration + 1 < self.end:
            self.pending[iteration + 1] = self.pool.submit(self.make, iteration + 1)
        return future.result()

    def close(self) -> None:
        """Stop the thread."""
        self.pool.shutdown(cancel_futures=True)
