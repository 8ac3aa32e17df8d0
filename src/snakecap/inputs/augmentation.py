"""Pictures moved and recoloured at random, and their objects moved with them.

Source: Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger" (CVPR 2017), section 2: random
crops, scales and colours. Known deviations: one move (mirror, zoom, shift) replaces darknet's crop,
and gains of the three channels its changes of hue, saturation and exposure.

Dimensions: B pictures, N objects, S side of the images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

VISIBLE = 0.3  # an object counts while this share of its moved box is inside the square
Truths = tuple[Tensor, Tensor, Tensor]  # place in the batch (N,), box (N, 4), category (N,)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How pictures change from one epoch to the next.

    Attributes:
        flip: mirror at random.
        shift: move by up to this share of S, and zoom by up to 1 + this, in or out.
        colour: multiply each channel by up to 1 + this, or divide.
    """

    flip: bool = False
    shift: float = 0.0
    colour: float = 0.0


def augmented(
    images: Tensor, truths: Truths, generator: torch.Generator, augmentation: Augmentation
) -> tuple[Tensor, Truths]:
    """Mirrored, zoomed, shifted and recoloured pictures, with their objects where they went.

    What comes in from outside a picture is grey, as the letterbox. An object of which little is
    left inside goes.

    Args:
        images: of shape (B, 3, S, S), 0..1.
        truths: boxes in 0..1 of the square.
        generator: of the random choices, on the CPU.
        augmentation: how much.
    """
    if augmentation == Augmentation():
        return images, truths
    number = len(images)
    draws = torch.rand(number, 8, generator=generator).to(images.device)
    spread = 2 * draws - 1
    mirror = torch.where((draws[:, 0] < 0.5) & augmentation.flip, -1.0, 1.0)
    zoom = (1 + augmentation.shift) ** spread[:, 1]
    offset = augmentation.shift * spread[:, 2:4]
    # Half of a channel's change is common to the three: the rest is brightness.
    gains = (1 + augmentation.colour) ** ((spread[:, 4:7] + spread[:, 7:]) / 2)
    coloured = (images * gains[:, :, None, None]).clamp(0, 1)
    scale = torch.stack([mirror * zoom, zoom], 1)
    return moved_images(coloured, scale, offset), moved_truths(truths, scale, offset)


def moved_images(images: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """Each image with x - 1/2 turned into scale (x - 1/2) + offset, grey where there is none.

    Args:
        images: of shape (B, 3, S, S), 0..1.
        scale: across and down, of shape (B, 2); negative mirrors.
        offset: in 0..1 of the square, of shape (B, 2).
    """
    back = torch.diag_embed(1 / scale)
    # grid_sample asks where a pixel comes from, in -1..1.
    grid = F.affine_grid(
        torch.cat([back, (-2 * offset / scale).unsqueeze(2)], 2),
        list(images.shape),
        align_corners=False,
    )
    return F.grid_sample(images - 0.5, grid, align_corners=False) + 0.5


def moved_truths(truths: Truths, scale: Tensor, offset: Tensor) -> Truths:
    """The objects after `moved_images`, clipped to the square; those hardly inside go."""
    owners, boxes, categories = truths
    ends = torch.stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1) - 0.5
    ends = ends * scale[owners].unsqueeze(1) + offset[owners].unsqueeze(1) + 0.5
    first, last = ends.amin(1), ends.amax(1)
    area = (last - first).prod(1)
    first, last = first.clamp(0, 1), last.clamp(0, 1)
    kept = (last - first).prod(1) >= VISIBLE * area
    moved = torch.cat([first, last - first], 1)
    return owners[kept], moved[kept], categories[kept]
