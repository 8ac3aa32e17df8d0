"""The batches of a training stage: a pure function of the iteration.

A batch may come in parts: one for each process, and several one after the other where
memory is short. What is drawn does not depend on them, and each part knows its share of the loss.

Dimensions: B pictures, K captions a picture, T words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from snakecap.config.settings import Stage
from snakecap.distributed.process_group import ProcessGroup
from snakecap.formats.captions import Captions
from snakecap.inputs.inputs import Inputs, Source
from snakecap.inputs.sampler import Sampler
from snakecap.inputs.sampling import choose
from snakecap.training.lesson import Part

Batch = tuple[Inputs, Tensor, Tensor]


class Batches:
    """Inputs, captions and each caption's picture, for every iteration."""

    def __init__(
        self,
        packed: Captions,
        source: Source,
        stage: Stage,
        place: torch.device,
        processes: ProcessGroup = ProcessGroup(),
    ):
        """Prepare.

        Args:
            packed: all pictures' captions; those of the training split that have any are used.
            source: what the encoders read, by row.
            stage: batch size, parts, captions a picture, seed, order, mirroring.
            place: device of the batches.
            processes: make a batch together.

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
        self.processes = processes
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

    def __call__(self, iteration: int) -> list[Part[Batch]]:
        """This member's parts of a batch of B pictures, each with its share of all the tokens.

        A part of b pictures has their inputs, words of shape (b * K, T), which stay on the CPU (see
        `caption_loss`), and owners of shape (b * K,).
        """
        rows, generator = self.sampler.batch(iteration)
        each = self.stage.captions_per_picture
        chosen = choose(self.starts[rows], self.counts[rows], each, generator)
        flip = torch.rand(len(rows), generator=generator) < 0.5 if self.stage.flip else None
        words = self.labels[chosen]
        if flip is not None:
            words = torch.where(flip.view(-1, 1, 1), self.mirror[words], words)
        tokens = (words != 0).sum((1, 2)) + each  # of each picture; every caption has an END
        state = generator.get_state()
        parts = []
        for part, times in split(len(rows), self.stage.accumulate, self.processes):
            generator.set_state(state)  # every part is augmented by the whole batch's draws
            inputs = self.source.augmented(rows, flip, generator, part)
            own = words[part].flatten(0, 1)
            owners = torch.arange(len(own)) // each
            share = int(tokens[part].sum()) / int(tokens.sum()) / times
            batch = inputs, own, owners.to(self.place, non_blocking=True)
            parts.append(Part(batch, share, words.shape[0] * each))
        return parts


def split(number: int, accumulate: int, processes: ProcessGroup) -> list[tuple[slice, int]]:
    """This member's slices of a batch, and by how many members each of them is computed.

    All members' slices cover the batch once. A batch of fewer pictures than members is computed by
    each of them: a member that had nothing to do would be missed where batch norms exchange
    their statistics.

    Args:
        number: pictures of the batch.
        accumulate: slices that a member works through, one after the other.
        processes: all of them.
    """
    rank, size = (processes.rank, processes.size) if number >= processes.size else (0, 1)
    bounds = [number * place // size for place in range(size + 1)]
    start, end = bounds[rank], bounds[rank + 1]
    parts = min(accumulate, number // size)  # as many for each: batch norms meet once a part
    inner = [start + (end - start) * place // parts for place in range(parts + 1)]
    return [(slice(*pair), processes.size // size) for pair in pairwise(inner)]


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
