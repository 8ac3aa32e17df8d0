"""Which pictures each training step sees: a pure function of seed and iteration.

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
