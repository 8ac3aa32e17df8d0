"""Regions of pictures, features and boxes, that another program made: bottom-up attention's.

Source: Anderson et al., "Bottom-Up and Top-Down Attention for Image Captioning and VQA", CVPR 2018,
as ImageCaptioning.pytorch keeps them: for each picture a .npz or .npy, here in one .lmdb (key: the
picture's number or name) or one .zip (``42.npz``; fastest without compression, ``zip -0``).

A .npy is the features (R, D) alone. A .npz has them as ``feat`` or ``x``, and maybe ``bbox``
(R, 4), the corners x1, y1, x2, y2 in pixels with ``image_w`` and ``image_h``, or in 0..1 without. R
differs from picture to picture, 10 to 100 there. How a picture is found: as in files of vectors.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lmdb
import numpy as np
from numpy.typing import ArrayLike, NDArray

from snakecap.formats.features import environment
from snakecap.formats.vectors import Lookup, Names

Array = NDArray[np.float32]
EDGE = 1.1  # the largest edge of a box in 0..1; some reach outside by a pixel


class Regions(NamedTuple):
    """Those of a picture."""

    features: Array  # (R, D)
    boxes: Array | None  # x1, y1, x2, y2 in 0..1, (R, 4)


class RegionFile(Lookup):
    """Reads regions.

    Attributes:
        size: D.
        has_boxes: whether the first picture's regions have boxes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file; names it.
    """

    def __init__(self, path: Path):
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        self.path, self.names = path, Names()
        try:
            self.packed: Any = zipfile.ZipFile(path) if path.suffix == ".zip" else environment(path)
        except (lmdb.Error, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is no .lmdb or .zip of regions: {error}") from error
        self.keys = frozenset(self._keys())
        if not self.keys:
            raise ValueError(f"{path} holds no regions")
        some = self._regions(min(self.keys))
        self.size, self.has_boxes = some.features.shape[1], some.boxes is not None

    def _keys(self) -> list[str]:
        if isinstance(self.packed, zipfile.ZipFile):
            return [name for name in self.packed.namelist() if name.endswith((".npz", ".npy"))]
        with self.packed.lmdb.begin() as transaction:
            return [key.decode() for key in transaction.cursor().iternext(values=False)]

    def find(self, file: str) -> tuple[str | None]:
        names = (name + end for name in self.names.keys(file) for end in ("", ".npz", ".npy"))
        return (next((name for name in names if name in self.keys), None),)

    def read(self, files: Sequence[str]) -> list[Regions]:
        """The regions of some pictures.

        Raises:
            ValueError: a picture has none, or others than the file's first.
        """
        keys = [key for file in files if (key := self.find(file)[0]) is not None]
        if len(keys) < len(files):
            self.check(files)
        found = [self._regions(key) for key in keys]
        for key, one in zip(keys, found, strict=True):
            if one.features.shape[1] != self.size or (one.boxes is not None) != self.has_boxes:
                shape = one.features.shape
                raise ValueError(f"{self.path}: {key} has features of shape {shape}, or no boxes")
        return found

    def _regions(self, key: str) -> Regions:
        try:
            return unpacked(self._content(key))
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{self.path}: {key} is no .npz of regions: {error}") from error

    def _content(self, key: str) -> bytes:
        if isinstance(self.packed, zipfile.ZipFile):
            return self.packed.read(key)
        with self.packed.lmdb.begin() as transaction:
            return bytes(transaction.get(key.encode()))


def unpacked(content: bytes) -> Regions:
    """The regions in a .npz or .npy file.

    Raises:
        ValueError: there are none, or they are not of their form; nothing is unpickled.
        KeyError: there are no features.
    """
    value = np.load(io.BytesIO(content), allow_pickle=False)
    if isinstance(value, np.ndarray):
        value = {"feat": value}
    features = value["x" if "x" in value else "feat"]
    if "bbox" not in value:
        return as_regions(features)
    size = (1.0, 1.0)
    if "image_w" in value:
        size = (float(value["image_w"]), float(value["image_h"]))
    return as_regions(features, value["bbox"], size=size)


def as_regions(
    given: ArrayLike, corners: ArrayLike | None = None, *, size: tuple[float, float] = (1, 1)
) -> Regions:
    """Features, and the corners of boxes, as regions.

    Args:
        size: width and height of the picture that the corners are in.

    Raises:
        ValueError: they are not of their form.
    """
    features = np.asarray(given, np.float32)
    if features.ndim != 2 or not np.isfinite(features).all():
        raise ValueError(f"its features are of shape {features.shape}, or not finite")
    if corners is None:
        return Regions(features, None)
    boxes: Array = np.array(corners, np.float32)
    if boxes.shape != (len(features), 4):
        raise ValueError(f"its boxes are of shape {boxes.shape}, not {(len(features), 4)}")
    boxes /= np.array([*size, *size], np.float32)
    if not (np.abs(boxes) <= EDGE).all():
        raise ValueError(
            "its boxes are not in 0..1 of the picture: pixels want its size (image_w and image_h)"
        )
    return Regions(features, boxes)


def opened(path: Path, *, limit: int = 100) -> RegionFile:
    """See `RegionFile`; with the options of the input."""
    return RegionFile(path)
