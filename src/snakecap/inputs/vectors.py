"""Features that another program made, by picture: DeepCaption's external features.

`snakecap.formats.vectors` says which files are read, and how a picture is found there.

Dimensions: B pictures of a batch, F features, R grid cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from snakecap import device as devices
from snakecap.formats.vectors import Vectors, opened
from snakecap.inputs.held import Held
from snakecap.inputs.input import Draw, Input, Request, Tensors


class VectorsInput(Input):
    """One vector a picture, or one for each cell of a grid; no image file is looked at.

    Args:
        source: the file.
        output: what is read: a vector, or a grid of them.
        labels: file that says which picture each row is of: PicSOM's labels.txt, or one name a
            line; without one a row goes by the number in the picture's name.
        aliases: file of pictures' other names, PicSOM's label map.
    """

    table = None
    kind = "{output}"
    opens = "snakecap.formats.vectors:opened"
    mirrors = False
    made_elsewhere = True
    files = ("labels", "aliases")

    def __init__(
        self,
        *,
        place: torch.device,
        source: str,
        output: Literal["pooled", "grid"] = "pooled",
        labels: str = "",
        aliases: str = "",
    ):
        super().__init__(place)
        self.output, self.labels, self.aliases = output, labels, aliases
        self.vdim: tuple[int, ...] | None = None
        self.store: Vectors | None = None
        self.held: Held | None = None

    def open(self, path: Path, keep: Sequence[str] = ()) -> None:
        store = opened(path, output=self.output, labels=self.labels, aliases=self.aliases)
        self._check(store.vdim, str(path))
        store.check(keep)
        self.vdim, self.store = store.vdim, store
        self.held = Held(store, keep, self.place)

    def _check(self, vdim: tuple[int, ...], where: str) -> None:
        if len(vdim) != (2 if self.output == "grid" else 1):
            raise ValueError(f"{where} has shape {vdim} for a picture, which is no {self.output}")
        if self.vdim is not None and self.vdim[-1] != vdim[-1]:
            raise ValueError(f"{where} has {vdim[-1]} features, the model reads {self.vdim[-1]}")

    def has(self, file: str) -> bool:
        return self.store is not None and file in self.store

    def read(self, files: Sequence[str], draw: Draw | None = None) -> Tensors:
        """``pooled`` (B, F) or ``grid`` (B, R, F); nothing is augmented."""
        assert self.held is not None, "open a file first"
        return {self.output: self.held.read(files if draw is None else files[draw.part])}

    def of(self, request: Request) -> Tensors:
        given = np.asarray(request.array(self.name), np.float32)
        self._check(given.shape, f"the array of {self.name}")
        if self.vdim is not None and given.shape != self.vdim:  # a batch would be padded
            cells = f"{given.shape[0]} cells, the model reads {self.vdim[0]}"
            raise ValueError(f"the array of {self.name} has {cells}")
        if not np.isfinite(given).all():
            raise ValueError(f"the array of {self.name} has NaN or infinity")
        found: Tensor = devices.send(torch.from_numpy(given).unsqueeze(0), self.place)
        return {self.output: found}

    def facts(self) -> dict[str, Any]:
        """The shape of a picture's."""
        return {"vdim": list(self.vdim or ())}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.vdim = tuple(facts["vdim"])

    def sizes(self) -> dict[str, int]:
        """F, which encoders ask for."""
        assert self.vdim is not None
        return {"size": self.vdim[-1]}
