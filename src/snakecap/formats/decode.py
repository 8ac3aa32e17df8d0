"""One image file, whatever its format, to RGB bytes: a square, or as it is.

Pillow reads everything, so that pixels never depend on what else is installed. NeuralTalk2's
prepro.py (scipy's ``imresize``: bilinear, antialiased, aspect ratio not kept) is mode ``squash``.

Known deviations from it: EXIF rotation is applied; transparency is laid on white (the original
crashed); a JPEG at least four times larger than needed is decoded at a half, quarter or eighth,
never below twice the target (mosaics of COCO pictures of 2.8 and 11 megapixels to 256: 50 dB from
the full decode, 2 and 2.8 times as fast; exactly equal below that size). CMYK is converted by the
plain formula and colour profiles are ignored, as they were there.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

# Formats whose readers are pure decoders: EPS, for one, would start Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
# What their files' names end with, in any case.
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".webp", ".gif", ".tif", ".tiff"))
# EXIF orientation: what undoes it.
UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_lock = threading.Lock()


class Unreadable(ValueError):  # noqa: N818  -- reads as what it says
    """The file is not an image that can be read; the message is the reason, without the name."""


def is_image(path: Path) -> bool:
    """Whether a file of a folder is an image, by its name; macOS leaves a ._photo.jpg beside it."""
    known = path.suffix.lower() in SUFFIXES and not path.name.startswith("._")
    return known and path.is_file()


def load(
    source: Path | str | bytes,
    size: int,
    mode: Literal["squash", "crop"] = "squash",
    max_pixels: int = 200_000_000,
) -> NDArray[np.uint8]:
    """Decode one image to a square.

    Args:
        source: a path, or the bytes of an image file.
        size: S, the side in pixels.
        mode: ``squash`` scales both sides to S; ``crop`` takes the centre square first.
        max_pixels: a larger image is refused before it is decompressed.

    Returns:
        RGB (3, S, S), 0..255: the same bytes give the same pixels.

    Raises:
        Unreadable: missing, empty, not an image, truncated, corrupt or too large.
    """
    return _decoded(source, max_pixels, lambda image: _square(image, size, mode))


def load_whole(source: Path | str | bytes, max_pixels: int = 200_000_000) -> NDArray[np.uint8]:
    """Decode one image at its own size, upright: RGB (3, H, W), 0..255; raises as `load`."""
    return _decoded(source, max_pixels, _whole)


def _decoded(
    source: Path | str | bytes,
    max_pixels: int,
    pixels: Callable[[Image.Image], NDArray[np.uint8]],
) -> NDArray[np.uint8]:
    if not isinstance(source, bytes | str | Path):
        kind = type(source).__name__
        raise Unreadable(f"give a path or the bytes of an image file, not {kind}")
    data = source if isinstance(source, bytes) else _read(Path(source))
    if not data:
        raise Unreadable("empty file")
    image = _open(data)
    if image.width * image.height > max_pixels:
        raise Unreadable(f"{image.width} x {image.height} pixels is more than {max_pixels}")
    try:
        return pixels(image)
    except Exception as error:  # Pillow's readers raise nearly anything on corrupt bytes
        raise Unreadable(_reason(error)) from error


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise Unreadable("not a regular file" if path.exists() else "missing")
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(_reason(error)) from None


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())


@contextmanager
def _quietly() -> Iterator[None]:
    """Hold back Pillow's warnings and its own pixel limit: `max_pixels` is the limit here.

    Both are process-wide state, hence the lock.
    """
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _open(data: bytes) -> Image.Image:
    try:
        with _quietly():
            Image.init()  # once; Pillow may have been built without one of them
            formats = [name for name in FORMATS if name in Image.OPEN]
            return Image.open(io.BytesIO(data), formats=formats)
    except UnidentifiedImageError:
        raise Unreadable("not an image of a known format") from None
    except Exception as error:
        raise Unreadable(_reason(error)) from error


def _square(image: Image.Image, size: int, mode: str) -> NDArray[np.uint8]:
    # For JPEG only: decode at 1/2, 1/4 or 1/8 while both sides stay at least twice the target.
    drafted = image.draft(None, (2 * size, 2 * size))
    image.load()
    box = drafted[1] if drafted else (0.0, 0.0, float(image.width), float(image.height))
    if mode == "crop":
        side = min(box[2:])
        left, top = (box[2] - side) / 2, (box[3] - side) / 2
        box = (left, top, left + side, top + side)
    small = _rgb(image).resize((size, size), Image.Resampling.BILINEAR, box=box)
    return _upright(image, small)


def _whole(image: Image.Image) -> NDArray[np.uint8]:
    image.load()
    return _upright(image, _rgb(image))


def _upright(source: Image.Image, pixels: Image.Image) -> NDArray[np.uint8]:
    """Pixels turned as the source's EXIF block says, as (3, H, W)."""
    undo = UNDO.get(_orientation(source))
    upright = pixels if undo is None else pixels.transpose(undo)
    return np.array(np.asarray(upright).transpose(2, 0, 1), order="C")  # which can be written to


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, or 1 when there is none or it cannot be read."""
    try:
        with _quietly():
            return int(image.getexif().get(0x0112, 1))
    except Exception:  # a broken EXIF block does not make the pixels unreadable
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return white.convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit greys by 65535 to 255; 32-bit and float greys by the least range that holds them."""
    values = np.nan_to_num(np.asarray(image).astype(np.float32))
    ranges = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
    highest = float(values.max())
    top = next((value for value in ranges if highest <= value), highest)
    return Image.fromarray(np.rint(values.clip(0, top) * (255 / top)).astype(np.uint8))
