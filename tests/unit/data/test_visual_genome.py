"""Visual Genome's files in both releases, over several folders, with DenseCap's split."""

import json

import pytest

from snakecap.data import vg_regions
from snakecap.formats.pictures import Region

BOX = {"x": 1, "y": 2, "width": 3, "height": 4.5}
URL = "https://cs.stanford.edu/people/rak248/VG_100K{}/{}.jpg"
# By release: how a picture and a region are numbered in each file.
RELEASES = {
    "1.0": {"image": "id", "region": ("id", "image"), "data": "id"},
    "1.2": {"image": "id", "region": ("region_id", "image_id"), "data": "image_id"},
    "other": {"image": "image_id", "region": ("region_id", "image_id"), "data": "image_id"},
}


def dump(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def rows(keys, *numbers):
    number, owner = keys["region"]
    return [
        {keys["image"]: i, "regions": [{number: 10 * i, owner: i, "phrase": f"dog {i}", **BOX}]}
        for i in numbers
    ]


def data(keys, *numbers):
    folders = {i: "" if i % 2 else "_2" for i in numbers}
    return [
        {keys["data"]: i, "url": URL.format(folder, i), "width": 30 + i, "height": 20}
        for i, folder in folders.items()
    ]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("sized", [False, True])
def test_either_release_is_read_from_both_folders(tmp_path, release, sized):
    keys = RELEASES[release]
    dump(tmp_path / "region_descriptions.json", rows(keys, 1, 2))
    dump(tmp_path / "image_data.json", data(keys, 1, 2, 3))
    for name in ("VG_100K/1.jpg", "VG_100K_2/2.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    found = vg_regions.read(tmp_path, image_data="image_data.json" if sized else ())
    assert [(one.id, one.file) for one in found.pictures] == [
        (1, "VG_100K/1.jpg"),
        (2, "VG_100K_2/2.jpg"),
    ]
    assert [one.regions for one in found.pictures] == [
        (Region(f"dog {i}", (1.0, 2.0, 3.0, 4.5)),) for i in (1, 2)
    ]
    sizes = [(one.width, one.height) for one in found.pictures]
    assert sizes == ([(31, 20), (32, 20)] if sized else [(0, 0)] * 2)


def test_several_files_are_one_data_set_and_photos_may_lie_beside_it(tmp_path):
    keys = RELEASES["1.2"]
    for name, number in (("train", 1), ("val", 2)):
        dump(tmp_path / f"set/{name}.json", rows(keys, number))
        row = {"image_id": number, "url": f"../photos/{number}.png", "width": 9, "height": 8}
        dump(tmp_path / f"set/data_{name}.json", [row])
    found = vg_regions.read(
        tmp_path,
        annotations=("set/train.json", "set/val.json"),
        image_data=("set/data_train.json", "set/data_val.json"),
    )
    assert [one.file for one in found.pictures] == ["photos/1.png", "photos/2.png"]


def test_densecaps_split_ignores_and_counts_unknown_ids(tmp_path, caplog):
    dump(tmp_path / "region_descriptions.json", rows(RELEASES["1.0"], 1, 2, 3, 4))
    dump(tmp_path / "splits.json", {"train": [3, 1, 77], "val": [4], "test": [88]})
    found = vg_regions.read(tmp_path, ids="splits.json")
    assert [(one.id, one.split) for one in found.pictures] == [
        (1, "train"),
        (3, "train"),
        (4, "val"),
    ]
    assert "splits.json: 2 ids are of no picture" in caplog.text
    for lists, message in (
        ({"train": [77]}, "lists no picture of the data set"),
        ({"train": [1], "val": [1]}, "1.* is in two splits"),
        ({"training": [1]}, r"splits\.json"),
    ):
        dump(tmp_path / "splits.json", lists)
        with pytest.raises(ValueError, match=message):
            vg_regions.read(tmp_path, ids="splits.json")


def test_mistakes_name_the_file(tmp_path):
    dump(tmp_path / "region_descriptions.json", rows(RELEASES["1.0"], 1))
    with pytest.raises(FileNotFoundError, match="its option `image_data` to another name"):
        vg_regions.read(tmp_path, image_data="image_data.json")
    for value in ([{"url": "x/y.jpg", "width": 1, "height": 1}], [{"id": 1, "url": "x/y.jpg"}], {}):
        dump(tmp_path / "image_data.json", value)
        with pytest.raises(ValueError, match=r"image_data\.json"):
            vg_regions.read(tmp_path, image_data="image_data.json")
