"""Regions that a dense captioner learns: boxes and phrases of a batch's photos.

A batch is a pure function of the seed and the iteration, as that of captions is. DenseCap's was one
picture, in the order of the file (DataLoader.lua); here `batch_size` and `shuffle` say.

Dimensions: B pictures of a batch, R regions of all of them, T words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from snakecap import device as devices
from snakecap.config.training import Stage
from snakecap.distributed.process_group import ProcessGroup
from snakecap.formats.captions import Captions
from snakecap.formats.pictures import Picture
from snakecap.inputs.batches import Batch, MicroBatch, Sampler, mirror, split
from snakecap.inputs.input import Draw
from snakecap.inputs.photos import PhotosInput
from snakecap.objects.boxes import fitted


@dataclass(frozen=True)
class RegionTargets:
    """The regions of a batch, those of a picture side by side, in the order of the pictures."""

    boxes: Tensor  # corners x1, y1, x2, y2 in pixels of the batch's images, (R, 4)
    words: Tensor  # ids, 0-padded on the right, (R, T)
    owners: Tensor  # each region's picture in the batch, (R,)

    def of(self, row: int) -> tuple[Tensor, Tensor]:
        """Boxes and words of one picture of the batch."""
        own = self.owners == row
        return self.boxes[own], self.words[own]


class DenseBatches:
    """Photos and their regions, for every iteration.

    Args:
        packed: the phrases, as `encode` packs those of `pictures`.
        pictures: what the step `regions` keeps, in the order of `packed`.
        photos: their pixels.

    Raises:
        ValueError: `packed` holds phrases of other regions than `pictures` has.
    """

    def __init__(
        self,
        packed: Captions,
        pictures: Sequence[Picture],
        photos: PhotosInput,
        stage: Stage,
        place: torch.device,
        processes: ProcessGroup = ProcessGroup(),
    ):
        _check(packed, pictures)
        self.sampler = Sampler(
            torch.from_numpy(packed.rows("train")),
            batch_size=stage.batch_size,
            seed=stage.seed,
            shuffle=stage.shuffle,
        )
        self.packed, self.photos, self.stage = packed, photos, stage
        self.place, self.processes = place, processes
        self.labels = torch.from_numpy(packed.labels)
        self.mirror = mirror(packed.words, stage.mirror_words)
        sizes = [(picture.width, picture.height) for picture in pictures]
        self.sizes = torch.tensor([fitted(*size, photos.size) for size in sizes])
        scales = self.sizes / torch.tensor(sizes)
        boxes = [region.box for picture in pictures for region in picture.regions]
        edges = torch.tensor(boxes).view(-1, 2, 2)
        corners = torch.stack([edges[:, 0], edges.sum(1)], 1)  # x1 y1, x2 y2
        counts = torch.from_numpy(packed.counts)
        self.boxes = (corners * scales.repeat_interleave(counts, 0)[:, None]).flatten(1)

    def __call__(self, iteration: int) -> list[MicroBatch[RegionTargets]]:
        """This process's parts of a batch; a picture counts as much as another."""
        rows, generator = self.sampler.batch(iteration)
        flip = torch.rand(len(rows), generator=generator) < 0.5 if self.stage.flip else None
        files = [self.packed.files[row] for row in rows.tolist()]
        parts = []
        for part, times in split(len(rows), self.stage.accumulate, self.processes):
            inputs = self.photos.read(files, Draw(generator, flip, part))
            targets = self.targets(rows[part], None if flip is None else flip[part])
            batch = Batch(rows[part], {self.photos.name: inputs}, targets)
            share = (part.stop - part.start) / len(rows) / times
            parts.append(MicroBatch(batch, share, len(rows)))
        return parts

    def targets(self, rows: Tensor, flip: Tensor | None = None) -> RegionTargets:
        """The regions of some pictures, as a batch; mirrored where a (B,) tensor is true."""
        spans = [range(self.packed.starts[row], self.packed.ends[row]) for row in rows.tolist()]
        chosen = torch.tensor([region for span in spans for region in span])
        owners = torch.arange(len(rows)).repeat_interleave(torch.tensor(list(map(len, spans))))
        boxes, words = self.boxes[chosen], self.labels[chosen]
        if flip is not None:
            mirrored = flip[owners, None]
            width = self.sizes[rows[owners], :1]
            moved = torch.cat([width - boxes[:, 2:3], boxes[:, 1:2], width - boxes[:, :1]], 1)
            boxes = torch.where(mirrored, torch.cat([moved, boxes[:, 3:]], 1), boxes)
            words = torch.where(mirrored, self.mirror[words], words)
        return RegionTargets(*(devices.send(one, self.place) for one in (boxes, words, owners)))


def _check(packed: Captions, pictures: Sequence[Picture]) -> None:
    """Each phrase that was packed must have its box at its place."""
    found = [(picture.file, len(picture.regions)) for picture in pictures]
    if found != list(zip(packed.files, packed.counts.tolist(), strict=True)):
        raise ValueError(
            "the packed captions are not the phrases of these regions: give `encode` the file that "
            "`snakecap regions` wrote"
        )
