"""YOLOv2 networks to train: a small one of our own, or one that a ``.cfg`` describes.

Either gets a data set's categories, and anchors, the typical shapes of its boxes: k-means with
1 - IoU as the distance (Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger", CVPR 2017,
section 2, "Dimension Clusters"). Known deviation: no random start. The first shapes are taken at
even steps from the boxes sorted by area, so that a data set always gives the same anchors.

A fresh network predicts its anchors in the middle of their cells: darknet's networks are drawn
there over their first 12,800 pictures.

Dimensions: N boxes, A anchors, K categories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from snakecap.detectors.darknet_network import Convolution, Network, checked_size
from snakecap.formats.darknet import Section, parse, read_cfg, text_of

FIRST_WEIGHTS = 0.1  # of the last layer, as a share of the usual ones: boxes start as the anchors
USUAL_SIZE = 416  # pixels, or a few more: darknet's own
Shapes = NDArray[np.float64]  # widths and heights in any one unit, of shape (N, 2)
ROUNDS = 100  # it has always settled long before


def sections(cfg: str | None, size: int | None, width: int, depth: int) -> tuple[Section, ...]:
    """The network of the options of `snakecap.detectors.yolov2.YOLOv2`, its anchors still any.

    Raises:
        FileNotFoundError: no ``.cfg`` there.
        ValueError: the ``.cfg`` is none of YOLOv2's, or the size no multiple of its stride.
    """
    net, *rest = found = read_cfg(Path(cfg)) if cfg else small(width, depth)
    side = checked_size(Network(found), size)
    return (_with(net, width=side, height=side), *rest)


def cfg_for(network: Sequence[Section], anchors: int, categories: int, shapes: Shapes) -> str:
    """The ``.cfg`` of a network for a data set of K categories; its boxes in 0..1 of the square.

    Raises:
        ValueError: no boxes.
    """
    *layers, last, region = network
    # Each draws weights: with one network less, what is built next would begin with others.
    size, stride = Network(network).size, Network(network).stride
    found = (cluster(shapes, anchors) * size / stride).round(4)
    listed = ",".join(map(str, found.flatten().tolist()))
    last = _with(last, filters=anchors * (5 + categories))
    region = _with(region, anchors=listed, num=anchors, classes=categories)
    return text_of([*layers, last, region])


def _with(section: Section, **options: Any) -> Section:
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
    return _with(Section("convolutional", {}), **numbers, activation="leaky")


def overlaps(shapes: Shapes, others: Shapes) -> Shapes:
    """The IoU (N, A), 0..1, of boxes (N) and others (A) that share their centre."""
    shared = np.minimum(shapes[:, None], others[None]).prod(2)
    union = shapes.prod(1)[:, None] + others.prod(1)[None] - shared
    result: Shapes = shared / union
    return result


def cluster(shapes: Shapes, number: int) -> Shapes:
    """The anchors (A, 2) of boxes of positive size, smallest area first.

    With fewer different shapes than the number of anchors, some of these are equal.

    Raises:
        ValueError: no boxes.
    """
    if not len(shapes):
        raise ValueError("anchors need at least one box")
    sorted_shapes = shapes[np.lexsort((shapes[:, 0], shapes.prod(1)))]
    steps = (np.arange(number) + 0.5) / number * len(shapes)
    anchors = sorted_shapes[steps.astype(int)]
    for _ in range(ROUNDS):
        nearest = overlaps(shapes, anchors).argmax(1)
        moved = anchors.copy()  # one that loses its members stays where it is
        for k in set(nearest):
            moved[k] = shapes[nearest == k].mean(0)
        if np.array_equal(moved, anchors):
            break
        anchors = moved
    ascending: Shapes = anchors[anchors.prod(1).argsort(kind="stable")]
    return ascending
