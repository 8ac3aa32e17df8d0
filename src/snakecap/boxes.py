"""Boxes around objects: where a detector saw what, and between which frames a box moves.

A box is [x, y, width, height], the top-left corner first, as in COCO. Source of the letterbox:
darknet/src/image.c letterbox_image (Redmon, YOLOv2) when centred; YOLOX (Ge et al., 2021), which
pads right and below, when not.

Dimensions: N objects, H and W of an image, S side of a detector's square input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

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


def letterbox(
    image: NDArray[np.uint8], size: int, *, value: int = 128, centred: bool = True
) -> tuple[NDArray[np.uint8], Frame]:
    """An image in a square, its aspect ratio kept.

    Args:
        image: uint8 of shape (3, H, W).
        size: S.
        value: of the padding.
        centred: pad on both sides (darknet); false: right and below (YOLOX).

    Returns:
        uint8 of shape (3, S, S), and where the image lies in it.
    """
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


def clip(boxes: Array, width: int, height: int) -> Array:
    """Boxes (N, 4) cut to an image; what lies outside it gets width or height 0."""
    limits = np.array([width, height], np.float32)
    first = np.clip(boxes[:, :2], 0, limits)
    last = np.clip(boxes[:, :2] + boxes[:, 2:], 0, limits)
    return np.concatenate([first, np.maximum(last - first, 0)], 1).astype(np.float32)


def corners(boxes: Tensor) -> Tensor:
    """[x, y, width, height] as [left, top, right, bottom], of shape (..., 4)."""
    return torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], -1)


def suppress(
    boxes: Tensor, scores: Tensor, categories: Tensor, *, overlap: float, limit: int
) -> Tensor:
    """Non-maximum suppression within each category.

    Args:
        boxes: of shape (N, 4).
        scores: of shape (N,).
        categories: of shape (N,).
        overlap: a box goes when a better one of its category overlaps it more than this.
        limit: keep at most this many, the best.

    Returns:
        Places of the kept boxes, ascending: the order they came in, as darknet's output.
    """
    from torchvision.ops import batched_nms

    kept = batched_nms(corners(boxes.float()), scores.float(), categories, overlap)[:limit]
    places: Tensor = kept.sort().values
    return places
