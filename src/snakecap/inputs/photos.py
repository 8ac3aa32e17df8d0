"""Photos as they are, but for their size: the longer side becomes as long as is asked for.

Image files are decoded when they are wanted, and kept while there is room: nothing of the size of
DenseCap's HDF5 file (100 GB) is written.

Dimensions: B pictures of a batch, H and W of its highest and widest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from snakecap import device as devices
from snakecap.formats import decode
from snakecap.formats import pictures as records
from snakecap.inputs.input import Draw, Input, Request, Tensors
from snakecap.objects.boxes import fitted

GREY = 128  # right and below of a photo that is narrower or lower than others of its batch
MEMORY = 2 << 30  # bytes of resized photos that are kept


class PhotosInput(Input):
    """Pixels of a pictures.json's photos, for a network that is a row of `backbones`.

    Args:
        source: the row's name.
        size: of the longer side, in pixels; smaller photos are enlarged.
    """

    table = "backbones"
    kind = "photo"

    def __init__(
        self,
        *,
        place: torch.device,
        source: str,
        size: Annotated[int, Field(ge=16, le=4096)] = 720,
    ):
        super().__init__(place)
        self.size, self.root = size, Path()
        self.known: frozenset[str] = frozenset()
        self.kept: dict[str, Tensor] = {}
        self.memory = MEMORY

    def open(self, path: Path, keep: Sequence[str] = ()) -> None:
        """Take the photos that a pictures.json lists."""
        root, files = records.listed(path)
        self.root, self.known = Path(root), frozenset(files)

    def has(self, file: str) -> bool:
        return file in self.known

    def read(self, files: Sequence[str], draw: Draw | None = None) -> Tensors:
        """Uint8 ``images`` (B, 3, H, W), and ``sizes`` (B, 2), widths and heights inside of them.

        Raises:
            Unreadable: a photo cannot be read; names it.
        """
        wanted = files if draw is None else files[draw.part]
        with ThreadPoolExecutor(max(2, torch.get_num_threads())) as pool:
            photos = list(pool.map(self._photo, wanted))
        if draw is not None and draw.flip is not None:
            pairs = zip(photos, draw.flip[draw.part].tolist(), strict=True)
            photos = [photo.flip(2) if flip else photo for photo, flip in pairs]
        return self._joined(photos)

    def of(self, request: Request) -> Tensors:
        if request.photo is None:
            raise ValueError("the model looks at photos: a layout alone is not enough")
        try:
            image = decode.load_whole(request.photo)
        except decode.Unreadable as error:
            raise decode.Unreadable(f"{request.name}: {error}") from None
        original = torch.tensor([[image.shape[2], image.shape[1]]])  # the photo's own size
        return {**self._joined([resized(image, self.size)]), "originals": original}

    def join(self, parts: Sequence[Tensors]) -> Tensors:
        pairs = [(part["images"][0], part["sizes"][0].tolist()) for part in parts]
        return self._joined([image[:, :height, :width] for image, (width, height) in pairs])

    def facts(self) -> dict[str, Any]:
        """The longer side."""
        return {"size": self.size}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.size = int(facts["size"])

    def _photo(self, file: str) -> Tensor:
        if file in self.kept:
            return self.kept[file]
        try:
            photo = resized(decode.load_whole(self.root / file), self.size)
        except decode.Unreadable as error:
            raise decode.Unreadable(f"{self.root / file}: {error}") from None
        if photo.nbytes <= self.memory:
            self.memory -= photo.nbytes
            self.kept[file] = photo
        return photo

    def _joined(self, photos: Sequence[Tensor]) -> Tensors:
        sizes = torch.tensor([[photo.shape[2], photo.shape[1]] for photo in photos])
        width, height = sizes.amax(0).tolist()
        images = torch.full((len(photos), 3, height, width), GREY, dtype=torch.uint8)
        for row, photo in enumerate(photos):
            images[row, :, : photo.shape[1], : photo.shape[2]] = photo
        return {
            "images": devices.send(images, self.place),
            "sizes": devices.send(sizes, self.place),
        }


def resized(image: NDArray[np.uint8], size: int) -> Tensor:
    """An image (3, H, W) with a longer side of `size`, bilinear and antialiased, uint8."""
    height, width = image.shape[1:]
    inner = fitted(width, height, size)[::-1]
    pixels = torch.from_numpy(image)
    if inner == (height, width):
        return pixels
    scaled: Tensor = F.interpolate(pixels[None], inner, mode="bilinear", antialias=True)[0]
    return scaled
