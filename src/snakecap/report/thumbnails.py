"""Small pictures out of ``images.h5``, in their own proportions again."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from snakecap.formats.images import Images
from snakecap.formats.pictures import Picture

QUALITY = 80  # of 100, JPEG


def images(path: Path, pictures: Sequence[Picture]) -> Iterator[Image.Image]:
    """Yield the image of each picture; one that ``images.h5`` lacks is a grey square."""
    store, whole = Images(path), squashed(path)
    rows = {name: row for row, name in enumerate(store.files)}
    for picture in pictures:
        if picture.file not in rows:
            yield Image.new("RGB", (64, 64), "#808080")
            continue
        pixels = store.read([rows[picture.file]])[0].transpose(1, 2, 0)
        image = Image.fromarray(np.ascontiguousarray(pixels))
        yield stretch(image, picture.width, picture.height) if whole else image


def squashed(path: Path) -> bool:
    """Whether images are whole pictures made square; else they are their centre squares."""
    with h5py.File(path, "r") as file:
        return str(file.attrs.get("mode", "squash")) == "squash"


def stretch(image: Image.Image, width: int, height: int) -> Image.Image:
    """Undo squashing: `width` x `height` in pixels is the original's size, 0 if not known."""
    if width <= 0 or height <= 0 or width == height:
        return image
    side = max(image.size)
    longest = max(width, height)
    size = (max(1, round(side * width / longest)), max(1, round(side * height / longest)))
    return image.resize(size, Image.Resampling.LANCZOS)


def jpeg(image: Image.Image, side: int) -> str:
    """The image at most `side` pixels wide and high, as base64 of a JPEG."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=QUALITY, optimize=True)
    return base64.b64encode(data.getvalue()).decode("ascii")
