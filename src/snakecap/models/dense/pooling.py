"""Bilinear pooling: a region's features, by a formula that is smooth in the region's box.

Source: Johnson et al., "DenseCap" (CVPR 2016), 3.2.2, eq. 1; densecap's BoxToAffine and
BilinearRoiPooling. Every one of the S x S values is one sample between four cells of the map; a
neighbour outside the map counts as 0. Gradients reach the boxes too, which rounding to cells, or
torchvision's `roi_align`, has not.

Dimensions: B pictures, R regions of each, C channels, h and w cells, S side.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def pool(features: Tensor, boxes: Tensor, size: tuple[int, int], side: int = 7) -> Tensor:
    """The features of regions, from a box's edges to its edges.

    Args:
        features: maps, of shape (B, C, h, w).
        boxes: of shape (B, R, 4), in pixels of the image that the maps are of.
        size: width and height of that image, which the map's outer cells' centres span.

    Returns:
        Of shape (B, R, C, S, S).
    """
    pictures, regions = boxes.shape[:2]
    x, y = (_samples(boxes[..., at::2], length, side) for at, length in enumerate(size))
    shape = (pictures, regions, side, side)
    grid = torch.stack([x.unsqueeze(2).expand(shape), y.unsqueeze(3).expand(shape)], -1)
    sampled = F.grid_sample(
        features.to(grid.dtype),  # half precision would move boxes by pixels
        grid.flatten(1, 2),  # all regions of a picture, one below the other
        mode="bilinear",
        padding_mode="zeros",
        align_corners=True,
    )
    return sampled.view(pictures, features.shape[1], regions, side, side).transpose(1, 2)


def _samples(edges: Tensor, length: int, side: int) -> Tensor:
    """Where to sample along one axis, -1..1 of it, from the two edges (..., 2): (..., S)."""
    spread = torch.linspace(-1, 1, side, dtype=edges.dtype, device=edges.device)
    first, last = edges.unbind(-1)
    scale, offset = (last - first) / length, (first + last - length) / (length - 1)
    return scale.unsqueeze(-1) * spread + offset.unsqueeze(-1)
