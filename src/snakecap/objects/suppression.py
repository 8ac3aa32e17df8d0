"""Which of a detector's boxes are the same object seen twice.

Dimensions: N boxes.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
