"""Layouts that a person or another program wrote as JSON; docs/formats.md says how they look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from snakecap.formats.atomic import read_json
from snakecap.log import logger
from snakecap.objects.layout import Layout, Seen, tidied

EXPECTED = (
    'a layout is {"objects": [{"category", "box": [x, y, width, height]}]}, see docs/formats.md'
)


@dataclass(frozen=True, slots=True)
class Record:
    """A layout in a JSON file: the picture's id, if it says one, its name, its photo if there."""

    id: int | str | None
    name: str
    photo: Path | None
    layout: Layout


def read_json_layouts(path: Path) -> list[Record]:
    """Layouts that a person or another program wrote: ours, or one picture's alone.

    One picture is ``{"objects": [{"category", "box", "score"?}], "width"?, "height"?}``. Boxes are
    in 0..1 of the picture; in pixels when ``width`` and ``height`` are given and a number is over
    2: a box in 0..1 may reach outside by a little.

    Returns:
        A record for each picture; its name is its file, else its id, else the JSON's own name (with
        the place, where there are several). Its photo is its file, if that is beside the JSON.

    Raises:
        ValueError: not such a file; names it and the entry.
    """
    value = read_json(path)
    head = value if isinstance(value, dict) else {}
    records = head.get("layouts", [value]) if head else value
    if not isinstance(records, list) or not records:
        raise ValueError(f"{path}: no list of layouts ({EXPECTED})")
    found = []
    for number, record in enumerate(records, start=1):
        try:
            key = record.get("id")
            if isinstance(key, bool) or not isinstance(key, int | str | None):
                raise ValueError(f"the id {key!r} is neither a whole number nor text")
            own = path if len(records) == 1 else f"{path}#{number}"
            file = record.get("file")
            photo = path.parent / str(file or "")
            _check_frame(head)
            layout, notes = tidied(from_json(record, normalised="frame" in head))
            name = str(file or (own if key is None else key))
            found.append(Record(key, name, photo if photo.is_file() else None, layout))
            for note in notes:
                logger.warning("%s: layout %d: %s", path, number, note)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{path}: layout {number}: {reason} ({EXPECTED})") from None
    return found


def from_json(record: Mapping[str, Any], *, normalised: bool = False) -> Layout:
    """One picture's layout; see `read_json_layouts`.

    Args:
        record: the layout.
        normalised: its boxes are in 0..1, as in files that say their frame.

    Raises:
        KeyError, TypeError, ValueError: not one.
    """
    _check_frame(record)
    width, height = (_side(record.get(name)) for name in ("width", "height"))
    rows = [_object(number, row) for number, row in enumerate(record["objects"], start=1)]
    in_pixels = width and height and any(max(box) > 2 for _, box, _ in rows)
    if in_pixels and not normalised:
        return Layout.from_pixels(rows, width, height)
    objects = tuple(Seen(name, (x, y, w, h), score) for name, (x, y, w, h), score in rows)
    return Layout(objects, width, height)


def _check_frame(record: Mapping[str, Any]) -> None:
    frame = record.get("frame", "picture")
    if frame != "picture":
        raise ValueError(f"the frame is {frame!r}: boxes must be of the picture itself")


def _side(value: Any) -> float:
    """The width or height of a picture; 0 where it is not known."""
    side = float(value or 0)
    if not 0 <= side <= 1e6:  # nor NaN
        raise ValueError(f"a picture cannot be {value} pixels wide or high")
    return side


def _object(number: int, row: Any) -> tuple[str, tuple[float, ...], float]:
    """An object's category, box and score."""
    try:
        name = row["category"]
        if not isinstance(name, str):
            raise ValueError(f"the category {name!r} is not a name")
        return name, _box(row), float(row.get("score", 1.0))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"object {number}: {reason}") from None


def _box(row: Mapping[str, Any]) -> tuple[float, ...]:
    box = row["box"]
    box = box.tolist() if hasattr(box, "tolist") else box  # arrays and tensors, in Python
    numbers = isinstance(box, list | tuple) and all(
        isinstance(edge, Real) and not isinstance(edge, bool) for edge in box
    )
    if not numbers or len(box) != 4:
        raise ValueError(f"the box {box!r} is not [x, y, width, height]")
    return tuple(map(float, box))
