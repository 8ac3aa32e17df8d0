"""The layers of darknet's YOLOv2 networks.

Source: darknet/src (Redmon): convolutional_layer.c, maxpool_layer.c, route_layer.c, reorg_layer.c,
blas.c. Known deviation: batch norm divides by sqrt(variance + 1e-5), as darknet does on a GPU; on a
CPU it divides by sqrt(variance) + 1e-6.

Dimensions: B pictures, C channels, H and W of an image, s stride.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snakecap.formats.darknet import VARIANCES, Section

SLOPE = 0.1  # of darknet's leaky activation


class Convolution(nn.Module):
    """Convolution, batch norm, leaky ReLU; the last two where the ``.cfg`` asks for them."""

    def __init__(self, section: Section, channels: int):
        super().__init__()
        size, filters = section.whole("size", 1), section.whole("filters", 1)
        padding = size // 2 if section.whole("pad", 0, least=0) else _padding(section, 0)
        normalised = bool(section.whole("batch_normalize", 0, least=0))
        self.leaky = section.options.get("activation", "logistic") == "leaky"
        self.convolution = nn.Conv2d(
            channels, filters, size, section.whole("stride", 1), padding, bias=not normalised
        )
        self.norm = nn.BatchNorm2d(filters) if normalised else None
        nn.init.kaiming_normal_(self.convolution.weight, SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        """Of shape (B, C, H, W)."""
        x = self.convolution(x)
        x = x if self.norm is None else self.norm(x)
        return F.leaky_relu(x, SLOPE) if self.leaky else x

    def arrays(self) -> dict[str, Tensor]:
        """Its numbers in the order of a ``.weights`` file."""
        if self.norm is None:
            assert self.convolution.bias is not None
            head = {"biases": self.convolution.bias}
        else:
            assert self.norm.running_mean is not None and self.norm.running_var is not None
            head = {"biases": self.norm.bias, "scales": self.norm.weight}
            head |= {"means": self.norm.running_mean, VARIANCES: self.norm.running_var}
        return {**head, "weights": self.convolution.weight}


class MaxPool(nn.Module):
    """The largest of each window; size - 1 pixels of padding, the odd one right and below.

    With stride 1, as the tiny network's last pool, the size of the image stays.
    """

    def __init__(self, section: Section):
        super().__init__()
        self.stride = section.whole("stride", 1)
        self.size = section.whole("size", self.stride)
        total = _padding(section, self.size - 1)
        before, after = total // 2, total - total // 2
        self.padding = (before, after, before, after)
        # H and W are multiples of the stride: windows no larger than it never leave the image.
        self.leaves = before > 0 or self.size > self.stride

    def forward(self, x: Tensor) -> Tensor:
        """Of shape (B, C, H, W)."""
        if self.leaves:
            x = F.pad(x, self.padding, value=-torch.inf)
        return F.max_pool2d(x, self.size, self.stride)


class Route(nn.Module):
    """The channels of some earlier layers, one after the other."""

    def __init__(self, layers: Sequence[int]):
        super().__init__()
        self.layers = list(layers)

    def forward(self, outputs: Mapping[int, Tensor]) -> Tensor:
        """Of shape (B, sum of C, H, W)."""
        return torch.cat([outputs[layer] for layer in self.layers], 1)


class Reorg(nn.Module):
    """Fewer pixels, more channels, in the order that darknet's code really gives.

    It reads its input's memory as if it had C / s^2 channels and s times the width and height,
    takes every s-th pixel of that, and names the result (C s^2, H / s, W / s). All released
    weights have learnt this order.
    """

    def __init__(self, stride: int):
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C s^2, H / s, W / s)."""
        batch, channels, height, width = x.shape
        s = self.stride
        blocks = x.reshape(batch, channels // s**2, height, s, width, s)
        return blocks.permute(0, 3, 5, 1, 2, 4).reshape(
            batch, channels * s**2, height // s, width // s
        )


def _padding(section: Section, default: int) -> int:
    return section.whole("padding", default, least=0)
