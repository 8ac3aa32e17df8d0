"""What a backbone sees in pictures: its features, cached, or the pixels for it to look at.

A stage that trains the backbone, or crops at random, reads ``images.h5``; others read the cache.
The model itself turns pixels into features (`Captioner`), so that encoders see features alone.

Dimensions: B pictures of a batch, F features, R grid cells, S side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from snakecap import device as devices
from snakecap.config.data import Geometry
from snakecap.config.parts import Backbone
from snakecap.formats.features import FLIP, Features
from snakecap.formats.images import Images
from snakecap.inputs.held import Held
from snakecap.inputs.input import Draw, Input, Request, Tensors


class FeaturesInput(Input):
    """Features of a backbone, which is a row of `backbones`.

    Args:
        source: the row's name.
        geometry: how pictures become squares.
        output: one vector a picture, or one for each cell of the last feature map.
        flip: the mirrored picture's features are cached too.
        half: as float16: half the disk, 3 decimal digits.
    """

    table = "backbones"
    kind = "{output}"

    def __init__(
        self,
        *,
        place: torch.device,
        source: str,
        backbones: Mapping[str, Backbone],
        geometry: Geometry,
        output: Literal["pooled", "grid"] = "pooled",
        flip: bool = False,
        half: bool = False,
    ):
        super().__init__(place)
        self.output, self.geometry = output, geometry
        self.margin = geometry.size - (backbones[source].preprocess.crop or geometry.size)
        self.store: Features | Images | None = None
        self.held: Held | None = None

    def open(self, path: Path, keep: Sequence[str] = ()) -> None:
        """Take cached features (.lmdb) or pictures (.h5)."""
        if path.suffix == ".h5":
            self.store = Images(path)
            self.store.rows(keep)
            return
        self.store = Features(path)
        mirrored = [file + FLIP for file in keep if file + FLIP in self.store]
        self.held = Held(self.store, [*keep, *mirrored], self.place)

    def has(self, file: str) -> bool:
        return self.store is not None and file in self.store

    def read(self, files: Sequence[str], draw: Draw | None = None) -> Tensors:
        """Features (B, F) or (B, R, F) by the name of the output; or uint8 ``images`` (B, 3, S, S).

        Augmented pictures also have ``offset`` (B, 2), where their crop begins, and ``flip`` (B,).
        Mirrored features are those of the mirrored picture.
        """
        assert self.store is not None, "open a file first"
        if self.held is not None:
            return {self.output: self.held.read(_keys(files, draw))}
        wanted = files if draw is None else files[draw.part]
        assert isinstance(self.store, Images), "cached features are held"
        inputs = self._pixels(torch.from_numpy(self.store.read(self.store.rows(wanted))))
        if draw is None:
            return inputs
        if draw.random_crop and self.margin:
            offset = torch.randint(self.margin + 1, (len(files), 2), generator=draw.generator)
            inputs["offset"] = devices.send(offset[draw.part], self.place)
        if draw.flip is not None:
            inputs["flip"] = devices.send(draw.flip[draw.part], self.place)
        return inputs

    def _pixels(self, images: Tensor) -> Tensors:
        return {"images": devices.send(images, self.place)}

    def of(self, request: Request) -> Tensors:
        from snakecap.formats.decode import Unreadable, load

        if request.photo is None:
            raise ValueError("the model looks at pictures: a layout alone is not enough")
        try:
            image = load(request.photo, **self.geometry.model_dump())
        except Unreadable as error:
            raise Unreadable(f"{request.name}: {error}") from None
        return self._pixels(torch.from_numpy(image).unsqueeze(0))


def _keys(files: Sequence[str], draw: Draw | None) -> Sequence[str]:
    """The keys of what is wanted of a batch: some of its pictures, mirrored ones for some."""
    if draw is None or draw.flip is None:
        return files if draw is None else files[draw.part]
    pairs = zip(files[draw.part], draw.flip[draw.part].tolist(), strict=True)
    return [file + FLIP if flip else file for file, flip in pairs]
