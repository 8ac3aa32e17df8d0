"""Layouts: ``layouts/{name}.json`` for people and programs, and ``.h5`` for training.

The JSON is ``{"frame": "picture", "order", "threshold", "limit", "categories", "layouts"}``; a
layout is ``{"id", "file", "width", "height", "objects"}`` with the picture's size in pixels, and an
object ``{"category", "box", "score"}`` with its box [x, y, width, height] in 0..1 of the picture,
whatever the model's own frame. A picture in which nothing was seen has an empty list.

Written by hand for ``snakecap caption``, it can be one picture's alone, or a list of those:
``{"objects": [{"category", "box", "score"?}], "width"?, "height"?, "id"?, "file"?}``. Its boxes are
in 0..1 of the picture; with ``width`` and ``height`` they may be in pixels, all of them, which any
number over 2 says. A box that reaches outside the picture is clipped, and that is said. A score
below the model's threshold leaves an object out; without one an object counts. ``file``, beside the
JSON, is the photo, for models that look at pictures too.

The HDF5 file has, for N pictures in the order of ``captions.h5``, R objects at most:

- ``/ids`` uint16 (N, R), 1..K and 0 behind the last; ``/boxes`` float32 (N, R, 4) in 0..1 of the
  reading's frame; ``/scores`` float32 (N, R); ``/files`` the pictures' names;
- OBJ2TEXT's own (prepro_obj2text.py): ``/category`` uint32 (N, 32), the distinct ids ascending;
  ``/full_category`` uint32 (N, 96); ``/bbox`` uint64 (N, 96), the boxes in its 608 x 608 letterbox,
  each as one integer; and ``/bbox_resize``, the same, which its loader asks for and its packer
  never wrote;
- the attribute ``reading``: `snakecap.objects.layout.Reading` as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snakecap.formats.atomic import write_json, writing
from snakecap.formats.darknet_lines import encode_boxes
from snakecap.objects.boxes import Array
from snakecap.objects.layout import Layout, Reading, encode

DISTINCT, OBJECTS = 32, 96  # OBJ2TEXT's 2 and 6 times its caption length of 16


@dataclass(frozen=True)
class Layouts:
    """The layouts of N pictures as arrays.

    Attributes:
        ids: of shape (N, R), 1..K, 0 behind the last object.
        boxes: of shape (N, R, 4), in 0..1 of the reading's frame.
        files: the pictures' names.
        reading: how they were made.
    """

    ids: NDArray[np.int64]
    boxes: Array
    files: tuple[str, ...]
    reading: Reading

    def rows(self, files: Sequence[str]) -> NDArray[np.int64]:
        """The row of each picture.

        Raises:
            ValueError: a picture has no layout.
        """
        missing = next((file for file in files if file not in self._places), None)
        if missing is not None:
            raise ValueError(f"there is no layout of {missing!r}: it was made from other pictures")
        return np.array([self._places[file] for file in files], np.int64)

    def __contains__(self, file: str) -> bool:
        return file in self._places

    @cached_property
    def _places(self) -> dict[str, int]:
        return {file: row for row, file in enumerate(self.files)}


def pad(
    encoded: Sequence[tuple[NDArray[np.int64], Array]],
) -> tuple[NDArray[np.int64], Array]:
    """Several layouts as one array: ids (N, R) and boxes (N, R, 4), zeros behind the last."""
    longest = max((len(ids) for ids, _ in encoded), default=0)
    ids = np.zeros((len(encoded), longest), np.int64)
    boxes = np.zeros((len(encoded), longest, 4), np.float32)
    for row, (some, places) in enumerate(encoded):
        ids[row, : len(some)] = some
        boxes[row, : len(some)] = places
    return ids, boxes


def write(
    path: Path,
    layouts: Sequence[Layout],
    keys: Sequence[tuple[int | str, str]],
    reading: Reading,
    **stamp: Any,
) -> None:
    """Write ``.h5`` and the JSON beside it.

    Args:
        path: ends in ``.h5``; the JSON has the same name.
        layouts: of each picture, arranged.
        keys: id and file of each picture.
        reading: how they were arranged.
        **stamp: provenance.
    """
    records = [
        {
            "id": key,
            "file": file,
            "width": layout.width,
            "height": layout.height,
            "objects": [asdict(seen) for seen in layout.objects],
        }
        for layout, (key, file) in zip(layouts, keys, strict=True)
    ]
    head = {**reading.as_json(), "frame": "picture", **stamp}
    write_json(path.with_suffix(".json"), {**head, "layouts": records})
    ids, boxes = pad([encode(layout, reading) for layout in layouts])
    with writing(path) as temporary, h5py.File(temporary, "w") as file_:
        file_["ids"] = ids.astype(np.uint16)
        file_["boxes"] = boxes
        file_["scores"] = _scores(layouts, ids.shape[1])
        file_["files"] = np.array([file for _, file in keys], dtype=h5py.string_dtype())
        for name, values in original(layouts, ids).items():
            file_[name] = values
        file_.attrs["reading"] = json.dumps(reading.as_json())
        file_.attrs["stamp"] = json.dumps(stamp)


def _scores(layouts: Sequence[Layout], longest: int) -> Array:
    scores = np.zeros((len(layouts), longest), np.float32)
    for row, layout in enumerate(layouts):
        scores[row, : len(layout.objects)] = [seen.score for seen in layout.objects]
    return scores


def original(layouts: Sequence[Layout], ids: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """OBJ2TEXT's own arrays (specification: prepro_obj2text.py), for its tools."""
    number = len(layouts)
    category = np.zeros((number, DISTINCT), np.uint32)
    full = np.zeros((number, OBJECTS), np.uint32)
    full[:, : ids.shape[1]] = ids[:, :OBJECTS]
    boxes = np.zeros((number, OBJECTS), np.uint64)
    for row, layout in enumerate(layouts):
        distinct = np.unique(ids[row][ids[row] > 0])[:DISTINCT]
        category[row, : len(distinct)] = distinct
        if layout.width and layout.height:
            pixels = np.array([seen.box for seen in layout.objects[:OBJECTS]], np.float32)
            scale = np.array([layout.width, layout.height] * 2, np.float32)
            packed = encode_boxes(pixels.reshape(-1, 4) * scale, layout.width, layout.height)
            boxes[row, : len(packed)] = packed
    return {"category": category, "full_category": full, "bbox": boxes, "bbox_resize": boxes}


def read(path: Path) -> Layouts:
    """Read ``layouts.h5``.

    Raises:
        ValueError: it is missing or is not such a file; names it.
    """
    try:
        with h5py.File(path) as file:
            reading = Reading.from_json(json.loads(file.attrs["reading"]))
            ids, boxes = file["ids"][()].astype(np.int64), file["boxes"][()]
            return Layouts(
                ids, boxes, tuple(file["files"].asstr("utf-8", "surrogateescape")[()]), reading
            )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a layouts file of snakecap: {error!r}") from None
