"""What each word of a caption looks at: objects, and the cells of the picture's grid.

Dimensions: B captions, T words of the longest, R cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from snakecap.formats.alphas import Alphas
from snakecap.models.captioner import Captioner, Inputs

Weights = list[list[float]]  # of a caption: for each of its words, one for each object


@dataclass(frozen=True)
class Attention:
    """Of some captions; all None when the model has no attention, or to nothing that can be shown.

    Attributes:
        objects: for each caption.
        alphas: of the grid, float16 (B, T, R), 0 behind the last word.
        covers: how much of the picture's sides, in its middle, the grid covers, up to 1.
    """

    objects: list[Weights] | None = None
    alphas: Alphas | None = None
    covers: float = 1.0


@torch.inference_mode()
def attend(captioner: Captioner, inputs: Inputs, words: Tensor, side: int) -> Attention:
    """What the words (B, T) of captions look at, in pictures of `side` pixels before any crop."""
    each = captioner.attention(inputs, words)
    objects, alphas, covers = None, None, 1.0
    for encoder, name, weights in zip(captioner.encoders, captioner.reads, each, strict=True):
        if weights is None:
            continue
        if getattr(encoder, "by_object", False) and objects is None:
            objects = _by_object(weights, inputs[name]["categories"], words)
        share = _covers(captioner, name, side)
        if getattr(encoder, "by_cell", False) and share and alphas is None:
            alphas = (weights[:, :-1] * (words > 0).unsqueeze(2)).half().cpu().numpy()
            covers = share
    return Attention(objects, alphas, covers)


def _by_object(weights: Tensor, ids: Tensor, words: Tensor) -> list[Weights]:
    """The weights without those of padding."""
    rows = weights.double().cpu().numpy().round(3)
    sizes = zip((words > 0).sum(1).tolist(), (ids > 0).sum(1).tolist(), strict=True)
    return [row[:t, :r].tolist() for row, (t, r) in zip(rows, sizes, strict=True)]


def _covers(captioner: Captioner, name: str, side: int) -> float:
    """How much of a picture's sides an input shows; 0 where a cell is no place in the picture."""
    look = captioner.looks.get(name.partition("+")[0])
    if look is None:
        return 1.0
    if look.preprocessing.get("crops", "one") != "one":
        return 0.0
    return float((look.preprocessing["crop"] or side) / side)


def joined(parts: Sequence[Attention], longest: int) -> Attention:
    """Of several batches as one, with room for `longest` words."""
    first = parts[0]
    objects = (
        None if first.objects is None else [one for part in parts for one in part.objects or ()]
    )
    if first.alphas is None:
        return Attention(objects)
    rows = [part.alphas for part in parts if part.alphas is not None]
    wide = [np.pad(row, ((0, 0), (0, longest - row.shape[1]), (0, 0))) for row in rows]
    return Attention(objects, np.concatenate(wide), first.covers)
