"""DenseCap's training data, ``VG-regions.h5`` and ``VG-regions-dicts.json`` (preprocess.py).

For N images and M regions of at most L words, the HDF5 file has

- ``images`` uint8 (N, 3, S, S): BGR, the longer side S, in the top left corner, zeros beyond;
- ``image_heights``, ``image_widths``, ``original_heights``, ``original_widths`` int32 (N,);
- ``split`` float64 (N,): 0 train, 1 val, 2 test;
- ``labels`` int32 (M, L): ids of words from 1, padded with 0; ``lengths`` int32 (M,);
- ``boxes`` int32 (M, 4): see `encode`; ``box_to_img`` int32 (M,), counted from 1;
- ``img_to_first_box``, ``img_to_last_box`` int32 (N,), counted from 1, both included.

The JSON has ``token_to_idx``, ``idx_to_token``, ``filename_to_idx`` and ``idx_to_filename``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snakecap.formats.atomic import writing
from snakecap.formats.captions import pack

SPLITS = {"train": 0, "val": 1, "test": 2}
UNKNOWN = "<UNK>"
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Regions:
    """One image's.

    Attributes:
        size, inner: width and height in pixels, of the photo and in the file.
        boxes: [x, y, width, height] in pixels of the photo.
        words: of each box.
    """

    file: str
    split: str
    size: tuple[int, int]
    inner: tuple[int, int]
    boxes: Sequence[Sequence[float]]
    words: Sequence[Sequence[str]]


def encode(boxes: NDArray[np.float64], sides: NDArray[np.float64], size: int) -> NDArray[np.int32]:
    """Boxes as the file has them: centre, width and height in its images, counted from 1.

    They are clipped to the square, as the original did, not to the image.

    Args:
        boxes: [x, y, width, height] in pixels of the photo, (M, 4).
        sides: the longer side of each one's photo, (M,).
        size: S.

    Returns:
        Of shape (M, 4).
    """
    scale = size / sides[:, None]
    first = np.clip(_rounded(scale * (boxes[:, :2] - 1) + 1), 1, size - 1)
    extent = np.minimum(_rounded(scale * boxes[:, 2:]), size - first)
    return np.concatenate([first + extent // 2, extent], 1).astype(np.int32)


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Halves away from zero, as Python 2's."""
    return np.trunc(values + np.copysign(0.5, values))


def write(
    path: Path,
    found: Iterable[tuple[Regions, Image]],
    choose: Callable[[Sequence[Regions]], Sequence[str]],
    *,
    size: int,
    max_words: int,
) -> dict[str, Any]:
    """Write the HDF5 file; the same images give the same bytes.

    Args:
        found: regions of images, and those images, RGB (3, H, W), of their `inner` size.
        choose: the vocabulary, once all regions are known; words beside it are ``<UNK>``.
        size: S.
        max_words: L; 0: those of the longest phrase.

    Returns:
        What the JSON beside it holds.

    Raises:
        ValueError: there are no images.
    """
    with writing(path) as temporary, h5py.File(temporary, "w") as file:
        shape = (3, size, size)
        images = file.create_dataset(
            "images", (0, *shape), np.uint8, maxshape=(None, *shape), chunks=(1, *shape)
        )
        regions: list[Regions] = []
        for one, image in found:
            images.resize(len(regions) + 1, 0)
            square = np.zeros(shape, np.uint8)
            square[:, : image.shape[1], : image.shape[2]] = image[::-1]
            images[len(regions)] = square
            regions.append(one)
        if not regions:
            raise ValueError(f"{path}: no image with regions is left to write")
        words = choose(regions)
        for name, values in _arrays(regions, words, size, max_words).items():
            file[name] = values
    return _dictionaries(regions, words)


def _arrays(
    regions: Sequence[Regions], words: Sequence[str], size: int, max_words: int
) -> dict[str, NDArray[Any]]:
    """All but the images."""
    ids = {word: number for number, word in enumerate(words, start=1)}
    said = [[ids.get(word, len(words)) for word in each] for one in regions for each in one.words]
    labels, lengths = pack(said, max_words or max(map(len, said)))
    counts = np.array([len(one.boxes) for one in regions])
    last = counts.cumsum()
    owners = np.arange(len(regions)).repeat(counts)
    sizes, inner = np.array([one.size for one in regions]), np.array([one.inner for one in regions])
    boxes = np.array([box for one in regions for box in one.boxes], np.float64)
    integers = {
        "image_heights": inner[:, 1],
        "image_widths": inner[:, 0],
        "original_heights": sizes[:, 1],
        "original_widths": sizes[:, 0],
        "labels": labels,
        "lengths": lengths,
        "boxes": encode(boxes, sizes.max(1)[owners], size),
        "img_to_first_box": last - counts + 1,
        "img_to_last_box": last,
        "box_to_img": owners + 1,
    }
    split = np.array([SPLITS[one.split] for one in regions], np.float64)
    return {"split": split, **{name: one.astype(np.int32) for name, one in integers.items()}}


def _dictionaries(regions: Sequence[Regions], words: Sequence[str]) -> dict[str, Any]:
    files = [one.file for one in regions]
    return {
        "token_to_idx": {word: number for number, word in enumerate(words, start=1)},
        "idx_to_token": {str(number): word for number, word in enumerate(words, start=1)},
        "filename_to_idx": {file: number for number, file in enumerate(files, start=1)},
        "idx_to_filename": {str(number): file for number, file in enumerate(files, start=1)},
    }
