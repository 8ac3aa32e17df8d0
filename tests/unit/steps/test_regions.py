"""From a data set's regions to those that are learnt, counted and packed."""

import json
import logging

import pytest
from PIL import Image

from snakecap.config.settings import Vocabulary
from snakecap.formats import captions as packing
from snakecap.formats import pictures as records
from snakecap.formats import rejected
from snakecap.formats import vocabulary as vocabularies
from snakecap.formats.pictures import Collection, Picture, Region
from snakecap.steps.encode import encode
from snakecap.steps.regions import regions
from snakecap.steps.vocabulary import vocabulary

BOX = (0.0, 0.0, 5.0, 5.0)
ROW = Vocabulary(
    of="regions", tokenizer="densecap", max_length=15, min_count=15, inclusive=True
)  # DenseCap's numbers


def picture(name, *phrases, split="train", box=BOX):
    return Picture(name, name, split, regions=tuple(Region(text, box) for text in phrases))


def write(folder, *pictures):
    for number, one in enumerate(pictures):
        Image.new("RGB", (40, 30), (number, 0, 0)).save(folder / one.file)
    records.write(folder / "pictures.json", Collection(folder, pictures))


def run(folder, row=ROW):
    regions(
        pictures=folder / "pictures.json",
        regions=folder / "regions.json",
        left_out=folder / "left_out.tsv",
        settings=row,
    )
    return records.read(folder / "regions.json").pictures, rejected.read(folder / "left_out.tsv")


def test_what_cannot_be_learnt_is_named_and_the_rest_is_kept(tmp_path, caplog):
    long = " ".join(["word"] * 16)
    write(
        tmp_path,
        picture("good.png", "a dog", long, "?!", "a cat"),
        picture("outside.png", "a dog", box=(50.0, 0.0, 5.0, 5.0)),
        picture("silent.png"),
        picture("missing.png", "a dog"),
        picture("corrupt.png", "a dog"),
        picture("val.png", "a dog", split="val"),
    )
    (tmp_path / "missing.png").unlink()
    whole = (tmp_path / "corrupt.png").read_bytes()
    (tmp_path / "corrupt.png").write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.INFO):
        kept, lost = run(tmp_path)
    assert [(one.file, one.captions) for one in kept] == [
        ("good.png", ("a dog", "a cat")),
        ("val.png", ("a dog",)),
    ]
    assert kept[0].regions == (Region("a dog", BOX), Region("a cat", BOX))
    assert (kept[0].width, kept[0].height) == (40, 30)
    names = [file for file, _ in lost]
    assert names == [
        *["good.png"] * 2, *["outside.png"] * 2, "silent.png", "missing.png", "corrupt.png"
    ]  # fmt: skip
    reasons = dict(lost)
    assert reasons["missing.png"] == "missing"
    assert reasons["silent.png"] == "no regions"
    assert "left out: 7" in caplog.text and "2 pictures with 3 regions" in caplog.text


def test_nothing_for_training_is_an_error_that_says_why(tmp_path):
    write(tmp_path, picture("a.png", "?!"), picture("b.png", "a dog", split="val"))
    with pytest.raises(ValueError, match=r"no region is left for training: a\.png: '\?!': no wor"):
        run(tmp_path)
    records.write(tmp_path / "pictures.json", Collection(tmp_path / "gone", ()))
    with pytest.raises(FileNotFoundError, match="gone, the root in"):
        run(tmp_path)


def test_two_runs_give_the_same_bytes_and_other_pixels_others(tmp_path):
    write(tmp_path, *(picture(f"{n}.png", "a dog") for n in range(9)))
    run(tmp_path)
    before = (tmp_path / "regions.json").read_bytes()
    run(tmp_path)
    assert (tmp_path / "regions.json").read_bytes() == before
    Image.new("RGB", (40, 30), (99, 0, 0)).save(tmp_path / "3.png")
    run(tmp_path)
    assert (tmp_path / "regions.json").read_bytes() != before


def packed(folder):
    paths = {"pictures": folder / "regions.json", "vocabulary": folder / "words.json"}
    vocabulary(**paths, settings=ROW)
    encode(**paths, captions=folder / "captions.h5", settings=ROW)
    return packing.read(folder / "captions.h5")


@pytest.mark.parametrize(("rare", "known"), [(14, False), (15, True)])
def test_a_word_seen_fourteen_times_is_unknown_and_fifteen_times_is_kept(tmp_path, rare, known):
    """Of the phrases that are kept: words of one that is too long do not count."""
    long = " ".join(["rare"] * 16)
    said = [f"common{' rare' * (n < rare)}" for n in range(20)]
    write(tmp_path, picture("a.png", *said, long))
    run(tmp_path)
    found = packed(tmp_path)
    words = vocabularies.read(tmp_path / "words.json")
    assert words.words == (("common", "rare") if known else ("common", vocabularies.UNKNOWN))
    assert found.labels.shape == (20, 15)
    assert [words.decode(row) for row in found.labels.tolist()] == [
        one if known else one.replace("rare", vocabularies.UNKNOWN) for one in said
    ]


def test_packed_phrases_are_in_the_order_of_the_regions(tmp_path):
    said = [[f"{one} {two}" for two in "abcde" for one in "xyz"], ["x a"] * 30, ["b y", "c c"] * 20]
    write(tmp_path, *(picture(f"{n}.png", *phrases) for n, phrases in enumerate(said)))
    kept, _ = run(tmp_path, ROW)
    found = packed(tmp_path)
    words = vocabularies.Vocabulary(found.words)
    for row, one in enumerate(kept):
        own = found.labels[found.starts[row] : found.ends[row]].tolist()
        asked = [words.decode(words.encode(region.phrase.split())) for region in one.regions]
        assert [words.decode(ids) for ids in own] == asked
    assert json.loads((tmp_path / "regions.json").read_text())["counts"] == {
        "pictures": 3,
        "captions": 85,
    }
