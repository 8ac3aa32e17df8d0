"""From objects to a layout: which of a picture's objects a model reads, in which order and frame.

Source: Yin and Ordonez, "OBJ2TEXT: Generating Visually Descriptive Language from Object Layouts",
EMNLP 2017, section 3; its code read boxes in the detector's 608 x 608 letterbox, in its order.
Known deviations: by default boxes are in 0..1 of the picture, and there is no padding to imitate.

Dimensions: N objects, K categories.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snakecap.objects.boxes import Array, Frame, clip, scaled
from snakecap.objects.categories import canonical
from snakecap.objects.object import Object

SLACK = 1e-3  # of the picture: rounding of pixels
BOXES = (
    "boxes are [x, y, width, height] in 0..1 of the picture, or in pixels with the picture's width "
    "and height given, and have a positive size"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The objects of one picture.

    Attributes:
        objects: in some order, their boxes in 0..1 of the picture.
        width, height: of the picture, in any unit; only their ratio matters. 0: not known.
    """

    objects: tuple[Object, ...] = ()
    width: float = 0.0
    height: float = 0.0

    @classmethod
    def from_pixels(cls, objects: Iterable[Object], width: float, height: float) -> Layout:
        """A layout of objects whose boxes are in a picture's pixels."""
        return cls(tuple(one.divided(width, height) for one in objects), width, height)


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
        return cls(**{**value, "categories": tuple(value["categories"])})


ORDERS: dict[str, Callable[[Object], float]] = {
    "detector": lambda one: 0.0,  # sorting is stable: as they came
    "score": lambda one: -one.score,
    "size": lambda one: -one.box[2] * one.box[3],
    "left_to_right": lambda one: one.box[0] + one.box[2] / 2,
}


def arrange(objects: Sequence[Object], reading: Reading) -> tuple[Object, ...]:
    """The objects that are sure enough, in order, the first `limit` of them."""
    sure = [one for one in objects if one.score >= reading.threshold]
    return tuple(sorted(sure, key=ORDERS[reading.order])[: reading.limit])


def encode(layout: Layout, reading: Reading) -> tuple[NDArray[np.int64], Array]:
    """A layout of any objects as numbers; `arrange` chooses.

    Returns:
        Category ids 1..K of shape (N,), and boxes of shape (N, 4) in 0..1 of the frame.

    Raises:
        ValueError: a category that the model does not know, a box that is not four finite numbers
            of positive size in 0..1, or a letterbox around a picture of unknown shape.
    """
    chosen = arrange(layout.objects, reading)
    ids = {name: number for number, name in enumerate(reading.categories, start=1)}
    for number, one in enumerate(layout.objects, start=1):
        if canonical(one.category) not in ids:
            known = ", ".join(sorted(ids)[:100])
            raise ValueError(f"object {number} has the unknown category {one.category!r}; {known}")
        check(one, f"object {number} ({one.category})", SLACK)
    numbers = np.array([ids[canonical(one.category)] for one in chosen], np.int64)
    boxes = np.array([one.box for one in chosen], np.float32).reshape(-1, 4)
    return numbers, boxes if reading.frame == "picture" else letterboxed(boxes, layout)


def check(one: Object, name: str, slack: float) -> None:
    """Check an object of a layout.

    Args:
        name: of it, for the message.
        slack: how far its box may reach outside the picture, in 0..1 of that.

    Raises:
        ValueError: a number that is not finite, a score outside 0..1, a box without a positive
            size or too far outside.
    """
    box = list(one.box)
    if not all(map(math.isfinite, (*box, one.score))):
        raise ValueError(f"{name} has a number that is not finite: box {box}, {one.score}")
    if not 0 <= one.score <= 1:
        raise ValueError(f"{name} has the score {one.score}: scores are in 0..1")
    x, y, width, height = box
    inside = min(x, y) >= -slack and max(x + width, y + height) <= 1 + slack
    if min(width, height) <= 0 or not inside:
        raise ValueError(f"{name} has the box {box}: {BOXES}")


def tidied(layout: Layout) -> tuple[Layout, list[str]]:
    """A layout that somebody wrote, its boxes cut at the picture's edges as `detect` does.

    Returns:
        The layout, and a line for each box that was clipped by more than rounding.

    Raises:
        ValueError: see `check`; a box may reach outside by the picture's own size.
    """
    objects, notes = [], []
    for number, one in enumerate(layout.objects, start=1):
        name = f"object {number} ({one.category})"
        check(one, name, 1)
        box = np.array([one.box], np.float32)
        inside = clip(box, 1, 1)
        if inside[0, 2:].min() <= 0:
            raise ValueError(f"{name} has the box {list(one.box)}: {BOXES}")
        if np.abs(inside - box).max() > SLACK:
            notes.append(f"{name} reaches outside the picture: clipped")
            one = replace(one, box=tuple(inside[0].tolist()))
        objects.append(one)
    return replace(layout, objects=tuple(objects)), notes


def letterboxed(boxes: Array, layout: Layout) -> Array:
    """Boxes (N, 4) in 0..1 of a picture as boxes in 0..1 of the centred square around it."""
    if not layout.width or not layout.height:
        raise ValueError("a letterbox needs the picture's width and height")
    width, height = layout.width, layout.height
    side = max(width, height)
    frame = Frame(1 / side, (side - width) / 2 / side, (side - height) / 2 / side, 1)
    return frame.into(scaled(boxes, width, height))
