"""Regions that another program made: bottom-up features, with the places of their boxes.

`snakecap.formats.regions` says which files are read.

Dimensions: B pictures of a batch, R regions, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from snakecap import device as devices
from snakecap.formats.regions import RegionFile, Regions, as_regions
from snakecap.inputs.input import Draw, Input, Request, Tensors


class RegionsInput(Input):
    """Regions of a picture, as many as there are; a batch is as long as the longest picture.

    Args:
        source: the file.
        limit: regions of a picture, the first; the published ones are sorted by confidence.
    """

    table = None
    kind = "regions"
    opens = "snakecap.formats.regions:opened"
    mirrors = False
    made_elsewhere = True

    def __init__(
        self, *, place: torch.device, source: str, limit: Annotated[int, Field(ge=1)] = 100
    ):
        super().__init__(place)
        self.limit, self.size = limit, 0
        self.store: RegionFile | None = None

    def open(self, path: Path, keep: Sequence[str] = ()) -> None:
        store = RegionFile(path)
        self._check(store.size, str(path))
        store.check(keep)
        self.store, self.size = store, store.size

    def _check(self, size: int, where: str) -> None:
        if self.size not in (0, size):
            raise ValueError(f"{where} has {size} features, the model reads {self.size}")

    def has(self, file: str) -> bool:
        return self.store is not None and file in self.store

    def read(self, files: Sequence[str], draw: Draw | None = None) -> Tensors:
        """``features`` (B, R, D), ``geometry`` (B, R, 5), and ``mask`` (B, R), which exist.

        The geometry is x1, y1, x2, y2 and area, in 0..1 of the picture; there is none without
        boxes.
        """
        assert self.store is not None, "open a file first"
        return self._batch(self.store.read(files if draw is None else files[draw.part]))

    def _batch(self, found: Sequence[Regions]) -> Tensors:
        counts = [min(len(one.features), self.limit) for one in found]
        features = np.zeros((len(found), max(counts, default=0), self.size), np.float32)
        geometry = np.zeros((*features.shape[:2], 5), np.float32)
        for row, (one, count) in enumerate(zip(found, counts, strict=True)):
            features[row, :count] = one.features[:count]
            if one.boxes is not None:
                x1, y1, x2, y2 = one.boxes[:count].T
                geometry[row, :count] = np.stack([x1, y1, x2, y2, (x2 - x1) * (y2 - y1)], 1)
        mask = np.arange(features.shape[1]) < np.array(counts)[:, None]
        inputs = {"features": features, "mask": mask}
        if all(one.boxes is not None for one in found):
            inputs["geometry"] = geometry
        return {name: devices.send(torch.from_numpy(v), self.place) for name, v in inputs.items()}

    def of(self, request: Request) -> Tensors:
        """Arrays are features (R, D), or these and boxes (R, 4), x1, y1, x2, y2 in 0..1."""
        given = request.array(self.name)
        try:
            found = as_regions(*(given if isinstance(given, tuple | list) else (given,)))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"the array of {self.name} is not of shape (R, {self.size}), or with boxes (R, 4): "
                f"{error}"
            ) from error
        self._check(found.features.shape[1], f"the array of {self.name}")
        return self._batch([found])

    def facts(self) -> dict[str, Any]:
        return {"size": self.size}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.size = int(facts["size"])

    def sizes(self) -> dict[str, int]:
        return {"size": self.size}
