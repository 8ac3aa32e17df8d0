"""How long a run has trained."""

from __future__ import annotations

import time

from snakecap.training.checkpoints import History


class Timer:
    """Seconds of training, without validation, and seconds since the last checkpoint."""

    def __init__(self, history: History):
        self.history = history
        self.mark = self.checkpoint = time.perf_counter()

    def update(self) -> None:
        """Count the time until now as training."""
        now = time.perf_counter()
        self.history.seconds += now - self.mark
        self.mark = now

    def skip(self) -> None:
        """Do not count the time until now."""
        self.mark = time.perf_counter()

    def since_checkpoint(self) -> float:
        """Seconds."""
        return time.perf_counter() - self.checkpoint

    def saved(self) -> None:
        """A checkpoint was saved now; what that took is not counted."""
        self.checkpoint = self.mark = time.perf_counter()
