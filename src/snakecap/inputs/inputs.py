"""What encoders read, for the rows of a batch: cached features, pixels, layouts.

Every source gives what it has by name, plainly or augmented. One draw says which pictures of a
batch are mirrored, so that all sources show the same side.

Dimensions: B pictures of a batch, N of the data set, F features, S side, R objects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

Inputs = dict[str, Tensor]
ALL = slice(None)


class Source(Protocol):
    """Inputs of an encoder, by row."""

    def plainly(self, rows: Tensor) -> Inputs:
        """Inputs of some rows (B,), not augmented."""

    def augmented(
        self, rows: Tensor, flip: Tensor | None, generator: torch.Generator, part: slice = ALL
    ) -> Inputs:
        """Inputs of some rows (B,), mirrored where `flip` (B,) is true; None: nowhere.

        Only those of `part` are made, by the draws that the whole batch gives them.
        """


class Together:
    """Several sources as one; none at all is a source too."""

    def __init__(self, sources: Sequence[Source]):
        self.sources = sources

    def plainly(self, rows: Tensor) -> Inputs:
        """All sources' inputs, not augmented."""
        return {k: v for source in self.sources for k, v in source.plainly(rows).items()}

    def augmented(
        self, rows: Tensor, flip: Tensor | None, generator: torch.Generator, part: slice = ALL
    ) -> Inputs:
        """All sources' inputs, augmented."""
        found = [source.augmented(rows, flip, generator, part) for source in self.sources]
        return {k: v for inputs in found for k, v in inputs.items()}


class Rows(Protocol):
    """A table by rows: a tensor, or what reads each batch from a file."""

    device: torch.device  # of the numbers of the rows

    def __getitem__(self, rows: Tensor) -> Tensor:
        """The values of some rows (B,), where they are computed with."""


class OnDisk:
    """Features that are read when they are wanted: of a data set that memory cannot hold."""

    device = torch.device("cpu")

    def __init__(self, read: Callable[[Any], Any], place: torch.device):
        """Prepare.

        Args:
            read: numbers of rows to their values, both as arrays.
            place: device of the values.
        """
        self.read = read
        self.place = place

    def __getitem__(self, rows: Tensor) -> Tensor:
        """The values of some rows (B,)."""
        return torch.from_numpy(self.read(rows.numpy())).to(self.place, non_blocking=True)


class CachedFeatures:
    """A backbone's features, and those of the mirrored pictures when there are any."""

    def __init__(self, values: Rows, *, mirrored: int = 0, output: str = "pooled"):
        """Prepare.

        Args:
            values: rows of shape (F,), or (R, F) of grids; the device that computes gets them.
            mirrored: the row of the first picture's mirror image, after all pictures' own; 0: there
                are no mirror images.
            output: which of a backbone's outputs they are; the encoder asks for it by that name.
        """
        self.values = values
        self.mirrored = mirrored
        self.output = output

    def plainly(self, rows: Tensor) -> Inputs:
        """Features of some rows, not augmented."""
        return {self.output: self.values[rows.to(self.values.device, non_blocking=True)]}

    def augmented(
        self, rows: Tensor, flip: Tensor | None, generator: torch.Generator, part: slice = ALL
    ) -> Inputs:
        """Features of some rows; mirrored ones where wanted and possible."""
        rows = rows[part]
        return self.plainly(rows if flip is None else rows + self.mirrored * flip[part])


class Pixels:
    """Pictures read when they are needed."""

    def __init__(self, read: Callable[[Any], Any], device: torch.device, *, margin: int = 0):
        """Prepare.

        Args:
            read: rows to uint8 pictures of shape (B, 3, S, S), as an array.
            device: where they go.
            margin: S minus the crop; random crops start in 0..margin, both ways. 0: centre crops.
        """
        self.read = read
        self.device = device
        self.margin = margin

    def plainly(self, rows: Tensor) -> Inputs:
        """Pictures of some rows, to be cropped at the centre."""
        images = torch.from_numpy(self.read(rows.numpy()))
        return {"images": images.to(self.device, non_blocking=True)}

    def augmented(
        self, rows: Tensor, flip: Tensor | None, generator: torch.Generator, part: slice = ALL
    ) -> Inputs:
        """Pictures of some rows, with each one's crop offset and mirroring."""
        inputs = self.plainly(rows[part])
        if self.margin:
            offset = torch.randint(self.margin + 1, (len(rows), 2), generator=generator)
            inputs["offset"] = offset[part].to(self.device, non_blocking=True)
        if flip is not None:
            inputs["flip"] = flip[part].to(self.device, non_blocking=True)
        return inputs


class LayoutArrays:
    """Layouts in memory; a batch is as long as its longest layout."""

    def __init__(
        self,
        ids: Tensor,
        boxes: Tensor,
        device: torch.device,
        *,
        drop: float = 0.0,
        jitter: float = 0.0,
        sorted_by_x: bool = False,
    ):
        """Keep layouts, on the CPU: they are small, and batches are made ahead.

        Args:
            ids: categories 1..K, 0 behind the last object, of shape (N, R).
            boxes: in 0..1, of shape (N, R, 4).
            device: where batches go.
            drop: share of the objects that augmentation leaves out.
            jitter: edges are moved by up to this share of their box's size.
            sorted_by_x: objects come from left to right, and must when mirrored.
        """
        self.ids, self.boxes, self.device = ids, boxes, device
        self.drop, self.jitter, self.sorted_by_x = drop, jitter, sorted_by_x

    def plainly(self, rows: Tensor) -> Inputs:
        """Layouts of some rows: ``categories`` (B, R) and ``boxes`` (B, R, 4)."""
        return self._on_device(self.ids[rows], self.boxes[rows])

    def augmented(
        self, rows: Tensor, flip: Tensor | None, generator: torch.Generator, part: slice = ALL
    ) -> Inputs:
        """Layouts of some rows: mirrored, some objects left out, edges moved."""
        ids, boxes = self.ids[rows], self.boxes[rows]
        if flip is not None:
            mirrored = boxes.clone()
            mirrored[..., 0] = 1 - boxes[..., 0] - boxes[..., 2]
            boxes = torch.where(flip.view(-1, 1, 1), mirrored, boxes)
            if self.sorted_by_x:
                ids, boxes = _ordered(ids, boxes, boxes[..., 0] + boxes[..., 2] / 2)
        if self.jitter:
            boxes = jittered(boxes, self.jitter, generator)
        if self.drop:
            ids = ids.masked_fill(torch.rand(ids.shape, generator=generator) < self.drop, 0)
            ids, boxes = _ordered(ids, boxes, torch.zeros(ids.shape))
        return self._on_device(ids[part], boxes[part])

    def _on_device(self, ids: Tensor, boxes: Tensor) -> Inputs:
        longest = int((ids > 0).sum(1).max()) if len(ids) else 0
        inputs = {"categories": ids[:, :longest], "boxes": boxes[:, :longest]}
        return {name: value.to(self.device, non_blocking=True) for name, value in inputs.items()}


def _ordered(ids: Tensor, boxes: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Objects by a key (B, R), equal ones as they came; those with id 0 go behind the last."""
    order = key.masked_fill(ids == 0, torch.inf).argsort(dim=1, stable=True)
    return ids.gather(1, order), boxes.gather(1, order.unsqueeze(2).expand(-1, -1, 4))


def jittered(boxes: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Boxes (..., 4) whose edges are moved by up to `share` of their size, kept in 0..1."""
    x, y, width, height = boxes.unbind(-1)
    size = torch.stack([width, height, width, height], -1)
    edges = torch.stack([x, y, x + width, y + height], -1)
    noise = torch.rand(boxes.shape, generator=generator) * 2 - 1
    moved = (edges + share * size * noise).clamp(0, 1)
    return torch.cat([moved[..., :2], moved[..., 2:] - moved[..., :2]], -1)
