"""The best continuations of all beams of a picture, without sorting whole vocabularies.

Dimensions: P pictures, W beams of each, V words, G groups of a row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snakecap.search.hypothesis import IMPOSSIBLE

STRIPS = 16  # values in a group; 8 to 32 measure alike


def best(logits: Tensor, offsets: Tensor, pictures: int, number: int) -> tuple[Tensor, Tensor]:
    """The largest sums of a logit and its row's offset, over all rows of each picture.

    Reads the logits once: a row is cut into groups, and the `number` largest values lie in the
    `number` groups of largest maximum.

    Args:
        logits: of shape (P * W, V).
        offsets: of shape (P * W,).
        pictures: P.
        number: how many; fewer are given when W * V is smaller.

    Returns:
        scores, decreasing, and places, beam * V + word, both of shape (P, number).
    """
    rows, size = logits.shape
    beams = rows // pictures
    groups = -(-size // STRIPS)
    if beams * groups < number or size < STRIPS:
        sums = (logits + offsets.unsqueeze(1)).view(pictures, -1)
        scores, places = sums.topk(min(number, beams * size), dim=1)
        return scores, places
    peaks = (_group_maxima(logits, groups) + offsets.unsqueeze(1)).view(pictures, -1)
    chosen = peaks.topk(number, dim=1, sorted=False).indices
    beam = (chosen // groups).unsqueeze(2)
    # Group g of a row is its columns g, g + G, g + 2 G, ...
    column = (chosen % groups).unsqueeze(2) + groups * torch.arange(STRIPS, device=logits.device)
    row = beam + beams * torch.arange(pictures, device=logits.device).view(-1, 1, 1)
    outside = column >= size
    column.clamp_(max=size - 1)
    sums = (logits[row, column] + offsets[row]).masked_fill_(outside, IMPOSSIBLE)
    scores, at = sums.flatten(1).topk(number, dim=1)
    return scores, (beam * size + column).flatten(1).gather(1, at)


def _group_maxima(logits: Tensor, groups: int) -> Tensor:
    """The largest value of each group, of shape (R, G)."""
    strips, left = divmod(logits.shape[1], groups)
    whole = strips * groups
    peaks = torch.unflatten(logits[:, :whole], 1, (strips, groups)).amax(1)
    torch.maximum(peaks[:, :left], logits[:, whole:], out=peaks[:, :left])
    return peaks
