"""Boxes around objects: where a detector saw what, and between which frames a box moves.

A box is [x, y, width, height], the top-left corner first, as in COCO. No torch here: jobs that only
read what a detector saw start without it. `snakecap.objects.letterbox` puts images into the frames.

Dimensions: N objects, S side of a detector's square input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Detections:
    """The objects of one picture, in the order in which the detector gives them.

    Attributes:
        boxes: of shape (N, 4), in pixels of the original image, inside it.
        categories: of shape (N,), places in the detector's list of names.
        scores: of shape (N,), 0..1.
    """

    boxes: Array
    categories: NDArray[np.int64]
    scores: Array

    @classmethod
    def none(cls) -> Detections:
        """A picture in which nothing was seen."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))

    def __len__(self) -> int:
        """Objects."""
        return len(self.boxes)

    def take(self, places: NDArray[np.int64]) -> Detections:
        """Some of the objects, in the order of `places`."""
        return Detections(self.boxes[places], self.categories[places], self.scores[places])


@dataclass(frozen=True)
class Frame:
    """Where an image lies in a detector's square: x' = x * scale + left, y' = y * scale + top.

    Attributes:
        scale: pixels of the square for one of the image.
        left, top: pixels of padding.
        size: S.
    """

    scale: float
    left: float
    top: float
    size: int

    @classmethod
    def around(cls, width: int, height: int, size: int, *, centred: bool = True) -> Frame:
        """The frame of an image whose longer side becomes S; its whole pixels as darknet's."""
        inner = fitted(width, height, size)
        left, top = ((size - inner[0]) // 2, (size - inner[1]) // 2) if centred else (0, 0)
        return cls(size / max(width, height), left, top, size)

    def into(self, boxes: Array) -> Array:
        """Boxes (N, 4) of the image as boxes of the square."""
        moved = boxes * np.float32(self.scale)
        moved[:, :2] += (self.left, self.top)
        return moved

    def out(self, boxes: Array) -> Array:
        """Boxes (N, 4) of the square as boxes of the image."""
        moved = boxes.copy()
        moved[:, :2] -= (self.left, self.top)
        return moved / np.float32(self.scale)


def fitted(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height in whole pixels of an image whose longer side becomes `size`."""
    if width >= height:
        return size, max(1, height * size // width)
    return max(1, width * size // height), size


def clip(boxes: Array, width: int, height: int) -> Array:
    """Boxes (N, 4) cut to an image; what lies outside it gets width or height 0."""
    limits = np.array([width, height], np.float32)
    first = np.clip(boxes[:, :2], 0, limits)
    last = np.clip(boxes[:, :2] + boxes[:, 2:], 0, limits)
    return np.concatenate([first, np.maximum(last - first, 0)], 1).astype(np.float32)
