"""References of a split: COCO captions JSON, and no silence where there is nothing to score."""

import json

import pytest

from snakecap.formats import pictures as records
from snakecap.formats.pictures import Collection, Picture
from snakecap.steps.references import references

CAPTIONS = {"test": ("a dog", "two dogs"), "val": (), "train": ("a cat",)}


@pytest.fixture
def pictures(tmp_path):
    rows = [
        Picture(id=number, file=f"{split}.jpg", split=split, captions=said)
        for number, (split, said) in enumerate(CAPTIONS.items())
    ]
    path = tmp_path / "pictures.json"
    records.write(path, Collection(tmp_path, tuple(rows)))
    return path


def test_a_splits_captions_are_cocos(pictures, tmp_path):
    references(pictures=pictures, references=tmp_path / "out.json", split="test")
    value = json.loads((tmp_path / "out.json").read_text())
    assert [image["id"] for image in value["images"]] == [0]
    assert [row["caption"] for row in value["annotations"]] == ["a dog", "two dogs"]


def test_references_are_required(pictures, tmp_path):
    for split in ("val", "extra"):
        with pytest.raises(ValueError, match="nothing to score against"):
            references(pictures=pictures, references=tmp_path / "out.json", split=split)


def test_a_picture_without_captions_is_named(pictures, tmp_path):
    collection = records.read(pictures)
    bare = Picture(id="bare", file="bare.jpg", split="test")
    records.write(pictures, Collection(collection.root, (*collection.pictures, bare)))
    with pytest.raises(ValueError, match=r"1 pictures .* bare\.jpg the first"):
        references(pictures=pictures, references=tmp_path / "out.json", split="test")
