"""A network as its darknet ``.cfg`` describes it: YOLOv2, its tiny version, and our small one.

Source: darknet/src/parser.c (Redmon).

Dimensions: B pictures, A anchors, K categories, H and W of an image, G side of the grid, which is
the image's divided by the network's stride.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from snakecap.detectors.darknet_layers import Convolution, MaxPool, Reorg, Route
from snakecap.formats.darknet import Array, Section

# What an option must be where it is given: everything else would be another network.
REQUIRED = {
    "convolutional": {"groups": "1", "binary": "0", "xnor": "0", "flipped": "0"},
    "maxpool": {},
    "route": {},
    "reorg": {"reverse": "0", "flatten": "0"},
    "region": {"coords": "4", "softmax": "1", "background": "0"},
}


@dataclass(frozen=True, slots=True)
class Shape:
    """A layer's output: C channels, and how many pixels of the image one of its own stands for."""

    channels: int
    stride: int


class Network(nn.Module):
    """The layers up to the region layer, whose options are `region`.

    Attributes:
        anchors: of shape (A, 2), widths and heights in cells of the grid.
        categories: K.
        stride: pixels of the image a cell.
        size: the image's side that the ``.cfg`` asks for; any multiple of `stride` works.
    """

    anchors: Tensor

    def __init__(self, sections: Sequence[Section]):
        """Build the network with random weights.

        Args:
            sections: of a ``.cfg``: ``net``, the layers, ``region``.

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
        layers: list[nn.Module] = []
        for section in sections[1:-1]:
            layer, shape = _layer(section, shapes)
            layers.append(layer)
            shapes.append(shape)
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


def _layer(section: Section, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    """A layer, and the shape of its output.

    Args:
        section: of the layer.
        shapes: of the image and of the layers before this one.
    """
    if section.name not in BUILDERS:
        raise section.error(f"is not a layer of YOLOv2; known: {', '.join(BUILDERS)}")
    _check_options(section)
    return BUILDERS[section.name](section, shapes)


def _check_options(section: Section) -> None:
    for key, value in REQUIRED[section.name].items():
        if section.options.get(key, value) != value:
            raise section.error(f"{key}={section.options[key]} is not supported, only {value}")


def _convolution(section: Section, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    activation = section.options.get("activation", "logistic")
    if activation not in ("leaky", "linear"):
        raise section.error(f"activation={activation} is not supported, only leaky and linear")
    layer = Convolution(section, shapes[-1].channels)
    stride = shapes[-1].stride * layer.convolution.stride[0]
    return layer, Shape(layer.convolution.out_channels, stride)


def _maxpool(section: Section, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    layer = MaxPool(section)
    return layer, Shape(shapes[-1].channels, shapes[-1].stride * layer.stride)


def _route(section: Section, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    here = len(shapes) - 1
    given = section.numbers("layers")
    layers = [int(at) if at >= 0 else here + int(at) for at in given]
    whole = all(at.is_integer() for at in given)
    if not layers or not whole or not all(0 <= at < here for at in layers):
        raise section.error(f"layers={section.options.get('layers', '')} are not layers before it")
    found = [shapes[at + 1] for at in layers]
    if len({shape.stride for shape in found}) > 1:
        raise section.error(f"joins layers of different sizes, strides {found}")
    return Route(layers), Shape(sum(shape.channels for shape in found), found[0].stride)


def _reorg(section: Section, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    stride = section.whole("stride", 1)
    channels = shapes[-1].channels
    if channels % stride**2:
        raise section.error(f"stride={stride} does not divide its {channels} channels")
    return Reorg(stride), Shape(channels * stride**2, shapes[-1].stride * stride)


BUILDERS: dict[str, Callable[[Section, Sequence[Shape]], tuple[nn.Module, Shape]]] = {
    "convolutional": _convolution,
    "maxpool": _maxpool,
    "route": _route,
    "reorg": _reorg,
}


def _anchors(region: Section, last: Shape) -> Tensor:
    """The region layer's anchors, of shape (A, 2), once they fit the layer before it."""
    _check_options(region)
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
    if width != height or width <= 0 or width % stride:
        raise net.error(
            f"width={width} and height={height} must be equal, and a multiple of the stride, "
            f"{stride}"
        )
    return width
