"""Pictures that a detector learns from, letterboxed once where they fit into memory.

Dimensions: B pictures of a batch, S side of the network's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from snakecap.formats import decode
from snakecap.formats.pictures import Picture
from snakecap.log import logger, progress
from snakecap.objects.boxes import letterbox

MEMORY = 2 << 30  # bytes of letterboxed pictures that are kept; more are read when needed
Size = tuple[int, int]  # width and height of an image file in pixels


class Squares:
    """Letterboxed image files.

    Attributes:
        pictures: the records of the files that can be read.
        sizes: of these files.
        size: S.
    """

    def __init__(self, root: Path, pictures: Sequence[Picture], size: int, *, memory: int = MEMORY):
        """Decode every file once; a warning names those that cannot be read.

        Args:
            root: folder that the files are relative to.
            pictures: their records.
            size: S.
            memory: bytes of pixels to keep; when there are more, `read` decodes again.
        """
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
        self.pictures = tuple(picture for picture, _ in kept)
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
        """Some of `pictures`, of shape (B, 3, S, S).

        Raises:
            ValueError: a file cannot be read any more.
        """
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
