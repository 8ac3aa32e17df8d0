"""A small convolutional network of our own, trained from scratch in a minute on a CPU.

Made for the `shapes` data set, which asks how many, what colour and where. Two coordinate planes
beside the colours tell every layer where it looks (CoordConv, Liu et al., 2018), so that pooling
does not lose position; the mean over the grid counts and the maximum finds.
Imports no torchvision, whose import takes longer than a training epoch here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snakecap.encoders.backbone import Backbone, BackboneOutput, as_grid

CHANNELS = (32, 48, 96, 128, 128)
STRIDES = (2, 2, 2, 1, 1)  # the grid has an eighth of the picture's side


def build_backbone(architecture: str = "tiny", class_scores: bool = False) -> Backbone:
    """The network with random weights.

    Raises:
        ValueError: class scores were asked for; it has no classes.
    """
    if class_scores:
        raise ValueError("the backbone `tiny` has no classes: set class_scores: false")
    return Tiny(architecture)


class Tiny(Backbone):
    """Five blocks of convolution, batch norm and ReLU; pooled: mean and maximum of each channel."""

    grid_width = CHANNELS[-1]
    width = 2 * CHANNELS[-1]

    def __init__(self, architecture: str = "tiny", class_scores: bool = False):
        super().__init__(architecture, class_scores)
        sizes = zip((5, *CHANNELS[:-1]), CHANNELS, STRIDES, strict=True)
        self.net = nn.Sequential(*(block(*size) for size in sizes))

    def forward(self, images: Tensor) -> BackboneOutput:
        """Features of preprocessed images (B, 3, H, W), H and W at least 8; none is negative."""
        grid = self.net(with_coordinates(images))
        pooled = torch.cat([grid.mean((2, 3)), grid.amax((2, 3))], 1)
        return BackboneOutput(pooled, as_grid(grid))


def block(before: int, after: int, stride: int) -> nn.Sequential:
    """3 x 3 convolution without bias (the batch norm has one), batch norm, ReLU."""
    convolution = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


def with_coordinates(images: Tensor) -> Tensor:
    """Append the row and the column, each from -1 to 1: (B, 3, H, W) to (B, 5, H, W)."""
    rows, columns = (
        torch.linspace(-1, 1, side, dtype=images.dtype, device=images.device)
        for side in images.shape[2:]
    )
    planes = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    whole = torch.cat([images, planes.expand(len(images), -1, -1, -1)], 1)
    return whole.contiguous(memory_format=torch.channels_last)
