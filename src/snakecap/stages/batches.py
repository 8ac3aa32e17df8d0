"""The batches of a training stage: a pure function of the iteration.

Dimensions: B pictures, K captions a picture, T words.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from snakecap.data.inputs import CachedFeatures, Inputs, Pixels
from snakecap.data.sampler import Sampler
from snakecap.data.sampling import choose
from snakecap.files.captions import Captions
from snakecap.settings import Stage

Source = CachedFeatures | Pixels
Batch = tuple[Inputs, Tensor, Tensor]


class Batches:
    """Inputs, captions and each caption's picture, for every iteration."""

    def __init__(self, packed: Captions, source: Source | None, stage: Stage, place: torch.device):
        """Prepare.

        Args:
            packed: all pictures' captions; those of the training split that have any are used.
            source: what the encoders read, by row; None: they read nothing.
            stage: batch size, captions a picture, seed, order.
            place: device of the batches.

        Raises:
            ValueError: the training split has no captioned pictures.
        """
        rows = packed.rows("train")
        self.sampler = Sampler(
            torch.from_numpy(rows[packed.counts[rows] > 0]),
            batch_size=stage.batch_size,
            seed=stage.seed,
            shuffle=stage.shuffle,
        )
        self.source = source
        self.stage = stage
        self.place = place
        self.labels = torch.from_numpy(packed.labels)
        self.starts = torch.from_numpy(packed.starts)
        self.counts = torch.from_numpy(packed.counts)

    @property
    def iterations(self) -> int:
        """How many the stage has: its epochs, or fewer when it says so."""
        epochs = self.stage.epochs
        by_epochs = math.inf if epochs is None else round(epochs * self.sampler.epoch_length)
        return max(1, int(min(by_epochs, self.stage.max_iterations or math.inf)))

    def __call__(self, iteration: int) -> Batch:
        """Inputs of B pictures, words of shape (B * K, T), owners of shape (B * K,)."""
        rows, generator = self.sampler.batch(iteration)
        each = self.stage.captions_per_picture
        chosen = choose(self.starts[rows], self.counts[rows], each, generator)
        owners = torch.arange(len(rows)).repeat_interleave(each)
        inputs = self.source.augmented(rows, generator) if self.source else {}
        words = self.labels[chosen.flatten()]
        return inputs, words.to(self.place), owners.to(self.place)
