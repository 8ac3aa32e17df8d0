"""What an encoder reads, for the rows of a batch: cached features or pixels.

Dimensions: B pictures of a batch, N of the data set, F features, S side.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Inputs = dict[str, Tensor]
Result = TypeVar("Result")


class CachedFeatures:
    """Pooled features in memory, and those of the mirrored pictures when there are any."""

    def __init__(self, plain: Tensor, mirrored: Tensor | None = None):
        """Keep features.

        Args:
            plain: of shape (N, F), on the device that computes.
            mirrored: of the mirrored pictures, of shape (N, F).
        """
        self.plain = plain
        self.mirrored = mirrored

    def plainly(self, rows: Tensor) -> Inputs:
        """Features of some rows, not augmented."""
        return {"pooled": self.plain[rows.to(self.plain.device)]}

    def augmented(self, rows: Tensor, generator: torch.Generator) -> Inputs:
        """Features of some rows, each mirrored at random when that is possible."""
        inputs = self.plainly(rows)
        if self.mirrored is not None:
            device = self.plain.device
            flip = torch.rand(len(rows), generator=generator).to(device) < 0.5
            other = self.mirrored[rows.to(device)]
            inputs["pooled"] = torch.where(flip.unsqueeze(1), other, inputs["pooled"])
        return inputs


class Pixels:
    """Pictures read when they are needed."""

    def __init__(
        self,
        read: Callable[[Any], Any],
        device: torch.device,
        *,
        flip: bool = False,
        margin: int = 0,
    ):
        """Prepare.

        Args:
            read: rows to uint8 pictures of shape (B, 3, S, S), as an array.
            device: where they go.
            flip: mirror at random when augmenting.
            margin: S minus the crop; random crops start in 0..margin, both ways. 0: centre crops.
        """
        self.read = read
        self.device = device
        self.flip = flip
        self.margin = margin

    def plainly(self, rows: Tensor) -> Inputs:
        """Pictures of some rows, to be cropped at the centre."""
        images = torch.from_numpy(self.read(rows.numpy()))
        return {"images": images.to(self.device, non_blocking=True)}

    def augmented(self, rows: Tensor, generator: torch.Generator) -> Inputs:
        """Pictures of some rows, with each one's crop offset and mirroring."""
        inputs = self.plainly(rows)
        if self.margin:
            offset = torch.randint(self.margin + 1, (len(rows), 2), generator=generator)
            inputs["offset"] = offset.to(self.device)
        if self.flip:
            inputs["flip"] = (torch.rand(len(rows), generator=generator) < 0.5).to(self.device)
        return inputs


class Ahead(Generic[Result]):
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
