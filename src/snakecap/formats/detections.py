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
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snakecap.formats.atomic import read_json, writing
from snakecap.formats.pictures import Picture
from snakecap.objects.boxes import Detections
from snakecap.objects.categories import ids
from snakecap.objects.object import Object

Id = int | str
LARGEST = 1e9  # pixels: what is beyond is as wrong as what is not finite


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a file, ours or others'.

    Attributes:
        category_id: None when the entry only has a name.
        object: its box in pixels; its category is empty when the entry only has an id.
    """

    image_id: Id
    category_id: int | None
    object: Object


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


def read(path: Path, pictures: Iterable[Picture] | None = None) -> dict[Id, list[Object]]:
    """Read what `write` wrote: what was seen in each picture where anything was seen.

    Args:
        pictures: that all of it must be of.

    Raises:
        ValueError: not such a file, or it has the id of another picture; names it and the entry.
    """
    found: dict[Id, list[Object]] = {}
    for number, entry in enumerate(entries(path), start=1):
        if not entry.object.category:
            raise ValueError(f"{path}: entry {number} has no `category`")
        found.setdefault(entry.image_id, []).append(entry.object)
    known = found.keys() if pictures is None else {picture.id for picture in pictures}
    odd = sorted(map(repr, found.keys() - known))
    if odd:
        raise ValueError(
            f"{path} is of other pictures: {len(odd)} of its {len(found)} image_ids are not in "
            f"pictures.json, such as {', '.join(odd[:5])}"
        )
    return found


@dataclass(frozen=True)
class Info:
    """What a detector's info.json says to those who read its detections.

    Attributes:
        sizes: width and height by id, of pictures whose records do not say.
    """

    categories: tuple[str, ...]
    sizes: dict[str, tuple[int, int]]


def read_info(path: Path) -> Info:
    """Read a detector's info.json.

    Raises:
        ValueError: not such a file; names it.
    """
    facts = read_json(path)
    categories = facts.get("categories") if isinstance(facts, dict) else None
    if not isinstance(categories, list) or not all(isinstance(name, str) for name in categories):
        raise ValueError(f"{path} is no detector's info: it has no list of `categories`")
    sizes = facts.get("sizes", {})
    if not isinstance(sizes, dict) or not all(map(_is_size, sizes.values())):
        raise ValueError(f"{path}: `sizes` is no object of [width, height] in pixels, by id")
    return Info(tuple(categories), {key: (width, height) for key, (width, height) in sizes.items()})


def _is_size(pair: Any) -> bool:
    return isinstance(pair, list) and [type(side) for side in pair] == [int, int] and min(pair) > 0


def entries(path: Path) -> list[Entry]:
    """The entries of a results file, ours or others', in order.

    Raises:
        ValueError: not a list, or an entry lacks a field, or a number is not finite or a score not
            in 0..1; names the file and the entry, counted from 1.
    """
    rows = read_json(path)
    if not isinstance(rows, list):
        raise ValueError(
            f"{path} is not in COCO's results format: it holds a {type(rows).__name__}, not a list"
        )
    return [_entry(row, f"{path}: entry {number}") for number, row in enumerate(rows, start=1)]


def _entry(row: Any, place: str) -> Entry:
    if not isinstance(row, dict):
        raise ValueError(f"{place} is {str(row)[:80]!r}, not an object")
    missing = {"image_id", "bbox", "score"} - row.keys()
    if missing or not row.keys() & {"category_id", "category"}:
        absent = min(missing, default="category_id")
        raise ValueError(f"{place} has no `{absent}`: {str(row)[:120]}")
    box, score = row["bbox"], row["score"]
    rules = {
        "image_id": (type(row["image_id"]) in (int, str), "a whole number or text"),
        "category_id": (type(row.get("category_id", 1)) is int, "a whole number"),
        "category": (isinstance(name := row.get("category", "?"), str) and name != "", "text"),
        "bbox": (
            isinstance(box, list) and len(box) == 4 and all(map(_finite, box)),
            "[x, y, width, height] in finite numbers",
        ),
        "score": (_finite(score) and 0 <= score <= 1, "a number in 0..1"),
    }
    for key, (right, wanted) in rules.items():
        if not right:
            raise ValueError(f"{place}: `{key}` is {str(row[key])[:80]}, not {wanted}")
    x, y, width, height = map(float, box)
    seen = Object(row.get("category", ""), (x, y, width, height), float(score))
    return Entry(row["image_id"], row.get("category_id"), seen)


def _finite(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < LARGEST
