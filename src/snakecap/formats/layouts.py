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
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter

from snakecap.formats.atomic import Id, checked, read_json, write_json, writing
from snakecap.formats.darknet_lines import encode_boxes
from snakecap.log import logger
from snakecap.objects.boxes import Array, scaled
from snakecap.objects.layout import Layout, Reading, encode, tidied
from snakecap.objects.object import Object

DISTINCT, OBJECTS = 32, 96  # OBJ2TEXT's 2 and 6 times its caption length of 16
EXPECTED = (
    'a layout is {"objects": [{"category", "box": [x, y, width, height]}]}, see docs/formats.md'
)


@dataclass(frozen=True)
class LayoutArrays:
    """The layouts of N pictures as arrays.

    Attributes:
        ids: of shape (N, R), 1..K, 0 behind the last object.
        boxes: of shape (N, R, 4), in 0..1 of the reading's frame.
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


def write(
    path: Path,
    layouts: Sequence[Layout],
    keys: Sequence[tuple[int | str, str]],
    reading: Reading,
    **stamp: Any,
) -> None:
    """Write ``.h5`` and the JSON beside it.

    Args:
        layouts: of each picture, arranged.
        keys: id and file of each picture.

    Raises:
        ValueError: see `snakecap.objects.layout.encode`; names the picture.
    """
    found = arrays(layouts, keys, reading)
    records = [
        {
            "id": key,
            "file": file,
            "width": layout.width,
            "height": layout.height,
            "objects": [one.as_json() for one in layout.objects],
        }
        for layout, (key, file) in zip(layouts, keys, strict=True)
    ]
    head = {**reading.as_json(), "frame": "picture", **stamp}
    write_json(path.with_suffix(".json"), {**head, "layouts": records})
    found["files"] = np.array([file for _, file in keys], dtype=h5py.string_dtype())
    with writing(path) as temporary, h5py.File(temporary, "w") as store:
        for name, values in found.items():
            store[name] = values
        store.attrs["reading"] = json.dumps(reading.as_json())
        store.attrs["stamp"] = json.dumps(stamp)


def arrays(
    layouts: Sequence[Layout], keys: Sequence[tuple[int | str, str]], reading: Reading
) -> dict[str, NDArray[Any]]:
    """Of the ``.h5``, but its files; those of OBJ2TEXT are for its tools."""
    number, longest = len(layouts), max((len(one.objects) for one in layouts), default=0)
    ids = np.zeros((number, longest), np.uint16)
    boxes = np.zeros((number, longest, 4), np.float32)
    scores = np.zeros((number, longest), np.float32)
    category = np.zeros((number, DISTINCT), np.uint32)
    packed = np.zeros((number, OBJECTS), np.uint64)
    for row, layout in enumerate(layouts):
        count, (width, height) = len(layout.objects), (layout.width, layout.height)
        try:
            ids[row, :count], boxes[row, :count] = encode(layout, reading)
        except ValueError as error:
            raise ValueError("picture {} ({}): {}".format(*keys[row], error)) from None
        scores[row, :count] = [one.score for one in layout.objects]
        distinct = np.unique(ids[row, :count])[:DISTINCT]
        category[row, : len(distinct)] = distinct
        if width and height:
            some = np.array([one.box for one in layout.objects[:OBJECTS]], np.float32)
            pixels = scaled(some.reshape(-1, 4), width, height)
            packed[row, : len(some)] = encode_boxes(pixels, width, height)
    full = np.zeros((number, OBJECTS), np.uint32)
    full[:, :longest] = ids[:, :OBJECTS]
    return {
        **{"ids": ids, "boxes": boxes, "scores": scores},
        **{"category": category, "full_category": full, "bbox": packed, "bbox_resize": packed},
    }


def read(path: Path) -> LayoutArrays:
    """Read ``layouts.h5``.

    Raises:
        ValueError: it is missing or is not such a file; names it.
    """
    try:
        with h5py.File(path) as file:
            reading = Reading.from_json(json.loads(file.attrs["reading"]))
            ids, boxes = file["ids"][()].astype(np.int64), file["boxes"][()]
            files = tuple(file["files"].asstr("utf-8", "surrogateescape")[()])
            return LayoutArrays(ids, boxes, files, reading)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a layouts file of snakecap: {error!r}") from None


@dataclass(frozen=True, slots=True)
class Record:
    """A layout in a JSON file: the picture's id, if it says one, its name, its photo if there."""

    id: int | str | None
    name: str
    photo: Path | None
    layout: Layout


Side = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class _Written:
    objects: tuple[Object, ...]
    width: Side | None = None
    height: Side | None = None
    id: Id | None = None
    file: str | None = None
    frame: Literal["picture"] | None = None


@dataclass(frozen=True, slots=True)
class _File:
    layouts: Annotated[list[_Written], Field(min_length=1)]
    frame: Literal["picture"] | None = None


_file, _written = TypeAdapter(_File), TypeAdapter(_Written)


def read_json_layouts(path: Path) -> list[Record]:
    """Layouts that a person or another program wrote: ours, or one picture's alone.

    Returns:
        A record for each picture; its name is its file, else its id, else the JSON's own name (with
        the place, where there are several). Its photo is its file, if that is beside the JSON.

    Raises:
        ValueError: not such a file; names it and the entry.
    """
    value = read_json(path)
    if not (isinstance(value, dict) and "layouts" in value):
        value = {"layouts": value if isinstance(value, list) else [value]}
    file = checked(value, _file, f"{path} holds no layouts ({EXPECTED})")
    found = []
    for number, one in enumerate(file.layouts, start=1):
        own = str(path) if len(file.layouts) == 1 else f"{path}#{number}"
        name = one.file or (own if one.id is None else str(one.id))
        photo = path.parent / (one.file or "")
        layout = _layout(one, f"{path}: layout {number}", file.frame)
        found.append(Record(one.id, name, photo if photo.is_file() else None, layout))
    return found


def from_json(record: Any) -> Layout:
    """One picture's layout, as the module says; what is clipped is logged.

    Raises:
        ValueError: not one; says why.
    """
    written = checked(record, _written, f"this is no layout ({EXPECTED})")
    return _layout(written, "the layout", None)


def _layout(written: _Written, place: str, frame: str | None) -> Layout:
    width, height = written.width or 0.0, written.height or 0.0
    layout = Layout(written.objects, width, height)
    # A box in 0..1 may reach outside by a little; who says the frame has none in pixels.
    large = any(max(one.box) > 2 for one in written.objects)
    if large and width and height and not (frame or written.frame):
        layout = Layout.from_pixels(written.objects, width, height)
    try:
        layout, notes = tidied(layout)
    except ValueError as error:
        raise ValueError(f"{place}: {error} ({EXPECTED})") from None
    for note in notes:
        logger.warning("%s: %s", place, note)
    return layout
