"""VG-regions.h5 and its JSON, read as DenseCap's DataLoader.lua reads them."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
from PIL import Image

from snakecap.formats import pictures as records
from snakecap.formats.densecap import encode
from snakecap.formats.pictures import Collection, Picture, Region
from snakecap.steps.densecap_h5 import densecap_h5

SIZES = [(40, 30), (20, 50), (16, 16)]
TYPES = {
    "images": ("uint8", (3, 3, 32, 32)),
    "image_heights": ("int32", (3,)),
    "image_widths": ("int32", (3,)),
    "original_heights": ("int32", (3,)),
    "original_widths": ("int32", (3,)),
    "split": ("float64", (3,)),
    "labels": ("int32", (10, 15)),
    "lengths": ("int32", (10,)),
    "boxes": ("int32", (10, 4)),
    "img_to_first_box": ("int32", (3,)),
    "img_to_last_box": ("int32", (3,)),
    "box_to_img": ("int32", (10,)),
}


def boxes(number):
    return [(1.0 + k, 2.0, 5.0 + number, 6.0 + k) for k in range(2 * number + 2)]


@pytest.fixture
def folder(tmp_path):
    """Three images with ten phrases that are kept, and what is left out."""
    pictures = []
    for number, (size, split) in enumerate(zip(SIZES, ("train", "val", "test"), strict=True)):
        (tmp_path / f"f{number}").mkdir()
        Image.new("RGB", size, (250, 100 * number, 3)).save(tmp_path / f"f{number}/{number}.png")
        found = [Region("A red-dog!", box) for box in boxes(number)[:-1]]
        found.append(Region("a cat", boxes(number)[-1]))
        found.append(Region(" ".join(["dog"] * 16), (1.0, 1.0, 4.0, 4.0)))
        found.append(Region("a dog", (90.0, 1.0, 4.0, 4.0)))
        pictures.append(
            Picture(number, f"f{number}/{number}.png", split, (), (), tuple(found), *size)
        )
    bare = Picture(5, "5.png", "train")
    missing = Picture(6, "6.png", "train", regions=(Region("a dog", (1.0, 1.0, 4.0, 4.0)),))
    extra = Picture(7, "7.png", "extra", regions=missing.regions)
    kept = (*pictures[2].regions[:3], *pictures[2].regions[5:])
    pictures[2] = replace(pictures[2], regions=kept)
    collection = Collection(tmp_path, (bare, *pictures[:2], missing, pictures[2], extra))
    records.write(tmp_path / "pictures.json", collection)
    return tmp_path


def run(folder, name="VG", **options):
    given = {"image_size": 32, "min_token_instances": 3, **options}
    h5, beside = folder / f"{name}.h5", folder / f"{name}.json"
    densecap_h5(pictures=folder / "pictures.json", h5_output=h5, json_output=beside, **given)
    with h5py.File(h5) as file:
        return {key: file[key][()] for key in file}, json.loads(beside.read_text())


def test_the_twelve_datasets_and_four_maps(folder, caplog):
    found, maps = run(folder)
    assert {key: (str(one.dtype), one.shape) for key, one in found.items()} == TYPES
    assert list(maps) == ["token_to_idx", "idx_to_token", "filename_to_idx", "idx_to_filename"]
    assert maps["filename_to_idx"] == {"0.png": 1, "1.png": 2, "2.png": 3}
    assert maps["idx_to_filename"] == {"1": "0.png", "2": "1.png", "3": "2.png"}
    assert maps["idx_to_token"] == {"1": "a", "2": "reddog", "3": "cat"}
    assert maps["token_to_idx"] == {word: int(i) for i, word in maps["idx_to_token"].items()}
    for reason in ("6.png: missing", "16 words, more than 15", "no pixel inside the photo"):
        assert reason in caplog.text


def test_a_loader_gets_every_image_with_its_regions(folder):
    found, maps = run(folder)
    assert found["split"].tolist() == [0, 1, 2]
    assert found["box_to_img"].tolist() == [1] * 2 + [2] * 4 + [3] * 4
    for number, size in enumerate(SIZES):
        first, last = (int(found[f"img_to_{end}_box"][number]) for end in ("first", "last"))
        assert (found["box_to_img"][first - 1 : last] == number + 1).all()
        width, height = (int(found[f"image_{side}s"][number]) for side in ("width", "height"))
        assert max(width, height) == 32
        assert width / height == pytest.approx(size[0] / size[1], rel=0.1)
        assert (found["original_widths"][number], found["original_heights"][number]) == size
        image = found["images"][number]
        assert (image[:, :height, :width] == np.array([3, 100 * number, 250])[:, None, None]).all()
        assert not image[:, height:].any() and not image[:, :, width:].any()
        chosen = boxes(number) if number < 2 else [*boxes(2)[:3], boxes(2)[5]]
        wanted = encode(np.array(chosen), np.full(len(chosen), float(max(size))), 32)
        assert (found["boxes"][first - 1 : last] == wanted).all()
        for row in range(first - 1, last):
            ids = found["labels"][row][: found["lengths"][row]]
            said = " ".join(maps["idx_to_token"][str(i)] for i in ids)
            assert said == ("a cat" if row == last - 1 else "a reddog")
            assert not found["labels"][row][len(ids) :].any()


def test_two_runs_give_the_same_bytes(folder):
    run(folder), run(folder, "again")
    for suffix in ("h5", "json"):
        assert (folder / f"VG.{suffix}").read_bytes() == (folder / f"again.{suffix}").read_bytes()


def test_rare_words_and_the_limits(folder):
    found, maps = run(folder, min_token_instances=4)
    assert maps["idx_to_token"] == {"1": "a", "2": "reddog", "3": "<UNK>"}
    assert found["labels"][1, :3].tolist() == [1, 3, 0]
    found, maps = run(folder, max_token_length=0)
    assert found["lengths"].tolist().count(16) == 3 and found["labels"].shape == (13, 16)
    found, maps = run(folder, max_images=1)
    assert list(maps["filename_to_idx"]) == ["0.png"] and len(found["boxes"]) == 2
    with pytest.raises(ValueError, match="no image with regions"):
        run(folder, max_images=0)
