"""A network as its darknet ``.cfg`` describes it: YOLOv2, its tiny version, and our small one.

Source: darknet/src (Redmon): parser.c, convolutional_layer.c, maxpool_layer.c, route_layer.c,
reorg_layer.c, blas.c. Known deviation: batch norm divides by sqrt(variance + 1e-5), as darknet does
on a GPU; on a CPU it divides by sqrt(variance) + 1e-6.

Dimensions: B pictures, A anchors, K categories, C channels, H and W of an image, s stride, G side
of the grid, which is the image's divided by the network's stride.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snakecap.formats.darknet import VARIANCES, Array, Section

SLOPE = 0.1  # of darknet's leaky activation


@dataclass(frozen=True, slots=True)
class Shape:
    """A layer's output: C channels, and how many pixels of the image one of its own stands for."""

    channels: int
    stride: int


class Layer(nn.Module):
    """Base class: built from its section and the shapes of the image and the layers before it."""

    shape: Shape


class Convolution(Layer):
    """Convolution, batch norm, leaky ReLU; the last two where the ``.cfg`` asks for them."""

    def __init__(self, section: Section, shapes: Sequence[Shape]):
        super().__init__()
        section.require(groups="1", binary="0", xnor="0", flipped="0")
        activation = section.options.get("activation", "logistic")
        if activation not in ("leaky", "linear"):
            raise section.error(f"activation={activation} is not supported, only leaky and linear")
        size, filters, stride = (section.whole(key, 1) for key in ("size", "filters", "stride"))
        half = section.whole("pad", 0, least=0)
        padding = size // 2 if half else section.whole("padding", 0, least=0)
        normalised = bool(section.whole("batch_normalize", 0, least=0))
        self.leaky = activation == "leaky"
        self.convolution = nn.Conv2d(
            shapes[-1].channels, filters, size, stride, padding, bias=not normalised
        )
        self.norm = nn.BatchNorm2d(filters) if normalised else None
        self.shape = Shape(filters, shapes[-1].stride * stride)
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


class MaxPool(Layer):
    """The largest of each window; size - 1 pixels of padding, the odd one right and below.

    With stride 1, as the tiny network's last pool, the size of the image stays.
    """

    def __init__(self, section: Section, shapes: Sequence[Shape]):
        super().__init__()
        self.stride = section.whole("stride", 1)
        self.size = section.whole("size", self.stride)
        total = section.whole("padding", self.size - 1, least=0)
        before, after = total // 2, total - total // 2
        self.padding = (before, after, before, after)
        # H and W are multiples of the stride: windows no larger than it never leave the image.
        self.leaves = before > 0 or self.size > self.stride
        self.shape = Shape(shapes[-1].channels, shapes[-1].stride * self.stride)

    def forward(self, x: Tensor) -> Tensor:
        """Of shape (B, C, H, W)."""
        if self.leaves:
            x = F.pad(x, self.padding, value=-torch.inf)
        return F.max_pool2d(x, self.size, self.stride)


class Route(Layer):
    """The channels of some earlier layers, one after the other."""

    def __init__(self, section: Section, shapes: Sequence[Shape]):
        super().__init__()
        here = len(shapes) - 1
        given = section.numbers("layers")
        self.layers = [int(at) if at >= 0 else here + int(at) for at in given]
        whole = all(at.is_integer() for at in given)
        if not self.layers or not whole or not all(0 <= at < here for at in self.layers):
            text = section.options.get("layers", "")
            raise section.error(f"layers={text} are not layers before it")
        found = [shapes[at + 1] for at in self.layers]
        if len({shape.stride for shape in found}) > 1:
            raise section.error(f"joins layers of different sizes, strides {found}")
        self.shape = Shape(sum(shape.channels for shape in found), found[0].stride)

    def forward(self, outputs: Mapping[int, Tensor]) -> Tensor:
        """Of shape (B, sum of C, H, W)."""
        return torch.cat([outputs[layer] for layer in self.layers], 1)


class Reorg(Layer):
    """Fewer pixels, more channels, in the order that darknet's code really gives.

    It reads its input's memory as if it had C / s^2 channels and s times the width and height,
    takes every s-th pixel of that, and names the result (C s^2, H / s, W / s). All released
    weights have learnt this order.
    """

    def __init__(self, section: Section, shapes: Sequence[Shape]):
        super().__init__()
        section.require(reverse="0", flatten="0")
        self.stride = section.whole("stride", 1)
        channels = shapes[-1].channels
        if channels % self.stride**2:
            raise section.error(f"stride={self.stride} does not divide its {channels} channels")
        self.shape = Shape(channels * self.stride**2, shapes[-1].stride * self.stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C s^2, H / s, W / s)."""
        batch, channels, height, width = x.shape
        s = self.stride
        blocks = x.reshape(batch, channels // s**2, height, s, width, s)
        return blocks.permute(0, 3, 5, 1, 2, 4).reshape(
            batch, channels * s**2, height // s, width // s
        )


LAYERS: dict[str, type[Layer]] = {
    "convolutional": Convolution,
    "maxpool": MaxPool,
    "route": Route,
    "reorg": Reorg,
}


class Network(nn.Module):
    """The layers up to the region layer, whose options are `region`.

    Attributes:
        anchors: of shape (A, 2), widths and heights in cells of the grid.
        stride: pixels of the image a cell.
        size: the image's side that the ``.cfg`` asks for; any multiple of `stride` works.
    """

    anchors: Tensor

    def __init__(self, sections: Sequence[Section]):
        """Build the network with random weights.

        Raises:
            ValueError: a section or an option that these networks do not have; names its line.
        """
        super().__init__()
        if len(sections) < 3 or sections[0].name != "net" or sections[-1].name != "region":
            raise ValueError(
                f"{sections[0].place if sections else 'cfg'}: a YOLOv2 .cfg opens with [net] and "
                "ends with [region], with layers in between"
            )
        self.region = sections[-1]
        self.categories = self.region.whole("classes", 20)
        shapes = [Shape(sections[0].whole("channels", 3), 1)]
        layers: list[Layer] = []
        for section in sections[1:-1]:
            if section.name not in LAYERS:
                raise section.error(f"is not a layer of YOLOv2; known: {', '.join(LAYERS)}")
            layers.append(LAYERS[section.name](section, shapes))
            shapes.append(layers[-1].shape)
        self.layers = nn.ModuleList(layers)
        self.routed = {at for layer in layers if isinstance(layer, Route) for at in layer.layers}
        self.stride = shapes[-1].stride
        self.size = _side(sections[0], self.stride)
        self.register_buffer("anchors", _anchors(self.region, shapes[-1]), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """What the region layer reads, of shape (B, A, 5 + K, G, G).

        The five are the centre's x and y in its cell, width and height, and objectness, before
        their activations.

        Args:
            images: RGB of shape (B, 3, H, W), 0..1; H and W multiples of `stride`.
        """
        kept: dict[int, Tensor] = {}
        # A quarter faster in training on a CPU, and 1.6 times in evaluation (docs/log.md).
        x = images.contiguous(memory_format=torch.channels_last)
        for number, layer in enumerate(self.layers):
            x = layer(kept if isinstance(layer, Route) else x)
            if number in self.routed:
                kept[number] = x
        batch, _, height, width = x.shape
        return x.float().reshape(batch, len(self.anchors), -1, height, width)

    def arrays(self) -> dict[str, Tensor]:
        """The numbers of a ``.weights`` file by name, in its order."""
        return {
            f"layer {number}'s {name}": tensor
            for number, layer in enumerate(self.layers)
            if isinstance(layer, Convolution)
            for name, tensor in layer.arrays().items()
        }

    @torch.no_grad()
    def take(self, values: Mapping[str, Array]) -> None:
        """Take up the numbers of a ``.weights`` file."""
        for name, tensor in self.arrays().items():
            tensor.copy_(torch.tensor(values[name]))


def checked_size(network: Network, size: int | None) -> int:
    """The side of the network's input.

    Raises:
        ValueError: `size` is no multiple of the network's stride.
    """
    if size is not None and size % network.stride:
        raise ValueError(f"yolov2: size={size} is not a multiple of its stride, {network.stride}")
    return size or network.size


def _anchors(region: Section, last: Shape) -> Tensor:
    """The region layer's anchors, of shape (A, 2), once they fit the layer before it."""
    region.require(coords="4", softmax="1", background="0")
    numbers, count = region.numbers("anchors"), region.whole("num", 1)
    if "tree" in region.options:
        raise region.error("a tree of categories (YOLO9000) is not supported")
    if len(numbers) != 2 * count or min(numbers, default=0) <= 0:
        raise region.error(f"num={count} needs {2 * count} positive anchors, not {len(numbers)}")
    expected = count * (region.whole("classes", 20) + 5)
    if last.channels != expected:
        raise region.error(f"reads {expected} channels, the layer before it has {last.channels}")
    return torch.tensor(numbers).reshape(-1, 2)


def _side(net: Section, stride: int) -> int:
    width, height = net.whole("width", 416), net.whole("height", 416)
    if width != height or width % stride:
        raise net.error(f"width={width} and height={height} must be equal, a multiple of {stride}")
    return width
