"""Layouts as people see them: a picture's objects, and how much a caption's words look at each."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from snakecap.formats.atomic import Id, read_as
from snakecap.formats.pictures import Picture
from snakecap.objects.object import Box, Object
from snakecap.report.entries import Entry

ELSEWHERE = -1  # the object of attention that no object gets: the picture's grid
LUMINANCES = (0.27, 0.13)  # 3 to 1 and more on white and on the dark page's paper
SATURATIONS = (0.9, 0.35, 0.6)


@dataclass(frozen=True, slots=True)
class NamedLayouts:
    """The layouts of one row of `layouts`.

    Attributes:
        categories: all that its detector knows.
        pictures: objects in their order, by picture id as text.
    """

    name: str
    categories: tuple[str, ...]
    pictures: dict[str, tuple[Object, ...]]

    def of(self, picture: Picture, *, whole: bool) -> list[Object] | None:
        """A picture's objects, if it has a layout; `whole` or in 0..1 of its centre square."""
        objects = self.pictures.get(str(picture.id))
        if objects is None:
            return None
        width, height = picture.width, picture.height
        if whole or not width or not height:
            return list(objects)
        return [replace(one, box=centred(one.box, width, height)) for one in objects]


class _Layout(TypedDict):
    id: Id
    objects: tuple[Object, ...]


class _File(TypedDict):
    categories: tuple[str, ...]
    layouts: list[_Layout]


_file = TypeAdapter(_File)


def read(paths: Sequence[Path], entries: Sequence[Entry]) -> list[NamedLayouts]:
    """Read files ``layouts/{name}.json``; a file's stem is its name.

    Raises:
        ValueError: not such a file, or a system reads a layout that is none of them; names it.
    """
    found = []
    for path in paths:
        value = read_as(path, _file, "a layouts file of snakecap")
        pictures = {str(record["id"]): record["objects"] for record in value["layouts"]}
        found.append(NamedLayouts(path.stem, value["categories"], pictures))
    for entry in entries:
        if entry.layout and entry.layout not in {layout.name for layout in found}:
            raise ValueError(f"{entry.label} reads the layout {entry.layout}, which is not given")
    return found


def colours(layouts: Sequence[NamedLayouts]) -> dict[str, str]:
    """A colour for each category, by its place in the detectors' own lists.

    So a category looks the same in every report of a data set.
    """
    names = dict.fromkeys(name for layout in layouts for name in layout.categories)
    seen = (objects for layout in layouts for objects in layout.pictures.values())
    names.update(dict.fromkeys(one.category for objects in seen for one in objects))
    return {name: colour(at) for at, name in enumerate(names)}


def colour(place: int) -> str:
    """The colour of the category at a place from 0, such as ``#d1495b``.

    Hues are a golden angle apart, so that neighbours of any list differ.
    """
    hue, saturation = place * 0.6180339887 % 1, SATURATIONS[place % len(SATURATIONS)]
    wanted = LUMINANCES[place % len(LUMINANCES)]
    low, high = 0.0, 1.0
    for _ in range(20):  # luminance grows with HLS's lightness
        middle = (low + high) / 2
        rgb = colorsys.hls_to_rgb(hue, middle, saturation)
        low, high = (low, middle) if luminance(rgb) > wanted else (middle, high)
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


def luminance(rgb: Iterable[float]) -> float:
    """Relative luminance, as WCAG 2 has it, of red, green and blue in 0..1."""
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in rgb]
    return sum(part * share for part, share in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def ink(colour: str) -> str:
    """What is legible on a colour: black or white."""
    rgb = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return "#000" if luminance(rgb) > sum(LUMINANCES) / 2 else "#fff"


def centred(box: Box, width: int, height: int) -> Box:
    """A box in 0..1 of a picture as one of its centre square, which it may exceed."""
    side = min(width, height)
    x, y, w, h = box
    left, top = (width - side) / 2, (height - side) / 2
    return (x * width - left) / side, (y * height - top) / side, w * width / side, h * height / side


def embed(
    records: Sequence[dict[str, Any]],
    layouts: Sequence[NamedLayouts],
    pictures: Sequence[Picture],
    *,
    whole: bool,
) -> dict[str, Any]:
    """Put what the page needs of layouts into its pictures' records.

    An object is [category's place, box in thousandths, score in percent].

    Returns:
        `layouts` and `categories` of the page's data (see `page.build`); empty without layouts.
    """
    if not layouts:
        return {}
    places: dict[str, int] = {}
    for record, picture in zip(records, pictures, strict=True):
        found = [layout.of(picture, whole=whole) for layout in layouts]
        record["layouts"] = [
            None if objects is None else [_numbers(one, places) for one in objects]
            for objects in found
        ]
    chosen = colours(layouts)
    categories = [[name, chosen[name], ink(chosen[name])] for name in places]
    return {"layouts": [layout.name for layout in layouts], "categories": categories}


def _numbers(one: Object, places: dict[str, int]) -> list[int]:
    place = places.setdefault(one.category, len(places))
    return [place, *(round(1000 * edge) for edge in one.box), round(100 * one.score)]


def attention(row: Sequence[float]) -> list[int]:
    """A word's attention as the page has it: object and percent in turn.

    Objects of less than half a percent are left out; `ELSEWHERE` has what all objects leave.
    """
    shares = [(at, round(100 * weight)) for at, weight in enumerate(row)]
    rest = round(100 * (1 - sum(row)))
    if rest >= 3:  # less is the rounding of many small weights
        shares.append((ELSEWHERE, rest))
    return [number for pair in shares if pair[1] for number in pair]
