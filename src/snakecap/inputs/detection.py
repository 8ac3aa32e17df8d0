"""Pictures and objects that a detector learns from, augmented anew each time.

A batch is a pure function of the seed and the iteration, and nothing depends on whether all the
pictures fit into memory.

Source: Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger" (CVPR 2017), section 2: random
crops, scales and colours. Known deviations: one move (mirror, zoom, shift) replaces darknet's crop,
and gains of the three channels its changes of hue, saturation and exposure.

Dimensions: B pictures of a batch, N objects, S side of the network's input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from snakecap import device as devices
from snakecap.formats import decode
from snakecap.formats.pictures import Picture
from snakecap.inputs.batches import Batch, Sampler
from snakecap.log import logger, progress
from snakecap.objects.boxes import Array, Frame, clip, letterbox
from snakecap.objects.categories import canonical

MEMORY = 2 << 30  # bytes of letterboxed pictures that are kept; more are read when needed
VISIBLE = 0.3  # an object counts while this share of its moved box is inside the square
Size = tuple[int, int]  # width and height of an image file in pixels
Truths = tuple[Tensor, Tensor, Tensor]  # place in the batch (N,), box (N, 4), category (N,)


class Squares:
    """Letterboxed image files, each decoded once; a warning names those that cannot be read.

    Args:
        memory: bytes of pixels to keep; when there are more, `read` decodes again.
    """

    def __init__(self, root: Path, pictures: Sequence[Picture], size: int, *, memory: int = MEMORY):
        self.root, self.size = root, size
        self.pixels: NDArray[np.uint8] | None = None
        if len(pictures) * 3 * size**2 <= memory:
            self.pixels = np.empty((len(pictures), 3, size, size), np.uint8)
        kept: list[tuple[Picture, Size]] = []
        unreadable: list[str] = []
        with _threads() as pool:
            boxed = pool.map(self._decoded, pictures)
            both = zip(pictures, boxed, strict=True)
            for picture, found in progress(both, title="decode", total=len(pictures)):
                if isinstance(found, str):
                    unreadable.append(f"{picture.file}: {found}")
                    continue
                if self.pixels is not None:
                    self.pixels[len(kept)] = found[0]
                kept.append((picture, found[1]))
        self.pictures = tuple(picture for picture, _ in kept)  # those that can be read
        self.sizes = [found for _, found in kept]
        if unreadable:
            logger.warning("unreadable pictures left out: %d; %s", len(unreadable), unreadable[0])

    def _decoded(self, picture: Picture) -> tuple[NDArray[np.uint8], Size] | str:
        """A picture's square and its file's size, or why there is none."""
        try:
            image = decode.load_whole(self.root / picture.file)
        except decode.Unreadable as error:
            return str(error)
        return letterbox(image, self.size)[0], (image.shape[2], image.shape[1])

    def read(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        """Some of `pictures`, of shape (B, 3, S, S)."""
        if self.pixels is not None:
            return self.pixels[list(rows)]
        chosen = [self.pictures[row] for row in rows]
        with _threads() as pool:
            found = list(pool.map(self._decoded, chosen))
        for picture, one in zip(chosen, found, strict=True):
            if isinstance(one, str):
                raise ValueError(f"{self.root / picture.file} was readable before: {one}")
        return np.stack([one[0] for one in found if not isinstance(one, str)])


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(2, torch.get_num_threads()))


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of one picture."""

    boxes: Array  # [x, y, width, height] in pixels of the image file, inside it, (N, 4)
    categories: NDArray[np.int64]  # places in a list of names, (N,)
    crowds: NDArray[np.bool_]  # (N,)

    def __len__(self) -> int:
        return len(self.boxes)


def objects(squares: Squares, categories: Sequence[str]) -> list[Objects]:
    """The objects of each picture; a warning counts the boxes that are left out."""
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

    Raises:
        ValueError: an object's category is not among `categories`; names the picture.
    """

    def __init__(self, squares: Squares, categories: Sequence[str]):
        self.squares = squares
        self.objects = objects(squares, categories)
        # Of each picture, without crowds: boxes (N, 4) in 0..1 of the square, categories (N,).
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
        """The pictures that teach: those with an object."""
        found = [row for row, (boxes, _) in enumerate(self.targets) if len(boxes)]
        if not found:
            raise ValueError("no picture of the train split shows an object: nothing to learn from")
        return found


def _target(row: Objects, frame: Frame) -> tuple[Tensor, Tensor]:
    boxes = frame.into(row.boxes[~row.crowds]) / np.float32(frame.size)
    return torch.from_numpy(boxes), torch.from_numpy(row.categories[~row.crowds])


class DetectionBatches:
    """Augmented pictures that show objects, for every iteration."""

    def __init__(
        self,
        examples: Examples,
        augmentation: Augmentation,
        place: torch.device,
        *,
        batch_size: int,
        seed: int,
    ):
        self.examples, self.augmentation, self.place = examples, augmentation, place
        rows = torch.tensor(examples.rows())
        self.sampler = Sampler(rows, batch_size=batch_size, seed=seed)

    def __call__(self, iteration: int) -> Batch[Truths]:
        """Images (B, 3, S, S) in 0..1 and their objects, on the device."""
        rows, generator = self.sampler.batch(iteration)
        images, truths = self.examples.batch(rows.tolist(), self.place)
        images, truths = augmented(images, truths, generator, self.augmentation)
        return Batch(rows, {"pictures": {"images": images}}, truths)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How pictures change from one epoch to the next."""

    flip: bool = False  # mirror at random
    shift: float = 0.0  # move by up to this share of S, and zoom by up to 1 + this, in or out
    colour: float = 0.0  # multiply each channel by up to 1 + this, or divide


def augmented(
    images: Tensor, truths: Truths, generator: torch.Generator, augmentation: Augmentation
) -> tuple[Tensor, Truths]:
    """Mirrored, zoomed, shifted and recoloured pictures, with their objects where they went.

    What comes in from outside a picture is grey, as the letterbox. An object of which little is
    left inside goes.

    Args:
        images: of shape (B, 3, S, S), 0..1.
        truths: boxes in 0..1 of the square.
        generator: on the CPU.
    """
    if augmentation == Augmentation():
        return images, truths
    number = len(images)
    draws = torch.rand(number, 8, generator=generator).to(images.device)
    spread = 2 * draws - 1
    mirror = torch.where((draws[:, 0] < 0.5) & augmentation.flip, -1.0, 1.0)
    zoom = (1 + augmentation.shift) ** spread[:, 1]
    offset = augmentation.shift * spread[:, 2:4]
    # Half of a channel's change is common to the three: the rest is brightness.
    gains = (1 + augmentation.colour) ** ((spread[:, 4:7] + spread[:, 7:]) / 2)
    coloured = (images * gains[:, :, None, None]).clamp(0, 1)
    scale = torch.stack([mirror * zoom, zoom], 1)
    return moved_images(coloured, scale, offset), moved_truths(truths, scale, offset)


def moved_images(images: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """Each image with x - 1/2 turned into scale (x - 1/2) + offset, grey where there is none.

    Args:
        images: in 0..1.
        scale: across and down, of shape (B, 2); negative mirrors.
        offset: in 0..1 of the square, of shape (B, 2).
    """
    back = torch.diag_embed(1 / scale)
    # grid_sample asks where a pixel comes from, in -1..1.
    grid = F.affine_grid(
        torch.cat([back, (-2 * offset / scale).unsqueeze(2)], 2),
        list(images.shape),
        align_corners=False,
    )
    return F.grid_sample(images - 0.5, grid, align_corners=False) + 0.5


def moved_truths(truths: Truths, scale: Tensor, offset: Tensor) -> Truths:
    """The objects after `moved_images`, clipped to the square; those hardly inside go."""
    owners, boxes, categories = truths
    ends = torch.stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1) - 0.5
    ends = ends * scale[owners].unsqueeze(1) + offset[owners].unsqueeze(1) + 0.5
    first, last = ends.amin(1), ends.amax(1)
    area = (last - first).prod(1)
    first, last = first.clamp(0, 1), last.clamp(0, 1)
    kept = (last - first).prod(1) >= VISIBLE * area
    moved = torch.cat([first, last - first], 1)
    return owners[kept], moved[kept], categories[kept]
