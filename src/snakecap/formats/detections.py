"""Detections in COCO's results format: a list of what was seen, and where.

An entry is ``{"image_id", "category_id", "category", "bbox", "score"}``: the picture's id in
``pictures.json``; the id that the data set has for the category (`snakecap.objects.categories.ids`
says which for others); the category's name; [x, y, width, height] in pixels of the picture as
``pictures.json`` measures it (its ``width`` and ``height``; of the image file where those are 0);
0..1. The entries of a picture stand together, pictures are in the order of ``pictures.json``, and
objects in the detector's own order. Others' files may lack ``category``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StrictInt, StrictStr, TypeAdapter

from snakecap.formats.atomic import Id, read_as, writing
from snakecap.formats.pictures import Picture
from snakecap.objects.boxes import Detections
from snakecap.objects.categories import ids
from snakecap.objects.object import Object

# In pixels: what is beyond is as wrong as what is not finite.
Pixels = Annotated[float, Field(strict=True, gt=-1e9, lt=1e9, allow_inf_nan=False)]
Side = Annotated[StrictInt, Field(gt=0)]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a file, ours or others'; it has a category, a category_id or both."""

    image_id: Id
    bbox: tuple[Pixels, Pixels, Pixels, Pixels]
    score: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
    category: Annotated[StrictStr, Field(min_length=1)] | None = None
    category_id: StrictInt | None = None

    def __post_init__(self) -> None:
        if self.category is None and self.category_id is None:
            raise ValueError("no `category_id` and no `category`")

    def object(self, category: str) -> Object:
        return Object(category, self.bbox, self.score)


@dataclass(frozen=True)
class Info:
    """What a detector's info.json says to those who read its detections.

    Attributes:
        sizes: width and height in pixels by id, of pictures whose records do not say.
    """

    categories: tuple[str, ...]
    sizes: dict[str, tuple[Side, Side]] = field(default_factory=dict)


_entries, _info = TypeAdapter(list[Entry]), TypeAdapter(Info)


def write(
    path: Path,
    detections: Iterable[tuple[Id, Detections]],
    categories: Sequence[str],
    own: Mapping[int, str] = MappingProxyType({}),
) -> None:
    """Write the detections of each picture, atomically; they may come from a generator.

    Args:
        categories: what `Detections.categories` are places in.
        own: names by the ids that the data set has for them.
    """
    numbers = ids(categories, own)
    with writing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        lead = "[\n"
        for key, found in detections:
            places = found.categories.tolist()
            for place, box, score in zip(
                places, _short(found.boxes), _short(found.scores), strict=True
            ):
                entry = {"image_id": key, "category_id": numbers[place]}
                entry |= {"category": categories[place], "bbox": box, "score": score}
                file.write(lead + json.dumps(entry))
                lead = ",\n"
        file.write("[]\n" if lead == "[\n" else "\n]\n")


def _short(values: NDArray[np.float32]) -> Any:
    """Nested lists of the shortest decimals that give the same float32."""
    return values.astype(str).astype(np.float64).tolist()


def entries(path: Path) -> list[Entry]:
    """The entries of a results file, ours or others', in order.

    Raises:
        ValueError: not a list, or an entry lacks a field, or a number is not finite or a score not
            in 0..1; names the file and the entry, counted from 1.
    """
    return read_as(path, _entries, "in COCO's results format")


def read(path: Path, pictures: Iterable[Picture] | None = None) -> dict[Id, list[Object]]:
    """Read what `write` wrote: what was seen in each picture where anything was seen.

    Args:
        pictures: that all of it must be of.

    Raises:
        ValueError: not such a file, or it has the id of another picture; names it and the entry.
    """
    found: dict[Id, list[Object]] = {}
    for number, entry in enumerate(entries(path), start=1):
        if entry.category is None:
            raise ValueError(f"{path}: entry {number} has no `category`")
        found.setdefault(entry.image_id, []).append(entry.object(entry.category))
    known = found.keys() if pictures is None else {picture.id for picture in pictures}
    odd = sorted(map(repr, found.keys() - known))
    if odd:
        raise ValueError(
            f"{path} is of other pictures: {len(odd)} of its {len(found)} image_ids are not in "
            f"pictures.json, such as {', '.join(odd[:5])}"
        )
    return found


def read_info(path: Path) -> Info:
    """Read a detector's info.json.

    Raises:
        ValueError: not such a file; names it.
    """
    return read_as(path, _info, "a detector's info")
