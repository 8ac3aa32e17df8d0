"""Boxes as tensors: anchors, and the transforms that move boxes.

A box is [left, top, right, bottom] in pixels of the network's image, continuous: pixel i covers
i to i + 1, so that the image itself is [0, 0, W, H]. A transform [tx, ty, tw, th] moves a box by
shares of its sides and multiplies these by exp(tw), exp(th).

Source: Girshick et al., "Rich feature hierarchies" (CVPR 2014), appendix C; densecap's
ApplyBoxTransform, InvertBoxTransform, MakeAnchors. Known deviation: its pixels are counted from 1,
so that its first field's centre, 8.5 at a stride of 16, is 8 here.

Dimensions: N boxes, K anchors of a place, h and w cells of a map.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_convert

LARGEST = 8.0  # exp of it is 2981: a longer side is no box, and a longer one still infinite


def apply(boxes: Tensor, transforms: Tensor) -> Tensor:
    """Boxes (..., 4) moved by transforms (..., 4)."""
    centres, sides = _split(boxes)
    moved = centres + transforms[..., :2] * sides
    grown = sides * transforms[..., 2:].clamp(max=LARGEST).exp()
    return torch.cat([moved - grown / 2, moved + grown / 2], -1)


def invert(boxes: Tensor, targets: Tensor) -> Tensor:
    """The transforms (..., 4) that make `targets` of `boxes`, both of positive sides."""
    centres, sides = _split(boxes)
    wanted, lengths = _split(targets)
    return torch.cat([(wanted - centres) / sides, (lengths / sides).log()], -1)


def _split(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Centres and sides, each of shape (..., 2)."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]


def clip(boxes: Tensor, size: Tensor) -> Tensor:
    """Boxes (..., 4) cut to an image of a size (2,), or each to its own (..., 2)."""
    return boxes.clamp(min=0).minimum(torch.cat([size, size], -1))


def exists(boxes: Tensor) -> Tensor:
    """Which boxes (..., 4) have a width and a height; of those outside an image none is left."""
    return (boxes[..., 2:] > boxes[..., :2]).all(-1)


def inside(boxes: Tensor, size: Tensor) -> Tensor:
    """Which boxes (N, 4) reach nowhere outside an image of a size (2,)."""
    return (boxes[:, :2] >= 0).all(1) & (boxes[:, 2:] <= size).all(1)


def anchors(shapes: Tensor, cells: tuple[int, int], stride: float) -> Tensor:
    """A box of every shape around the centre of every cell's pixels.

    Args:
        shapes: widths and heights in pixels, of shape (K, 2).
        cells: h and w.

    Returns:
        Of shape (K * h * w, 4): shape by shape, and row by row in each.
    """
    rows, columns = (
        (torch.arange(number, device=shapes.device, dtype=shapes.dtype) + 0.5) * stride
        for number in cells
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    centres = torch.stack([x, y], -1).expand(len(shapes), *cells, 2)
    sides = shapes[:, None, None].expand_as(centres)
    whole: Tensor = box_convert(torch.cat([centres, sides], -1).view(-1, 4), "cxcywh", "xyxy")
    return whole
