"""Features that are read again and again, on the device where there is room.

Dimensions: B pictures of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from snakecap import device as devices
from snakecap.log import logger

ROWS = 256  # features read at once
FLOAT = 4  # bytes of a float32


class Store(Protocol):
    """Where they come from."""

    path: Path
    vdim: tuple[int, ...]  # shape of one picture's

    def read(self, files: Sequence[str]) -> NDArray[Any]:
        """Those of some pictures, float32 (B, *vdim)."""


class Held:
    """Reads a store; what is too large for the device is read batch by batch.

    Args:
        files: those to hold.
    """

    def __init__(self, store: Store, files: Sequence[str], place: torch.device):
        self.store, self.place = store, place
        self.kept: Tensor | None = None
        self.places: dict[str, int] = {}
        size, room = FLOAT * math.prod(store.vdim) * len(files), devices.room(place)
        if size > room:
            logger.info(
                "%s: %.1f GB of features are read batch by batch; there is room for %.1f GB",
                store.path, size / 1e9, room / 1e9,
            )  # fmt: skip
            return
        self.kept = torch.empty((len(files), *store.vdim), device=place)
        for start in range(0, len(files), ROWS):  # host memory holds some rows at a time
            some = files[start : start + ROWS]
            self.kept[start : start + len(some)] = torch.from_numpy(store.read(some))
        self.places = {file: row for row, file in enumerate(files)}

    def read(self, files: Sequence[str]) -> Tensor:
        """Of shape (B, *vdim), on the device."""
        if self.kept is None or not all(file in self.places for file in files):
            return devices.send(torch.from_numpy(self.store.read(files)), self.place)
        rows = torch.tensor([self.places[file] for file in files], dtype=torch.long)
        return self.kept[devices.send(rows, self.place)]
