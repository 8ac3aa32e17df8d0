"""Square RGB bytes to what a backbone was trained on, and to its features.

NeuralTalk2 (misc/net_utils.lua `prepro`) cropped 224 of 256 pixels at random, one offset for the
whole batch, and in evaluation at [15, 239). Known deviations: an offset for every picture, and the
true centre [16, 240).

Dimensions: B pictures, S their side, C the crop's side.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from snakecap.models.backbones.backbone import Backbone


def look(
    backbone: Backbone,
    images: Tensor,
    output: str,
    *,
    crops: str = "one",
    offset: Tensor | None = None,
    flip: Tensor | bool = False,
    **values: Any,
) -> Tensor:
    """A backbone's features of pictures, of one crop of each or over ten.

    Source: DeepCaption's extract_dataset_features.py (torchvision's TenCrop).

    Args:
        images: uint8 RGB of shape (B, 3, S, S).
        output: pooled or grid.
        crops: one, or each feature's average or maximum over ten; with an `offset` one.
        values: as the others, see `preprocess`.

    Returns:
        Of shape (B, F) or (B, R, C).
    """

    def see(pixels: Tensor, **more: Any) -> Tensor:
        found: Tensor = getattr(backbone(preprocess(pixels, **more)), output)
        return found

    if crops == "one" or offset is not None:
        return see(images, **values, offset=offset, flip=flip)
    far = images.shape[-1] - (values["crop"] or images.shape[-1])
    corners = torch.tensor([(0, 0), (0, far), (far, 0), (far, far), (far // 2, far // 2)])
    seen = torch.stack(
        [
            see(images, **values, offset=place.expand(len(images), 2), flip=mirrored)
            for place in corners
            for mirrored in (False, True)  # so that a mirrored picture has the same ten
        ]
    )
    return seen.mean(0) if crops == "average" else seen.amax(0)


def preprocess(
    images: Tensor,
    *,
    crop: int | None = 224,
    scale: float = 255.0,
    mean: Sequence[float] = (0.485, 0.456, 0.406),
    std: Sequence[float] = (0.229, 0.224, 0.225),
    bgr: bool = False,
    offset: Tensor | None = None,
    flip: Tensor | bool = False,
) -> Tensor:
    """Crop, mirror, scale, normalise, and order the channels.

    Args:
        images: uint8 RGB of shape (B, 3, S, S).
        crop: C; None: the whole picture.
        scale: pixels are divided by this first.
        mean: RGB, subtracted after `scale`.
        std: RGB, divided by after `mean`.
        bgr: give the channels in Caffe's order.
        offset: top and left of each crop, of shape (B, 2), 0..S - C; None: the centre,
            (S - C) // 2.
        flip: mirror all (true), none (false), or those where a (B,) tensor is true.

    Returns:
        float32 of shape (B, 3, C, C) in channels-last memory, on the device of `images`.

    Raises:
        ValueError: the crop is larger than the pictures.
    """
    cut = _mirror(_crop(images, crop or images.shape[-1], offset), flip)
    if bgr:
        cut = cut.flip(1)
    gain, shift = _line(scale, tuple(mean), tuple(std), bgr, images.device)
    pixels = cut.to(memory_format=torch.channels_last, dtype=torch.float32)
    return pixels.mul_(gain).add_(shift)


@functools.cache
@torch.inference_mode(False)
def _line(
    scale: float, mean: tuple[float, ...], std: tuple[float, ...], bgr: bool, place: torch.device
) -> tuple[Tensor, Tensor]:
    """One multiplication and one addition: (x / scale - mean) / std = x * gain + shift.

    Made once: a GPU would wait for them at every batch.
    """
    order = -1 if bgr else 1
    gains = [1 / (scale * deviation) for deviation in std]
    shifts = [-average / deviation for average, deviation in zip(mean, std, strict=True)]
    gain, shift = (
        torch.tensor(values[::order], device=place).view(3, 1, 1) for values in (gains, shifts)
    )
    return gain, shift


def _crop(images: Tensor, side: int, offset: Tensor | None) -> Tensor:
    size = images.shape[-1]
    if side > size:
        raise ValueError(
            f"a crop of {side} pixels does not fit in pictures of {size}: "
            "lower the backbone's preprocess.crop, set it to null, or raise resize.size"
        )
    if side == size:
        return images
    if offset is None:
        start = (size - side) // 2
        return images[:, :, start : start + side, start : start + side]
    span = torch.arange(side, device=images.device)
    at = offset.to(images.device)
    rows = (at[:, :1] + span)[:, None, :, None]
    columns = (at[:, 1:] + span)[:, None, None, :]
    pictures = torch.arange(len(images), device=images.device)[:, None, None, None]
    channels = torch.arange(3, device=images.device)[None, :, None, None]
    return images[pictures, channels, rows, columns]


def _mirror(images: Tensor, flip: Tensor | bool) -> Tensor:
    if isinstance(flip, bool):
        return images.flip(3) if flip else images
    chosen = flip.to(images.device).view(-1, 1, 1, 1)
    return torch.where(chosen, images.flip(3), images)
