"""From objects to a layout: which of a picture's objects a model reads, in which order and frame.

Source: Yin and Ordonez, "OBJ2TEXT: Generating Visually Descriptive Language from Object Layouts",
EMNLP 2017, section 3; its code read boxes in the detector's 608 x 608 letterbox, in its order.
Known deviations: by default boxes are in 0..1 of the picture, and there is no padding to imitate.

Dimensions: N objects, K categories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snakecap.objects.boxes import Array, Frame, clip
from snakecap.objects.categories import canonical

SLACK = 1e-3  # of the picture: rounding of pixels
BOXES = (
    "boxes are [x, y, width, height] in 0..1 of the picture, or in pixels with the picture's width "
    "and height given, and have a positive size"
)


@dataclass(frozen=True, slots=True)
class Seen:
    """One object: its category's name, its box in 0..1 of the picture, and how sure it is."""

    category: str
    box: tuple[float, float, float, float]
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Layout:
    """The objects of one picture.

    Attributes:
        objects: in some order.
        width, height: of the picture, in any unit; only their ratio matters. 0: not known.
    """

    objects: tuple[Seen, ...] = ()
    width: float = 0.0
    height: float = 0.0

    @classmethod
    def from_pixels(
        cls, rows: Iterable[tuple[str, Sequence[float], float]], width: float, height: float
    ) -> Layout:
        """A layout of category names, boxes in a picture's pixels, and scores."""
        objects = (
            Seen(name, (x / width, y / height, w / width, h / height), score)
            for name, (x, y, w, h), score in rows
        )
        return cls(tuple(objects), width, height)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a model reads layouts; it is kept in the model's file.

    Attributes:
        categories: K names; ids are 1..K in this order.
        order, threshold, limit, frame: see `snakecap.config.detection.Layout`.
    """

    categories: tuple[str, ...]
    order: str = "detector"
    threshold: float = 0.24
    limit: int = 96
    frame: str = "picture"

    def as_json(self) -> dict[str, Any]:
        """As a model's header keeps it, and gives it back: lists, no tuples."""
        return {**asdict(self), "categories": list(self.categories)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Reading:
        """What `as_json` gave."""
        return cls(**{**value, "categories": tuple(value["categories"])})


ORDERS: dict[str, Callable[[Seen], float]] = {
    "detector": lambda seen: 0.0,  # sorting is stable: as they came
    "score": lambda seen: -seen.score,
    "size": lambda seen: -seen.box[2] * seen.box[3],
    "left_to_right": lambda seen: seen.box[0] + seen.box[2] / 2,
}


def arrange(objects: Sequence[Seen], reading: Reading) -> tuple[Seen, ...]:
    """The objects that are sure enough, in order, the first `limit` of them."""
    sure = [seen for seen in objects if seen.score >= reading.threshold]
    return tuple(sorted(sure, key=ORDERS[reading.order])[: reading.limit])


def encode(layout: Layout, reading: Reading) -> tuple[NDArray[np.int64], Array]:
    """A layout as numbers.

    Args:
        layout: of any objects; `arrange` chooses.
        reading: how.

    Returns:
        Category ids 1..K of shape (N,), and boxes of shape (N, 4) in 0..1 of the frame.

    Raises:
        ValueError: a category that the model does not know, a box that is not four finite numbers
            of positive size in 0..1, or a letterbox around a picture of unknown shape.
    """
    chosen = arrange(layout.objects, reading)
    places = {name: number for number, name in enumerate(reading.categories, start=1)}
    for number, seen in enumerate(layout.objects, start=1):
        check(seen, number, places)
    ids = np.array([places[canonical(seen.category)] for seen in chosen], np.int64)
    boxes = np.array([seen.box for seen in chosen], np.float32).reshape(-1, 4)
    return ids, boxes if reading.frame == "picture" else letterboxed(boxes, layout)


def check(seen: Seen, number: int, categories: Mapping[str, int] | Sequence[str]) -> None:
    """Check an object.

    Args:
        seen: the object.
        number: its place from 1, for the message.
        categories: the known names.

    Raises:
        ValueError: see `encode`.
    """
    if canonical(seen.category) not in categories:
        known = ", ".join(sorted(categories)[:100])
        raise ValueError(f"object {number} has the unknown category {seen.category!r}; {known}")
    x, y, width, height = seen.box
    if not np.isfinite((*seen.box, seen.score)).all():
        raise ValueError(f"object {number} ({seen.category}) has a number that is not finite")
    inside = min(x, y) >= -SLACK and max(x + width, y + height) <= 1 + SLACK
    if min(width, height) <= 0 or not inside:
        raise ValueError(f"object {number} ({seen.category}) has the box {list(seen.box)}: {BOXES}")


def tidied(layout: Layout) -> tuple[Layout, list[str]]:
    """A layout that somebody wrote, its boxes cut at the picture's edges as `detect` does.

    Returns:
        The layout, and a line for each box that was clipped by more than rounding.

    Raises:
        ValueError: a number that is not finite, a score outside 0..1, a box without a positive
            size, outside the picture, or so large that it cannot be in 0..1.
    """
    objects, notes = [], []
    for number, seen in enumerate(layout.objects, start=1):
        name, box = f"object {number} ({seen.category})", list(seen.box)
        if not np.isfinite((*box, seen.score)).all():
            raise ValueError(f"{name} has a number that is not finite: box {box}, {seen.score}")
        if not 0 <= seen.score <= 1:
            raise ValueError(f"{name} has the score {seen.score}: scores are in 0..1")
        x, y, width, height = box
        inside = clip(np.array([box], np.float32), 1, 1)[0]
        far = min(x, y) < -1 or max(x + width, y + height) > 2
        if min(width, height) <= 0 or min(inside[2:]) <= 0 or far:
            raise ValueError(f"{name} has the box {box}: {BOXES}")
        if np.abs(inside - np.array(box, np.float32)).max() > SLACK:
            notes.append(f"{name} reaches outside the picture: clipped")
            seen = replace(seen, box=tuple(inside.tolist()))
        objects.append(seen)
    return replace(layout, objects=tuple(objects)), notes


def letterboxed(boxes: Array, layout: Layout) -> Array:
    """Boxes (N, 4) in 0..1 of a picture as boxes in 0..1 of the centred square around it."""
    if not layout.width or not layout.height:
        raise ValueError("a letterbox needs the picture's width and height")
    width, height = layout.width, layout.height
    side = max(width, height)
    frame = Frame(1 / side, (side - width) / 2 / side, (side - height) / 2 / side, 1)
    return frame.into(boxes * np.array([width, height, width, height], np.float32))
