"""Layouts of objects, as `layouts/*.h5` or a user has them.

Dimensions: B pictures of a batch, N of the data set, R objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snakecap import device as devices
from snakecap.formats import layouts as layout_files
from snakecap.formats.layouts import LayoutArrays
from snakecap.inputs.input import Draw, Input, Request, Tensors
from snakecap.objects.layout import Reading, encode


class LayoutInput(Input):
    """Objects, each a category and a box; a batch is as long as its fullest layout."""

    table = "layouts"
    kind = "layout"

    def __init__(self, *, place: torch.device, source: str):
        super().__init__(place)
        self.reading: Reading | None = None
        self.store: LayoutArrays | None = None

    def open(self, path: Path, keep: Sequence[str] = ()) -> None:
        """Take a data set's layouts; they are small, and stay on the CPU."""
        store = layout_files.read(path)
        if self.reading not in (None, store.reading):
            raise ValueError(f"{path} was made with other settings than the model's own layouts")
        store.rows(keep)
        self.store, self.reading = store, store.reading

    def has(self, file: str) -> bool:
        return self.store is not None and file in self.store

    def read(self, files: Sequence[str], draw: Draw | None = None) -> Tensors:
        """``categories`` (B, R), ids 1..K and 0 behind the last, and ``boxes`` (B, R, 4), in 0..1.

        Augmented: mirrored, some objects left out, edges moved.
        """
        assert self.store is not None, "open a file first"
        rows = self.store.rows(files)
        ids = torch.from_numpy(self.store.ids[rows])
        boxes = torch.from_numpy(self.store.boxes[rows])
        if draw is None:
            return self._batch(ids, boxes)
        ids, boxes = self._augmented(ids, boxes, draw)
        return self._batch(ids[draw.part], boxes[draw.part])

    def _augmented(self, ids: Tensor, boxes: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        if draw.flip is not None:
            mirrored = boxes.clone()
            mirrored[..., 0] = 1 - boxes[..., 0] - boxes[..., 2]
            boxes = torch.where(draw.flip.view(-1, 1, 1), mirrored, boxes)
            if self.reading is not None and self.reading.order == "left_to_right":
                ids, boxes = _ordered(ids, boxes, boxes[..., 0] + boxes[..., 2] / 2)
        if draw.box_jitter:
            boxes = jittered(boxes, draw.box_jitter, draw.generator)
        if draw.object_dropout:
            gone = torch.rand(ids.shape, generator=draw.generator) < draw.object_dropout
            ids = ids.masked_fill(gone, 0)
            ids, boxes = _ordered(ids, boxes, torch.zeros(ids.shape))
        return ids, boxes

    def _batch(self, ids: Tensor, boxes: Tensor) -> Tensors:
        longest = int((ids > 0).sum(1).max()) if len(ids) else 0
        inputs = {"categories": ids[:, :longest], "boxes": boxes[:, :longest]}
        return {name: devices.send(value, self.place) for name, value in inputs.items()}

    def of(self, request: Request) -> Tensors:
        if request.layout is None:
            raise ValueError(
                "the model reads the layout of objects: give layouts (.json), or photos and a "
                "detector"
            )
        assert self.reading is not None, "restore the facts of a model first"
        ids, boxes = encode(request.layout, self.reading)
        return self._batch(torch.from_numpy(ids[None]), torch.from_numpy(boxes[None]))

    def facts(self) -> dict[str, Any]:
        """How layouts are read: the categories and their order, which objects, which frame."""
        assert self.reading is not None
        return self.reading.as_json()

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.reading = Reading.from_json(facts)

    def sizes(self) -> dict[str, int]:
        assert self.reading is not None
        return {"categories": len(self.reading.categories)}


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
