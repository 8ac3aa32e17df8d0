"""The network that proposes regions: of every anchor, whether something is there, and its box.

Source: Ren et al., "Faster R-CNN" (NeurIPS 2015), 3.1; densecap's LocalizationLayer (build_rpn,
forward_test). Known deviation: anchors of several pictures at once.

Dimensions: B pictures, C channels, h and w cells of a map, K anchors of a cell, A = K h w anchors
of a picture, R regions of the picture that has most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import nms

from snakecap.models.dense import boxes as geometry


class Proposals(NamedTuple):
    """Every anchor's; in the order of `geometry.anchors`."""

    anchors: Tensor  # (A, 4)
    transforms: Tensor  # (B, A, 4)
    scores: Tensor  # logits of something and of nothing, (B, A, 2)

    @property
    def boxes(self) -> Tensor:
        """The anchors, moved: (B, A, 4)."""
        return geometry.apply(self.anchors, self.transforms)


class ProposalNetwork(nn.Module):
    """A convolution, and for every anchor a box and two scores.

    Args:
        channels: C.
        filters: of the convolution.
        anchors: widths and heights in pixels, K pairs.
        stride: pixels of a cell.
    """

    shapes: Tensor

    def __init__(
        self, channels: int, *, filters: int, anchors: Sequence[tuple[float, float]], stride: int
    ):
        super().__init__()
        self.stride = stride
        self.register_buffer("shapes", torch.tensor(anchors), persistent=False)
        self.convolution = nn.Conv2d(channels, filters, 3, padding=1)
        self.box = nn.Conv2d(filters, 4 * len(anchors), 1)
        self.score = nn.Conv2d(filters, 2 * len(anchors), 1)
        for layer, deviation in ((self.convolution, 0.01), (self.box, 0.0), (self.score, 0.01)):
            nn.init.normal_(layer.weight, std=deviation)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Proposals:
        """Of maps (B, C, h, w)."""
        hidden = F.relu(self.convolution(features))
        height, width = features.shape[2:]
        anchors = geometry.anchors(self.shapes, (height, width), self.stride)
        transforms, scores = self._rows(self.box(hidden), 4), self._rows(self.score(hidden), 2)
        return Proposals(anchors, transforms.float(), scores.float())

    def _rows(self, raw: Tensor, numbers: int) -> Tensor:
        """Channels (B, K * n, h, w), anchor by anchor, as rows (B, A, n)."""
        pictures, _, height, width = raw.shape
        split = raw.view(pictures, -1, numbers, height, width)
        return split.permute(0, 1, 3, 4, 2).flatten(1, 3)


def choose(proposals: Proposals, sizes: Tensor, *, overlap: float, limit: int) -> list[Tensor]:
    """The likeliest boxes of each picture inside it, the best first; boxes (R, 4).

    Args:
        sizes: widths and heights of the pictures, (B, 2).
        overlap: a box goes when a better one has a larger IoU with it.
        limit: how many of a picture, at most.
    """
    chances = proposals.scores.softmax(-1)[..., 0]
    clipped = geometry.clip(proposals.boxes, sizes.unsqueeze(1))
    found = []
    for boxes, scores in zip(clipped, chances, strict=True):
        there = geometry.exists(boxes)
        boxes, scores = boxes[there], scores[there]
        found.append(boxes[nms(boxes, scores, overlap)[:limit]])
    return found


def padded(boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Each picture's boxes as one tensor (B, R, 4), and which of them exist, (B, R)."""
    rows: Tensor = nn.utils.rnn.pad_sequence(list(boxes), batch_first=True)
    counts = torch.tensor([len(row) for row in boxes], device=rows.device)
    return rows, torch.arange(rows.shape[1], device=rows.device) < counts.unsqueeze(1)
