"""YOLOv2: one look at a picture, a grid of cells, a few predictors a cell.

Source: Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger" (CVPR 2017); darknet/src
region_layer.c get_region_boxes and box.c do_nms_sort. It reads models that
`snakecap.steps.train_detector` wrote, and darknet's own ``.cfg`` with ``.weights``. Pictures are
letterboxed on grey; a predictor's category is its likeliest, its score objectness times that
category's probability; boxes come in darknet's order: anchor, then row, then column.

Known deviations: the grey is 128 of 255, darknet's 127.5. Darknet suppresses overlapping boxes in
all of their categories and names a box after the best one left; here a box has one category from
the start, and goes when a better box has the same. No official weights were at hand: what is tested
is that a network of random weights gives what plain code of darknet's formulas gives.

Dimensions: B pictures, A anchors, K categories, G side of the grid, S side of the network's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from snakecap.detectors.darknet_network import Network, checked_size
from snakecap.detectors.detector import Detector
from snakecap.formats import model as models
from snakecap.formats.darknet import parse, read_cfg, read_names, read_weights
from snakecap.formats.pictures import Picture
from snakecap.objects.boxes import Detections, Frame, clip, letterbox, suppress
from snakecap.objects.categories import NAMES

Size = tuple[int, int]  # width and height of an image in pixels
LARGEST = 20.0  # logarithm of a size; without a limit exp could overflow
# Pictures are always computed in groups of one size: for another number of them torch may choose
# another algorithm, whose last bits differ. 16 pictures of 64 x 64 pixels; larger ones singly.
PIXELS_AT_ONCE = 256 * 256


@dataclass(frozen=True, slots=True)
class Limits:
    """Which boxes are kept; see `snakecap.config.detection.Detector`."""

    min_score: float
    overlap: float
    limit: int


class YOLOv2(Detector):
    """A trained network; see the module."""

    uses = "weights"
    reads_images = True

    def __init__(
        self,
        *,
        file: Path,
        min_score: float,
        overlap: float,
        limit: int,
        place: torch.device,
        cfg: str | None = None,
        names: str | None = None,
        size: Annotated[int, Field(ge=32, le=4096)] | None = None,
        width: Annotated[int, Field(ge=1)] = 16,
        depth: Annotated[int, Field(ge=1, le=6)] = 3,
        anchors: Annotated[int, Field(ge=1)] = 5,
    ):
        """Read a network.

        Args:
            file: a model.safetensors of ours, or darknet's ``.weights``.
            cfg: darknet's ``.cfg``: of the ``.weights``, or of a network to train; null: a small
                network of our own.
            names: file of the names of its categories, one a line; null: COCO's 80 for
                ``.weights``, the data set's own when training.
            size: S, a multiple of the network's stride; null: what the model or ``.cfg`` says.
            width: of a small network to train, channels of the first layer.
            depth: of a small network to train, how often it halves the image.
            anchors: of a network to train, predictors a cell.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: the files do not fit each other, or the size the network; names the file.
        """
        path = Path(file)
        read = _ours(path) if path.suffix == ".safetensors" else _darknets(path, cfg, names)
        self.network, self.categories = read
        self.network.size = checked_size(self.network, size)
        self.network.eval().to(place)
        self.limits = Limits(min_score, overlap, limit)

    def detect(
        self, pictures: Sequence[Picture], images: Sequence[NDArray[np.uint8]]
    ) -> list[Detections]:
        if not images:
            return []
        boxed = [letterbox(image, self.network.size)[0] for image in images]
        sizes = [(image.shape[2], image.shape[1]) for image in images]
        return look(self.network, torch.from_numpy(np.stack(boxed)), sizes, self.limits)


@torch.inference_mode()
def look(
    network: Network, squares: Tensor, sizes: Sequence[Size], limits: Limits
) -> list[Detections]:
    """The objects of letterboxed pictures.

    Args:
        network: in evaluation mode.
        squares: uint8 RGB of shape (B, 3, S, S), on any device.
        sizes: width and height of each picture before the letterbox.
    """
    side = squares.shape[-1]
    number = max(1, PIXELS_AT_ONCE // side**2)
    filled = F.pad(squares, (0, 0, 0, 0, 0, 0, 0, -len(squares) % number))
    found: list[Detections] = []
    for start in range(0, len(squares), number):
        part = filled[start : start + number].to(network.anchors.device)
        raw = network(part.float() / 255)
        found += found_in(raw, network.anchors, sizes[start : start + number], side, limits)
    return found


def found_in(
    raw: Tensor, anchors: Tensor, sizes: Sequence[Size], side: int, limits: Limits
) -> list[Detections]:
    """The objects that the network's output means.

    Args:
        raw: of shape (B, A, 5 + K, G, G).
        anchors: in cells, of shape (A, 2).
        sizes: width and height of the pictures before the letterbox; pictures of the batch beyond
            these are left out.
    """
    boxes = decode(raw, anchors).flatten(1, 3).cpu()
    likeliest = raw[:, :, 5:].softmax(2).max(2)
    scores = (raw[:, :, 4].sigmoid() * likeliest.values).flatten(1).cpu()
    categories = likeliest.indices.flatten(1).cpu()
    return [
        _kept(boxes[row], scores[row], categories[row], size, side, limits)
        for row, size in enumerate(sizes)
    ]


def decode(raw: Tensor, anchors: Tensor) -> Tensor:
    """The boxes that the region layer's input means.

    Args:
        raw: of shape (B, A, 5 + K, G, G).
        anchors: in cells, of shape (A, 2).

    Returns:
        [left, top, width, height] in 0..1 of the square, of shape (B, A, G, G, 4): in darknet's
        order when flattened.
    """
    grid = raw.shape[-1]
    cells = torch.arange(grid, device=raw.device, dtype=raw.dtype)
    rows, columns = torch.meshgrid(cells, cells, indexing="ij")
    x = raw[:, :, 0].sigmoid() + columns
    y = raw[:, :, 1].sigmoid() + rows
    sizes = raw[:, :, 2:4].clamp(max=LARGEST).exp() * anchors[:, :, None, None].to(raw.dtype)
    width, height = sizes.unbind(2)
    return torch.stack([x - width / 2, y - height / 2, width, height], -1) / grid


def _kept(
    boxes: Tensor, scores: Tensor, categories: Tensor, size: Size, side: int, limits: Limits
) -> Detections:
    """One picture's boxes (A G G, 4) in 0..1 of the square, chosen, as boxes of the picture."""
    sure = (scores >= limits.min_score).nonzero().squeeze(1)
    arrays = ((boxes[sure] * side).float(), categories[sure], scores[sure].float())
    found = Detections(*(array.numpy() for array in arrays))
    found = suppress(found, overlap=limits.overlap, limit=limits.limit)
    inside = clip(Frame.around(*size, side).out(found.boxes), *size)
    return replace(found, boxes=inside).take(np.flatnonzero((inside[:, 2:] > 0).all(1)))


def _ours(path: Path) -> tuple[Network, tuple[str, ...]]:
    weights, header = models.read(path)
    if "cfg" not in header:
        raise ValueError(f"{path} is not a detector of snakecap: its header has no cfg")
    network = Network(parse(header["cfg"], f"{path}'s cfg"))
    models.fill(network, weights, str(path))
    return network, tuple(header["categories"])


def _darknets(path: Path, cfg: str | None, names: str | None) -> tuple[Network, tuple[str, ...]]:
    if cfg is None:
        raise ValueError(f"yolov2: {path} needs its darknet .cfg: set the option `cfg`")
    network = Network(read_cfg(Path(cfg)))
    categories = read_names(Path(names)) if names else NAMES
    if len(categories) != network.categories:
        raise ValueError(
            f"{names or 'COCO'} has {len(categories)} names, {cfg} {network.categories} "
            "categories: set the option `names` to a file with one name a line"
        )
    shapes = [(name, tuple(tensor.shape)) for name, tensor in network.arrays().items()]
    network.take(read_weights(path, shapes))
    return network, categories
