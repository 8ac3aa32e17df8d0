"""Pictures and objects that a detector learns from, augmented anew each time.

A batch is a pure function of the seed and the iteration, and nothing depends on whether all the
pictures fit into memory.

Dimensions: B pictures of a batch, N objects, S side of the network's input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snakecap import device as devices
from snakecap.formats.pictures import Picture
from snakecap.inputs.augmentation import Augmentation, Truths, augmented
from snakecap.inputs.batches import Batch
from snakecap.inputs.sampler import Sampler
from snakecap.inputs.squares import Size, Squares
from snakecap.log import logger
from snakecap.objects.boxes import Array, Frame, clip
from snakecap.objects.categories import canonical


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of one picture.

    Attributes:
        boxes: [x, y, width, height] in pixels of the image file, inside it, of shape (N, 4).
        categories: of shape (N,), places in a list of names.
        crowds: whether each is a crowd, of shape (N,).
    """

    boxes: Array
    categories: NDArray[np.int64]
    crowds: NDArray[np.bool_]

    def __len__(self) -> int:
        """Objects."""
        return len(self.boxes)


def objects(squares: Squares, categories: Sequence[str]) -> list[Objects]:
    """The objects of each picture; a warning counts the boxes that are left out.

    Args:
        squares: their records, and the sizes of their files.
        categories: names.

    Raises:
        ValueError: an object's category is not among `categories`; names the picture.
    """
    places = {name: place for place, name in enumerate(categories)}
    pairs = zip(squares.pictures, squares.sizes, strict=True)
    rows = [_objects(picture, size, places) for picture, size in pairs]
    both = list(zip(squares.pictures, rows, strict=True))
    lost = [(picture, len(picture.objects) - len(row)) for picture, row in both]
    if number := sum(count for _, count in lost):
        first = next(picture for picture, count in lost if count)
        logger.warning(
            "boxes left out, of no size, not finite or outside their picture: %d; the first is of "
            "picture %s (%s)",
            number,
            first.id,
            first.file,
        )
    return rows


def _objects(picture: Picture, size: Size, places: Mapping[str, int]) -> Objects:
    for seen in picture.objects:
        if canonical(seen.category) not in places:
            raise ValueError(
                f"picture {picture.id} ({picture.file}) shows the unknown category "
                f"{seen.category!r}; known: {', '.join(places)}"
            )
    recorded = (picture.width or size[0], picture.height or size[1])
    scale = np.array([size[0] / recorded[0], size[1] / recorded[1]] * 2, np.float32)
    boxes = np.array([seen.box for seen in picture.objects], np.float32).reshape(-1, 4) * scale
    sound = np.isfinite(boxes).all(1) & (boxes[:, 2:] > 0).all(1)
    inside = clip(np.where(sound[:, None], boxes, 0), *size)
    kept = sound & (inside[:, 2:] > 0).all(1)
    names = [places[canonical(seen.category)] for seen in picture.objects]
    crowds = [seen.crowd for seen in picture.objects]
    return Objects(inside[kept], np.array(names, np.int64)[kept], np.array(crowds, bool)[kept])


class Examples:
    """The pictures of one split and their objects.

    Attributes:
        squares: the pixels.
        objects: of each picture, in pixels of its file.
        targets: of each picture, without crowds: boxes (N, 4) in 0..1 of the square, and
            categories (N,).
    """

    def __init__(self, squares: Squares, categories: Sequence[str]):
        """Prepare; a warning counts the boxes that are left out.

        Args:
            squares: the pixels.
            categories: names.

        Raises:
            ValueError: an object's category is not among `categories`; names the picture.
        """
        self.squares = squares
        self.objects = objects(squares, categories)
        self.targets = [
            _target(row, Frame.around(*size, squares.size))
            for row, size in zip(self.objects, squares.sizes, strict=True)
        ]

    def batch(self, rows: Sequence[int], place: torch.device) -> tuple[Tensor, Truths]:
        """Images (B, 3, S, S) in 0..1 and their objects, not augmented."""
        images = devices.send(torch.from_numpy(self.squares.read(rows)), place)
        boxes, categories = zip(*(self.targets[row] for row in rows), strict=True)
        owners = torch.arange(len(rows)).repeat_interleave(torch.tensor(list(map(len, boxes))))
        owners, edges, kinds = (
            devices.send(values, place)
            for values in (owners, torch.cat(boxes), torch.cat(categories))
        )
        return images.float() / 255, (owners, edges, kinds)

    def truth(self) -> dict[int | str, list[tuple[int, list[float], bool]]]:
        """By the picture's id: category, box in pixels of the file, and whether it is a crowd."""
        return {
            picture.id: list(
                zip(row.categories.tolist(), row.boxes.tolist(), row.crowds.tolist(), strict=True)
            )
            for picture, row in zip(self.squares.pictures, self.objects, strict=True)
        }

    def shapes(self) -> NDArray[np.float64]:
        """Widths and heights of all boxes in 0..1 of the square, of shape (N, 2)."""
        return torch.cat([self.targets[row][0] for row in self.rows()])[:, 2:].double().numpy()

    def rows(self) -> list[int]:
        """The pictures that teach: those with an object.

        Raises:
            ValueError: there is none.
        """
        found = [row for row, (boxes, _) in enumerate(self.targets) if len(boxes)]
        if not found:
            raise ValueError("no picture of the train split shows an object: nothing to learn from")
        return found


def _target(row: Objects, frame: Frame) -> tuple[Tensor, Tensor]:
    boxes = frame.into(row.boxes[~row.crowds]) / np.float32(frame.size)
    return torch.from_numpy(boxes), torch.from_numpy(row.categories[~row.crowds])


class DetectionBatches:
    """Augmented pictures and their objects, for every iteration."""

    def __init__(
        self,
        examples: Examples,
        augmentation: Augmentation,
        place: torch.device,
        *,
        batch_size: int,
        seed: int,
    ):
        """Prepare.

        Args:
            examples: of the training split; pictures without objects are not used.
            augmentation: how pictures change.
            place: device of the batches.
            batch_size: pictures a step.
            seed: of order and augmentation.

        Raises:
            ValueError: no picture has an object.
        """
        self.examples, self.augmentation, self.place = examples, augmentation, place
        rows = torch.tensor(examples.rows())
        self.sampler = Sampler(rows, batch_size=batch_size, seed=seed)

    def __call__(self, iteration: int) -> Batch[Truths]:
        """Images (B, 3, S, S) in 0..1 and their objects, on the device."""
        rows, generator = self.sampler.batch(iteration)
        images, truths = self.examples.batch(rows.tolist(), self.place)
        images, truths = augmented(images, truths, generator, self.augmentation)
        return Batch(rows, {"pictures": {"images": images}}, truths)
