"""YOLOv2 networks to train: a small one of our own, or one that a ``.cfg`` describes.

Either gets a data set's categories, and anchors from its boxes. A fresh network predicts its
anchors in the middle of their cells: darknet's networks are drawn there over their first 12,800
pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from snakecap.detectors.anchors import cluster
from snakecap.detectors.darknet_layers import Convolution
from snakecap.detectors.darknet_network import Network, checked_size
from snakecap.formats.darknet import Section, parse, read_cfg, text_of

FIRST_WEIGHTS = 0.1  # of the last layer, as a share of the usual ones: boxes start as the anchors


USUAL_SIZE = 416  # pixels, or a few more: darknet's own


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of `snakecap.detectors.yolov2.YOLOv2` that a network to train depends on."""

    cfg: str | None
    size: int | None
    width: int
    depth: int
    anchors: int


def cfg_for(plan: Plan, categories: int, shapes: NDArray[np.float64]) -> str:
    """The ``.cfg`` of a network for a data set.

    Args:
        plan: which network.
        categories: K.
        shapes: widths and heights of the boxes in 0..1 of the square image, of shape (N, 2).

    Raises:
        FileNotFoundError: no ``.cfg`` there.
        ValueError: as `side`, or no boxes.
    """
    net, *layers, last, region = sections = _sections(plan)
    size, stride = side(plan), Network(sections).stride
    anchors = (cluster(shapes, plan.anchors) * size / stride).round(4)
    filters = len(anchors) * (5 + categories)
    listed = ",".join(map(str, anchors.flatten().tolist()))
    changed = [
        _with(net, {"width": size, "height": size}),
        *layers,
        _with(last, {"filters": filters}),
        _with(region, {"anchors": listed, "num": len(anchors), "classes": categories}),
    ]
    return text_of(changed)


def side(plan: Plan) -> int:
    """The side of the network's input in pixels.

    Raises:
        FileNotFoundError: no ``.cfg`` there.
        ValueError: the ``.cfg`` is none of YOLOv2's, or the size no multiple of its stride.
    """
    return checked_size(Network(_sections(plan)), plan.size)


def _sections(plan: Plan) -> tuple[Section, ...]:
    return read_cfg(Path(plan.cfg)) if plan.cfg else small(plan.width, plan.depth)


def _with(section: Section, options: Mapping[str, Any]) -> Section:
    values = {key: str(value) for key, value in options.items()}
    return replace(section, options={**section.options, **values})


def build(cfg: str) -> Network:
    """A network with random weights, ready to train."""
    network = Network(parse(cfg))
    last = network.layers[-1]
    if isinstance(last, Convolution) and last.convolution.bias is not None:
        with torch.no_grad():
            last.convolution.weight.mul_(FIRST_WEIGHTS)
        nn.init.zeros_(last.convolution.bias)
    return network


def small(width: int, depth: int) -> tuple[Section, ...]:
    """A network for small images: the first halving by stride, the others by pooling.

    Its 3 x 3 convolutions have twice the channels after each halving, and the last of them comes
    twice.

    Args:
        width: channels of the first layer.
        depth: how often it halves the image, at least once.
    """
    layers = [_convolution(width, stride=2)]
    for level in range(1, depth):
        layers += [_convolution(width << level), Section("maxpool", {"size": "2", "stride": "2"})]
    layers += [_convolution(width << depth), _convolution(width << depth)]
    output = Section("convolutional", {"filters": "6", "size": "1", "activation": "linear"})
    region = Section("region", {"anchors": "1,1", "num": "1", "classes": "1", "rescore": "1"})
    stride = 2**depth
    size = str(-(-USUAL_SIZE // stride) * stride)
    return (Section("net", {"width": size, "height": size}), *layers, output, region)


def _convolution(filters: int, *, stride: int = 1) -> Section:
    numbers = {"batch_normalize": 1, "filters": filters, "size": 3, "stride": stride, "pad": 1}
    options = {key: str(value) for key, value in numbers.items()}
    return Section("convolutional", {**options, "activation": "leaky"})
