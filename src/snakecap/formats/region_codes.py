"""``features.h5`` of regions: codes that a dense captioner makes of N photos, K regions at most.

As DenseCap's extract_features.lua: ``feats`` float32 (N, K, F) and ``boxes`` float32 (N, K, 4),
here [x, y, width, height] in pixels of the photo, the surest first. Where a photo has fewer, zeros
follow; ``counts`` (N,) says how many it has (the original stopped there). ``files`` (N,) has names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from snakecap.formats.atomic import writing

Array = NDArray[np.float32]


class RegionCodes(NamedTuple):
    """The regions of one photo."""

    file: str
    codes: Array  # (R, F)
    boxes: Array  # (R, 4)


def write(path: Path, photos: Sequence[RegionCodes]) -> None:
    """Write the file, atomically."""
    counts = np.array([len(one.codes) for one in photos])
    shape = (len(photos), int(counts.max(initial=0)))
    codes = np.zeros((*shape, photos[0].codes.shape[1] if photos else 0), np.float32)
    boxes = np.zeros((*shape, 4), np.float32)
    for row, one in enumerate(photos):
        codes[row, : counts[row]], boxes[row, : counts[row]] = one.codes, one.boxes
    with writing(path) as temporary, h5py.File(temporary, "w") as file:
        names = np.array([one.file for one in photos], object)
        file.create_dataset("files", data=names, dtype=h5py.string_dtype())
        file["feats"], file["boxes"], file["counts"] = codes, boxes, counts


def read(path: Path) -> list[RegionCodes]:
    """Read the file.

    Raises:
        ValueError: not such a file; names it.
    """
    try:
        with h5py.File(path) as file:
            names = file["files"].asstr()[()]
            codes, boxes, counts = (file[name][()] for name in ("feats", "boxes", "counts"))
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no regions' features: {error}") from None
    return [
        RegionCodes(str(name), codes[row, :count], boxes[row, :count])
        for row, (name, count) in enumerate(zip(names, counts.tolist(), strict=True))
    ]
