"""What a region shows: its code, whether it is something, a better box, what a decoder reads.

Source: densecap's DenseCapModel (recog_base, objectness_branch, box_reg_branch). Known deviations:
attention reads the region's cells, and a context the whole picture's code, as the late fusion of
Yang et al., "Dense Captioning with Joint Inference and Visual Context" (CVPR 2017), if asked for.

Dimensions: N regions, C channels, S side of a pooled region, F numbers of a code, D width.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from snakecap.models.encoded import Encoded


class Recognised(NamedTuple):
    """N regions."""

    codes: Tensor  # (N, F)
    scores: Tensor  # logits of being something, (N,)
    transforms: Tensor  # to the better boxes, (N, 4)


class RecognitionNetwork(nn.Module):
    """Two layers, from which everything else is one more.

    Args:
        channels: C.
        side: S.
        code: F; 4096 in VGG.
        dropout: after each of the layers.
    """

    def __init__(self, channels: int, *, side: int, code: int, dropout: float):
        super().__init__()
        layers = ((channels * side**2, code), (code, code))
        each = [(nn.Linear(*sizes), nn.ReLU(), nn.Dropout(dropout)) for sizes in layers]
        self.base = nn.Sequential(nn.Flatten(), *(module for one in each for module in one))
        self.score = nn.Linear(code, 1)
        self.box = nn.Linear(code, 4)
        for layer, deviation in ((self.score, 0.01), (self.box, 0.0)):
            nn.init.normal_(layer.weight, std=deviation)
            nn.init.zeros_(layer.bias)

    def forward(self, regions: Tensor) -> Recognised:
        """Of pooled regions (N, C, S, S)."""
        codes = self.base(regions)
        scores: Tensor = self.score(codes)
        return Recognised(codes, scores.squeeze(1).float(), self.box(codes).float())


class RegionEncoder(nn.Module):
    """A region as a decoder reads it.

    Args:
        code: F.
        channels: C, where the cells are attended to; 0: none are.
        context: whether the whole picture's code is beside the region's.
    """

    def __init__(self, width: int, *, code: int, channels: int = 0, context: bool = False):
        super().__init__()
        self.context, self.size = context, code * (1 + context)
        self.summary = nn.Sequential(nn.Linear(self.size, width), nn.ReLU())
        self.cells = nn.Linear(channels, width) if channels else None

    def forward(self, codes: Tensor, regions: Tensor | None = None) -> Encoded:
        """Codes (N, F), with a context (N, 2 F), and pooled regions (N, C, S, S)."""
        summary = self.summary(codes)
        if self.cells is None or regions is None:
            return Encoded(summary)
        return Encoded(summary, self.cells(regions.flatten(2).transpose(1, 2)))
