"""Photos of any size: how they become a batch, and that it does not matter what is kept."""

import numpy as np
import pytest
import torch
from PIL import Image

from snakecap.formats import pictures as records
from snakecap.formats.decode import Unreadable
from snakecap.formats.pictures import Collection, Picture
from snakecap.inputs.input import Draw, Request
from snakecap.inputs.photos import GREY, PhotosInput, resized

CPU = torch.device("cpu")
SIZES = {"wide.png": (60, 20), "high.png": (30, 45), "square.png": (16, 16)}


def noise(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def photos(tmp_path):
    for seed, (name, size) in enumerate(SIZES.items()):
        Image.fromarray(noise(*size, seed)).save(tmp_path / name)
    found = PhotosInput(place=CPU, source="tiny", size=32)
    pictures = tuple(Picture(name, name, "train") for name in SIZES)
    records.write(tmp_path / "pictures.json", Collection(tmp_path, pictures))
    found.open(tmp_path / "pictures.json")
    return found


@pytest.mark.parametrize("size", [(60, 20), (33, 47), (16, 9)])
def test_resizing_is_pillows_bilinear_filter(size):
    image = noise(*size)
    found = resized(np.ascontiguousarray(image.transpose(2, 0, 1)), 32)
    other = Image.fromarray(image).resize(found.shape[:0:-1], Image.Resampling.BILINEAR)
    gap = np.asarray(other).astype(int).transpose(2, 0, 1) - found.numpy()
    assert max(found.shape[1:]) == 32 and np.abs(gap).max() <= 1


def test_a_photo_of_the_right_size_is_untouched():
    image = np.ascontiguousarray(noise(32, 20).transpose(2, 0, 1))
    assert np.array_equal(resized(image, 32).numpy(), image)


def test_a_batch_is_as_large_as_its_largest_and_grey_beyond_each(photos):
    found = photos.read(list(SIZES))
    assert found["sizes"].tolist() == [[32, 10], [21, 32], [32, 32]]
    assert found["images"].shape == (3, 3, 32, 32)
    for row, (width, height) in enumerate(found["sizes"].tolist()):
        image = found["images"][row]
        assert torch.equal(image[:, :height, :width], photos.read([list(SIZES)[row]])["images"][0])
        assert (image[:, height:] == GREY).all() and (image[:, :, width:] == GREY).all()


def test_mirrored_photos_are_mirrored_inside_their_own_size(photos):
    files = list(SIZES)
    plain = photos.read(files)
    flip = torch.tensor([True, False, True])
    part = slice(0, 2)
    found = photos.read(files, Draw(torch.Generator(), flip, part))
    assert torch.equal(found["images"][0, :, :10, :32], plain["images"][0, :, :10, :32].flip(2))
    assert torch.equal(found["images"][1], plain["images"][1])
    assert torch.equal(found["sizes"], plain["sizes"][part])


def test_nothing_depends_on_what_is_kept(photos):
    held = [photos.read(list(SIZES)) for _ in range(2)]
    assert len(photos.kept) == 3
    photos.kept.clear()
    photos.memory = 0
    read = photos.read(list(SIZES))
    assert not photos.kept
    assert all(torch.equal(one["images"], read["images"]) for one in held)


def test_users_photos_are_read_as_those_of_a_split(photos, tmp_path):
    files = list(SIZES)
    parts = [
        photos.of(Request(tmp_path / files[0])),
        photos.of(Request((tmp_path / files[1]).read_bytes())),
    ]
    joined, read = photos.join(parts), photos.read(files[:2])
    assert all(torch.equal(joined[name], read[name]) for name in read)
    other = PhotosInput(place=CPU, source="tiny")
    other.restore(photos.facts())
    assert torch.equal(other.of(Request(tmp_path / files[0]))["images"], parts[0]["images"])


def test_what_cannot_be_read_is_named(photos, tmp_path):
    (tmp_path / "wide.png").write_bytes(b"no image")
    with pytest.raises(Unreadable, match=r"wide\.png: not an image"):
        photos.read(["high.png", "wide.png"])
    with pytest.raises(Unreadable, match=r"gone\.png: missing"):
        photos.of(Request(tmp_path / "gone.png"))
    with pytest.raises(ValueError, match="looks at photos"):
        photos.of(Request())
    assert photos.has("high.png") and not photos.has("other.png")
