"""The batches of a training stage: a pure function of the iteration.

Dimensions: B pictures, K captions a picture, T words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from snakecap.data.inputs import Inputs, Source
from snakecap.data.sampler import Sampler
from snakecap.data.sampling import choose
from snakecap.files.captions import Captions
from snakecap.settings import Stage

Batch = tuple[Inputs, Tensor, Tensor]


class Batches:
    """Inputs, captions and each caption's picture, for every iteration."""

    def __init__(self, packed: Captions, source: Source, stage: Stage, place: torch.device):
        """Prepare.

        Args:
            packed: all pictures' captions; those of the training split that have any are used.
            source: what the encoders read, by row.
            stage: batch size, captions a picture, seed, order, mirroring.
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
        self.mirror = mirror(packed.words, stage.mirror_words)

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
        flip = torch.rand(len(rows), generator=generator) < 0.5 if self.stage.flip else None
        inputs = self.source.augmented(rows, flip, generator)
        words = self.labels[chosen.flatten()]
        if flip is not None:
            words = torch.where(flip[owners].unsqueeze(1), self.mirror[words], words)
        return inputs, words.to(self.place), owners.to(self.place)


def mirror(words: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Tensor:
    """What each word id becomes in a mirrored picture's caption, of shape (V + 1,).

    Args:
        words: those of ids 1..V.
        pairs: words that change places; a pair of which one is not in the vocabulary stays.
    """
    ids = {word: number for number, word in enumerate(words, start=1)}
    table = torch.arange(len(words) + 1)
    for one, other in pairs:
        if one in ids and other in ids:
            table[ids[one]], table[ids[other]] = ids[other], ids[one]
    return table
