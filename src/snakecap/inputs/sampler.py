"""Which pictures each training step sees, and which of their captions: from seed and iteration.

Nothing has to be saved to resume, and no two epochs share an order. NeuralTalk2's loader wrapped
its last batch around to the first pictures; here an epoch sees every picture once.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


class Sampler:
    """Batches of rows, by iteration."""

    def __init__(self, rows: Tensor, *, batch_size: int, seed: int, shuffle: bool = True):
        """Prepare.

        Args:
            rows: the pictures of the split, of shape (N,).
            batch_size: pictures a step; the last batch of an epoch may be smaller.
            seed: of the orders.
            shuffle: false keeps the order of `rows`, as NeuralTalk2 did.

        Raises:
            ValueError: no rows.
        """
        if not len(rows):
            raise ValueError("the training split holds no pictures")
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self._order = lru_cache(maxsize=2)(self._make_order)

    @property
    def epoch_length(self) -> int:
        """Iterations an epoch."""
        return -(-len(self.rows) // self.batch_size)

    def _make_order(self, epoch: int) -> Tensor:
        if not self.shuffle:
            return self.rows
        generator = seeded(self.seed, epoch, 0)
        return self.rows[torch.randperm(len(self.rows), generator=generator)]

    def batch(self, iteration: int) -> tuple[Tensor, torch.Generator]:
        """The rows of an iteration (from 0), and the generator of its random choices."""
        epoch, place = divmod(iteration, self.epoch_length)
        start = place * self.batch_size
        rows = self._order(epoch)[start : start + self.batch_size]
        return rows, seeded(self.seed, iteration, 1)


def seeded(seed: int, number: int, stream: int) -> torch.Generator:
    """A generator for one number of one stream; neighbours are independent."""
    # torch's CPU generator uses 32 bits of its seed, so the three numbers are hashed into them.
    state = np.random.SeedSequence((stream, number, seed % 2**63)).generate_state(1)
    return torch.Generator().manual_seed(int(state[0]))


def choose(
    starts: Tensor, counts: Tensor, per_picture: int, generator: torch.Generator | None = None
) -> Tensor:
    """Rows of captions: a contiguous chunk at a random place, or draws with replacement.

    Source: NeuralTalk2's DataLoader.lua.

    A picture with at least `per_picture` captions gives that many neighbours, every first one
    equally likely; another gives independent draws from all it has.

    Args:
        starts: first row of each picture's captions, of shape (N,), integers on the CPU.
        counts: captions of each picture, of shape (N,), at least 1.
        per_picture: captions wanted of each, at least 1.
        generator: of the random numbers; the same state gives the same rows.

    Returns:
        Rows of shape (N, per_picture), int64.

    Raises:
        ValueError: a picture has no captions.
    """
    if len(counts) and int(counts.min()) < 1:
        row = int(counts.argmin())
        raise ValueError(f"picture {row} of {len(counts)} has no captions to choose from")
    # float64: a float32 product could round up to the upper end.
    uniform = torch.rand(len(starts), per_picture, generator=generator, dtype=torch.float64)
    count = counts.unsqueeze(1)
    drawn = (uniform * count).long()
    chunk = (uniform[:, :1] * (count - per_picture + 1)).long() + torch.arange(per_picture)
    return starts.unsqueeze(1) + torch.where(count < per_picture, drawn, chunk)
