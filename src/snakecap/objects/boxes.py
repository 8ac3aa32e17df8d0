"""Objects as arrays: detections, and the frames that their boxes move between.

A box is [x, y, width, height], the top-left corner first, as in COCO. torch is imported where it
computes: jobs that only read what a detector saw start without it.

Dimensions: N objects, H and W of an image, S side of a detector's square input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snakecap.objects.categories import canonical
from snakecap.objects.object import Object

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Detections:
    """The objects of one picture as arrays, in the order in which the detector gives them.

    Attributes:
        boxes: of shape (N, 4), in pixels of the original image, inside it.
        categories: of shape (N,), places in the detector's list of names.
        scores: of shape (N,), 0..1.
    """

    boxes: Array
    categories: NDArray[np.int64]
    scores: Array

    @classmethod
    def of(cls, objects: Sequence[Object], places: Mapping[str, int]) -> Detections:
        """Objects as arrays; `places` by category, in COCO's spelling."""
        return cls(
            np.array([one.box for one in objects], np.float32).reshape(-1, 4),
            np.array([places[canonical(one.category)] for one in objects], np.int64),
            np.array([one.score for one in objects], np.float32),
        )

    @classmethod
    def none(cls) -> Detections:
        return cls.of((), {})

    def objects(self, categories: Sequence[str]) -> list[Object]:
        """One by one; `categories` are the detector's list of names."""
        rows = zip(self.categories.tolist(), self.boxes.tolist(), self.scores.tolist(), strict=True)
        return [Object(categories[place], tuple(box), score) for place, box, score in rows]

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, places: NDArray[np.int64]) -> Detections:
        return Detections(self.boxes[places], self.categories[places], self.scores[places])


@dataclass(frozen=True)
class Frame:
    """Where an image lies in a detector's square: x' = x * scale + left, y' = y * scale + top.

    Attributes:
        scale: pixels of the square for one of the image.
        left, top: pixels of padding.
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


def scaled(boxes: Array, x: float, y: float) -> Array:
    """Boxes (N, 4) in other units, so many times larger each way."""
    return boxes * np.array([x, y, x, y], np.float32)


def clip(boxes: Array, width: int, height: int) -> Array:
    """Boxes (N, 4) cut to an image; what lies outside it gets width or height 0."""
    limits = np.array([width, height], np.float32)
    first = np.clip(boxes[:, :2], 0, limits)
    last = np.clip(boxes[:, :2] + boxes[:, 2:], 0, limits)
    return np.concatenate([first, np.maximum(last - first, 0)], 1).astype(np.float32)


def letterbox(
    image: NDArray[np.uint8], size: int, *, value: int = 128, centred: bool = True
) -> tuple[NDArray[np.uint8], Frame]:
    """An image in a square, its aspect ratio kept.

    Source: darknet/src/image.c letterbox_image (Redmon, YOLOv2).

    Args:
        image: uint8 of shape (3, H, W).
        value: of the padding.
        centred: pad on both sides (darknet); false: right and below (YOLOX).

    Returns:
        uint8 of shape (3, S, S), and where the image lies in it.
    """
    import torch
    from torch.nn import functional as F

    height, width = image.shape[1:]
    frame = Frame.around(width, height, size, centred=centred)
    inner = fitted(width, height, size)[::-1]
    square = np.full((3, size, size), value, np.uint8)
    left, top = int(frame.left), int(frame.top)
    resized = image
    if inner != (height, width):
        # On bytes: the kernel for floats differs with the number of threads, in the last digit.
        tensor = torch.from_numpy(image).unsqueeze(0)
        resized = F.interpolate(tensor, inner, mode="bilinear")[0].numpy()
    square[:, top : top + inner[0], left : left + inner[1]] = resized
    return square, frame


def suppress(found: Detections, *, overlap: float, limit: int) -> Detections:
    """Non-maximum suppression within each category: each object seen once.

    Args:
        found: in any order, which is kept, as in darknet's output.
        overlap: a box goes when a better one of its category has a larger IoU with it.
        limit: keep at most this many, the best.
    """
    import torch
    from torchvision.ops import batched_nms

    corners = np.concatenate([found.boxes[:, :2], found.boxes[:, :2] + found.boxes[:, 2:]], 1)
    arrays = map(torch.from_numpy, (corners, found.scores, found.categories))
    kept = batched_nms(*arrays, overlap)[:limit].numpy()
    return found.take(np.sort(kept))
