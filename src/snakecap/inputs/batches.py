"""The batches of a training stage: a pure function of the seed and the iteration.

So nothing has to be saved to resume, and no two epochs share an order. NeuralTalk2's loader wrapped
its last batch around to the first pictures; here an epoch sees every picture once.

A batch may come in parts: one for each process, and several one after the other where memory is
short. What is drawn does not depend on them, and each part knows its share of the loss.

Dimensions: B pictures, K captions a picture, C captions, T words, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from snakecap import device as devices
from snakecap.config.training import Stage
from snakecap.distributed.process_group import ProcessGroup
from snakecap.formats.captions import Captions
from snakecap.inputs.input import Draw, Input, Inputs

Targets = TypeVar("Targets")


@dataclass(frozen=True)
class Batch(Generic[Targets]):
    """What a loss reads."""

    rows: Tensor  # the pictures' numbers in the data set, (B,), on the CPU
    inputs: Inputs
    targets: Targets


@dataclass(frozen=True)
class CaptionTargets:
    """Captions of a batch.

    The words are on the CPU: nothing has to wait for a GPU to know what there is to predict.
    """

    words: Tensor  # ids, 0-padded on the right, (C, T)
    owners: Tensor  # each caption's picture in the batch, (C,)
    flipped: Tensor | None = None  # which pictures are mirrored, (B,), on the CPU; None: none


@dataclass(frozen=True)
class MicroBatch(Generic[Targets]):
    """A part of a step's batch, computed by itself."""

    batch: Batch[Targets]
    share: float  # its weight; those of all parts of a step, of all processes, sum to 1
    whole: int  # captions, or whatever is counted, of the whole step


class Sampler:
    """Which pictures each iteration sees.

    Args:
        rows: the pictures of the split, of shape (N,).
        batch_size: pictures a step; the last batch of an epoch may be smaller.
        shuffle: false keeps the order of `rows`, as NeuralTalk2 did.

    Raises:
        ValueError: no rows.
    """

    def __init__(self, rows: Tensor, *, batch_size: int, seed: int, shuffle: bool = True):
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


class CaptionBatches:
    """Pictures and their captions, for every iteration.

    Args:
        packed: all pictures' captions; those of the training split that have any are used.
    """

    def __init__(
        self,
        packed: Captions,
        inputs: Mapping[str, Input],
        stage: Stage,
        place: torch.device,
        processes: ProcessGroup = ProcessGroup(),
    ):
        rows = packed.rows("train")
        self.sampler = Sampler(
            torch.from_numpy(rows[packed.counts[rows] > 0]),
            batch_size=stage.batch_size,
            seed=stage.seed,
            shuffle=stage.shuffle,
        )
        self.packed, self.inputs, self.stage = packed, inputs, stage
        self.place, self.processes = place, processes
        self.labels = torch.from_numpy(packed.labels)
        self.starts = torch.from_numpy(packed.starts)
        self.counts = torch.from_numpy(packed.counts)
        self.mirror = mirror(packed.words, stage.mirror_words)

    def __call__(self, iteration: int) -> list[MicroBatch[CaptionTargets]]:
        """This process's parts of a batch of B pictures, each with its share of all the tokens."""
        rows, generator = self.sampler.batch(iteration)
        each = self.stage.captions_per_picture
        chosen = choose(self.starts[rows], self.counts[rows], each, generator)
        flip = torch.rand(len(rows), generator=generator) < 0.5 if self.stage.flip else None
        words = self.labels[chosen]  # (B, K, T)
        if flip is not None:
            words = torch.where(flip.view(-1, 1, 1), self.mirror[words], words)
        tokens = (words != 0).sum((1, 2)) + each  # of each picture; every caption has an END
        state = generator.get_state()
        parts = []
        for part, times in split(len(rows), self.stage.accumulate, self.processes):
            generator.set_state(state)  # every part is augmented by the whole batch's draws
            inputs = self._read(rows, self._draw(generator, flip, part))
            own = words[part].flatten(0, 1)  # (C, T)
            owners = torch.arange(len(own)) // each
            flipped = None if flip is None else flip[part]
            targets = CaptionTargets(own, devices.send(owners, self.place), flipped)
            share = int(tokens[part].sum()) / int(tokens.sum()) / times
            parts.append(MicroBatch(Batch(rows[part], inputs, targets), share, len(rows) * each))
        return parts

    def _draw(self, generator: torch.Generator, flip: Tensor | None, part: slice) -> Draw:
        stage = self.stage
        return Draw(
            generator, flip, part, stage.random_crop, stage.object_dropout, stage.box_jitter
        )

    def _read(self, rows: Tensor, draw: Draw) -> Inputs:
        files = [self.packed.files[row] for row in rows.tolist()]
        return {name: one.read(files, draw) for name, one in self.inputs.items()}


def split(number: int, accumulate: int, processes: ProcessGroup) -> list[tuple[slice, int]]:
    """This process's slices of a batch, and by how many processes each of them is computed.

    All slices together cover the batch once. A batch of fewer pictures than processes is computed
    by each of them: one that had nothing to do would be missed where batch norms exchange their
    statistics.

    Args:
        accumulate: slices of a process, worked through one after the other.
    """
    rank, size = (processes.rank, processes.size) if number >= processes.size else (0, 1)
    bounds = [number * place // size for place in range(size + 1)]
    start, end = bounds[rank], bounds[rank + 1]
    parts = min(accumulate, number // size)  # as many for each: batch norms meet once a part
    inner = [start + (end - start) * place // parts for place in range(parts + 1)]
    return [(slice(*pair), processes.size // size) for pair in pairwise(inner)]


def mirror(words: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Tensor:
    """What each word id becomes in a mirrored picture's caption, of shape (V + 1,).

    A pair of which one is not in the vocabulary (ids 1..V) stays.
    """
    ids = {word: number for number, word in enumerate(words, start=1)}
    table = torch.arange(len(words) + 1)
    for one, other in pairs:
        if one in ids and other in ids:
            table[ids[one]], table[ids[other]] = ids[other], ids[one]
    return table


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

    Returns:
        Of shape (N, per_picture), int64.

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
