"""A small convolutional network of our own, trained from scratch in a minute on a CPU.

Made for the `shapes` data set, which asks how many, what colour and where. Narrow, so that a
minute holds many passes over the pictures, which helped more than width (docs/log.md). Two
coordinate planes before the last block tell it where it looks (CoordConv, Liu et al., 2018), so
that pooling does not lose position; the mean over the grid counts and the maximum finds.
Group norm (Wu & He, 2018) is the same function in training and in evaluation, so that a fine-tuned
stage begins with the very features that the frozen stage before it read.
Imports no torchvision, whose import takes longer than a training epoch here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snakecap.models.backbones.backbone import Backbone, BackboneOutput, as_grid

HALVING = (16, 32, 64)  # channels of the blocks that halve the side
LAST = 128
GROUPS = 8  # of channels that are normalised together


class Tiny(Backbone):
    """Four blocks of convolution, group norm and ReLU; pooled: each channel's mean and maximum.

    It has no classes, and so no class scores.
    """

    grid_width = LAST
    width = 2 * LAST

    def __init__(self, architecture: str = "tiny", class_scores: bool = False):
        if class_scores:
            raise ValueError("the backbone `tiny` has no classes: set class_scores: false")
        super().__init__(architecture, class_scores)
        halving = zip((3, *HALVING), HALVING, strict=False)
        blocks = [block(before, after, 4, 2) for before, after in halving]
        self.net = nn.Sequential(*blocks, block(HALVING[-1] + 2, LAST, 3, 1))

    def forward(self, images: Tensor) -> BackboneOutput:
        """H and W are at least 8; no feature is negative."""
        *halving, last = self.net.children()
        features = images.contiguous(memory_format=torch.channels_last)
        for layer in halving:
            features = layer(features)
        grid = last(with_coordinates(features))
        pooled = torch.cat([grid.mean((2, 3)), grid.amax((2, 3))], 1)
        return BackboneOutput(pooled, as_grid(grid))


def block(before: int, after: int, side: int, stride: int) -> nn.Sequential:
    """Convolution without bias (the group norm has one), group norm, ReLU."""
    convolution = nn.Conv2d(before, after, side, stride, 1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(convolution, nn.GroupNorm(GROUPS, after), nn.ReLU(inplace=True))


def with_coordinates(features: Tensor) -> Tensor:
    """Append each cell's row and column, from -1 to 1: (B, C, h, w) to (B, C + 2, h, w)."""
    rows, columns = (
        torch.linspace(-1, 1, side, dtype=features.dtype, device=features.device)
        for side in features.shape[2:]
    )
    planes = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    whole = torch.cat([features, planes.expand(len(features), -1, -1, -1)], 1)
    return whole.contiguous(memory_format=torch.channels_last)
