"""One image file to a square: every quirk of the formats, against pixels made by hand."""

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from snakecap.formats.decode import Unreadable, load, load_whole


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(width: int = 40, height: int = 30) -> np.ndarray:
    """Red grows to the right, green grows downwards: every rotation shows."""
    red = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    green = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    return np.stack([red, green, np.full_like(red, 60)], 2).round().astype(np.uint8)


def squashed(pixels: np.ndarray, size: int) -> np.ndarray:
    """The oracle: scipy's old imresize was Pillow's antialiased bilinear resize."""
    image = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("PPM", {})])
def test_lossless_formats_give_the_oracles_pixels(kind, options):
    found = load(encoded(Image.fromarray(gradient()), kind, **options), 16)
    assert found.dtype == np.uint8 and found.shape == (3, 16, 16)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, squashed(gradient(), 16))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("WEBP", {"quality": 95}),
        ("GIF", {}),
    ],
)
def test_lossy_formats_are_close(kind, options):
    found = load(encoded(Image.fromarray(gradient()), kind, **options), 16)
    error = np.abs(found.astype(int) - squashed(gradient(), 16))
    assert error.mean() < 6 and found.shape == (3, 16, 16)


def test_a_path_a_string_and_bytes_are_the_same(tmp_path):
    path = tmp_path / "a b ü.png"
    path.write_bytes(encoded(Image.fromarray(gradient()), "PNG"))
    for source in (str(path), path.read_bytes()):
        np.testing.assert_array_equal(load(source, 8), load(path, 8))


def test_grey_has_three_equal_channels():
    grey = load(encoded(Image.fromarray(gradient()[:, :, 0]), "PNG"), 12)
    assert (grey[0] == grey[1]).all() and (grey[1] == grey[2]).all()
    np.testing.assert_array_equal(grey[0], squashed(gradient(), 12)[0])


def test_black_and_white():
    bits = Image.fromarray(np.eye(8, dtype=bool))
    found = load(encoded(bits, "PNG"), 8)
    np.testing.assert_array_equal(found[0], np.eye(8) * 255)


def test_transparency_is_laid_on_white():
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:4] = (255, 0, 0, 255)
    rgba[4:] = (0, 0, 255, 0)  # the hidden blue must not show
    found = load(encoded(Image.fromarray(rgba), "PNG"), 8)
    assert found[:, 0, 0].tolist() == [255, 0, 0]
    assert found[:, 7, 0].tolist() == [255, 255, 255]
    grey = Image.fromarray(np.dstack([np.full((4, 4), 9, np.uint8), np.zeros((4, 4), np.uint8)]))
    assert grey.mode == "LA" and (load(encoded(grey, "PNG"), 4) == 255).all()


@pytest.mark.parametrize("transparent", [None, 0, b"\x00\xff"])
def test_palette_is_looked_up_before_it_is_resized(transparent):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 255, 0, 250, 10, 20])
    image.paste(0, (0, 0, 8, 4))
    options = {} if transparent is None else {"transparency": transparent}
    found = load(encoded(image, "PNG", **options), 8)
    top = [0, 255, 0] if transparent is None else [255, 255, 255]
    assert found[:, 0, 0].tolist() == top
    assert found[:, 7, 7].tolist() == [250, 10, 20]


@pytest.mark.parametrize("colour", [(255, 255, 255), (255, 0, 0), (0, 128, 0), (0, 0, 0)])
def test_cmyk_jpeg_is_not_inverted(colour):
    image = Image.new("RGB", (16, 16), colour).convert("CMYK")
    found = load(encoded(image, "JPEG", quality=100), 8)
    assert np.abs(found[:, 4, 4].astype(int) - colour).max() <= 4


def test_sixteen_bit_greys_keep_their_range():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(256, 0)
    for kind in ("PNG", "TIFF", "PPM"):
        found = load(encoded(Image.fromarray(ramp), kind), 256)
        assert found[0, 0, 0] == 0 and found[0, 0, -1] == 255
        np.testing.assert_array_equal(found[0, 0], np.rint(ramp[0] / 257))


def test_a_dark_sixteen_bit_picture_stays_dark():
    dark = np.full((8, 8), 257 * 10, np.uint16)
    assert (load(encoded(Image.fromarray(dark), "PNG"), 8) == 10).all()


@pytest.mark.parametrize(("value", "expected"), [(0.5, 128), (100.0, 100), (25700.0, 100)])
def test_float_greys_use_the_least_range_that_holds_them(value, expected):
    floats = np.zeros((8, 8), np.float32)
    floats[4:] = value
    found = load(encoded(Image.fromarray(floats), "TIFF"), 8)
    assert found[0, 0, 0] == 0 and found[0, 7, 0] == expected


def test_float_nan_is_black():
    assert (
        load(encoded(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF"), 8) == 0
    ).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["squash", "crop"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_rotation_is_undone(orientation, mode, kind):
    """A camera held sideways: the stored pixels are turned, the tag says how."""
    upright = Image.fromarray(gradient(48, 36))
    turn = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }[orientation]
    stored = upright
    for step in turn:
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    found = load(encoded(stored, kind, exif=exif, **options), 12, mode)
    expected = load(encoded(upright, "PNG"), 12, mode)
    assert np.abs(found.astype(int) - expected).mean() < 4


def test_broken_exif_does_not_lose_the_picture():
    data = encoded(Image.fromarray(gradient()), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert load(data, 8).shape == (3, 8, 8)


@pytest.mark.parametrize(("width", "height"), [(60, 20), (20, 60), (21, 20)])
def test_crop_takes_the_centre_square(width, height):
    pixels = np.zeros((height, width, 3), np.uint8)
    left, top = (width - 20) // 2, (height - 20) // 2
    pixels[top : top + 20, left : left + 20] = gradient(20, 20)
    found = load(encoded(Image.fromarray(pixels), "PNG"), 20, "crop")
    if (width - 20) % 2 == 0:
        np.testing.assert_array_equal(found, gradient(20, 20).transpose(2, 0, 1))
    else:  # an odd margin is shared: half a pixel on each side
        assert np.abs(found.astype(int) - gradient(20, 20).transpose(2, 0, 1)).mean() < 8


def test_squash_keeps_the_whole_picture():
    found = load(encoded(Image.fromarray(gradient(100, 10)), "PNG"), 10)
    assert found[0, 0, 0] < 20 and found[0, 0, -1] > 235


def test_large_jpegs_are_decoded_smaller_yet_almost_the_same():
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8))
    data = encoded(coarse.resize((1025, 770), Image.Resampling.BICUBIC), "JPEG", quality=92)
    whole = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    error = load(data, 96).astype(float) - squashed(whole, 96)
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 45  # dB


def test_animations_give_their_first_picture():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert load(data, 4)[:, 0, 0].tolist() == [255, 0, 0]


def test_a_phones_multi_picture_file_is_a_jpeg():
    first, second = Image.fromarray(gradient()), Image.new("RGB", (40, 30))
    data = encoded(first, "MPO", save_all=True, append_images=[second], quality=95)
    assert np.abs(load(data, 16).astype(int) - squashed(gradient(), 16)).mean() < 6


def bomb() -> bytes:
    """A valid PNG of 60,000 x 60,000 pixels in a few bytes of header."""

    def chunk(name: bytes, body: bytes) -> bytes:
        import zlib

        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")
    )


PHOTO = encoded(Image.fromarray(gradient(200, 150)), "JPEG")
DRAWING = encoded(
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)), "PNG"
)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"not an image at all", "not an image of a known format"),
        (b"<html>404 Not Found</html>", "not an image of a known format"),
        (PHOTO[: len(PHOTO) // 2], "truncated"),
        (DRAWING[: len(DRAWING) // 2], "truncated"),
        (PHOTO[:20], "not an image of a known format"),
        (bomb(), "60000 x 60000 pixels is more than 200000000"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known format"),
    ],
    ids=["empty", "text", "html", "half a jpeg", "half a png", "header", "bomb", "postscript"],
)
def test_unreadable_bytes_say_why(data, reason):
    with pytest.raises(Unreadable, match=reason):
        load(data, 8)


def test_unreadable_paths_say_why(tmp_path):
    with pytest.raises(Unreadable, match="missing"):
        load(tmp_path / "none.jpg", 8)
    with pytest.raises(Unreadable, match="not a regular file"):
        load(tmp_path, 8)
    with pytest.raises(Unreadable, match="missing"):
        load(tmp_path / "a\0b", 8)
    with pytest.raises(Unreadable, match="too long"):
        load(tmp_path / ("x" * 300), 8)


def test_max_pixels_is_the_only_limit_and_leaves_pillows_alone():
    limit = Image.MAX_IMAGE_PIXELS
    assert load(PHOTO, 8, max_pixels=200 * 150).shape == (3, 8, 8)
    with pytest.raises(Unreadable, match="200 x 150 pixels is more than 29999"):
        load(PHOTO, 8, max_pixels=29_999)
    Image.MAX_IMAGE_PIXELS = 10
    try:
        assert load(PHOTO, 8).shape == (3, 8, 8)
        assert Image.MAX_IMAGE_PIXELS == 10
    finally:
        Image.MAX_IMAGE_PIXELS = limit


@given(st.binary(max_size=40), st.integers(0, len(DRAWING)), st.booleans())
@settings(max_examples=150, deadline=None)
def test_damaged_files_are_read_or_refused_and_never_anything_else(noise, at, photo):
    source = PHOTO if photo else DRAWING
    damaged = source[:at] + noise + source[at + len(noise) :]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            assert load(damaged, 4).shape == (3, 4, 4)
        except Unreadable as error:
            assert str(error) and "\n" not in str(error)


def test_it_imports_no_torch():
    import subprocess
    import sys

    code = "import sys, snakecap.formats.decode; assert 'torch' not in sys.modules"
    source = Path(__file__).parents[3] / "src"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(source)})


def test_any_image_may_be_written_to():
    """torch warns of arrays that are not: of one pixel no transposing makes a copy."""
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG")
    assert load_whole(file.getvalue()).flags.writeable
