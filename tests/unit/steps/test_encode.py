import json
import logging
import os
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakecap.config.settings import Vocabulary as Settings
from snakecap.formats import captions as files
from snakecap.formats import images as images_h5
from snakecap.formats import pictures as picture_files
from snakecap.formats import vocabulary as vocabulary_files
from snakecap.formats.pictures import Collection, Picture
from snakecap.formats.vocabulary import Vocabulary
from snakecap.steps.encode import encode

WORDS = Vocabulary(("a", "dog", "runs", "straße", "UNK"))
PICTURES = (
    Picture("x1", "one.jpg", "train", ("A dog runs.", "a cat", "Dog!")),
    Picture(7, "sub/zwei.jpg", "val", ("a Straße",)),
    Picture(8, "three.jpg", "test", ()),
    Picture(9, "four.jpg", "train", ("dog " * 20,)),
)


def pack(folder, pictures=PICTURES, words=WORDS, images=None, **settings):
    picture_files.write(folder / "pictures.json", Collection(folder, tuple(pictures)))
    vocabulary_files.write(folder / "vocabulary.json", words)
    encode(
        pictures=folder / "pictures.json",
        vocabulary=folder / "vocabulary.json",
        captions=folder / "packed" / "captions.h5",
        images=images,
        settings=Settings(**settings),
    )
    return folder / "packed" / "captions.h5"


def write_images(path, names, size=4):
    with h5py.File(path, "w") as file:
        pixels = np.arange(len(names), dtype=np.uint8)[:, None, None, None]
        file["images"] = np.broadcast_to(pixels, (len(names), 3, size, size))
        file.create_dataset("files", data=list(names), dtype=h5py.string_dtype())
    return path


def test_datasets_are_neuraltalk2s(tmp_path):
    with h5py.File(pack(tmp_path)) as file:
        assert set(file) == {"labels", "label_start_ix", "label_end_ix", "label_length"}
        assert {file[name].dtype for name in file} == {np.dtype(np.uint32)}
        assert file["labels"].shape == (5, 16)
        assert file["labels"][0].tolist() == [1, 2, 3] + [0] * 13
        assert file["labels"][1].tolist() == [1, 5] + [0] * 14
        assert file["label_start_ix"][()].tolist() == [1, 4, 5, 5]
        assert file["label_end_ix"][()].tolist() == [3, 4, 4, 5]  # a picture without captions: 5, 4
        assert file["label_length"][()].tolist() == [3, 2, 1, 2, 16]


def test_a_long_caption_is_clipped(tmp_path):
    long = Picture(1, "1.jpg", "train", ("dog " * 17,))
    read = files.read(pack(tmp_path, [long]))
    assert read.labels.tolist() == [[2] * 16]
    assert read.lengths.tolist() == [16]
    assert files.read(pack(tmp_path, [long], max_length=3)).labels.tolist() == [[2] * 3]


def test_json_is_aligned(tmp_path):
    index = json.loads(pack(tmp_path).with_suffix(".json").read_text())
    assert index["ix_to_word"] == {"1": "a", "2": "dog", "3": "runs", "4": "straße", "5": "UNK"}
    assert index["images"] == [
        {"split": p.split, "file_path": p.file, "id": p.id} for p in PICTURES
    ]


def test_captions_are_recovered(tmp_path):
    read = files.read(pack(tmp_path))
    said = [
        [WORDS.decode(row) for row in read.labels[start:end]]
        for start, end in zip(read.starts, read.ends, strict=True)
    ]
    assert said == [["a dog runs", "a UNK", "dog"], ["a straße"], [], [" ".join(["dog"] * 16)]]
    assert read.files == tuple(p.file for p in PICTURES)
    assert read.ids == ("x1", 7, 8, 9)
    assert read.words == WORDS.words
    assert read.counts.tolist() == [3, 1, 0, 1]
    assert read.rows("train").tolist() == [0, 3]
    assert read.rows("val", "test").tolist() == [1, 2]


def test_rows_follow_images_and_link_to_them(tmp_path):
    (tmp_path / "results").mkdir()
    images = write_images(tmp_path / "results" / "images.h5", ["four.jpg", "one.jpg"])
    path = pack(tmp_path, images=images)
    assert files.read(path).files == ("four.jpg", "one.jpg")
    with h5py.File(path) as file:
        link = file.get("images", getlink=True)
        assert isinstance(link, h5py.ExternalLink)
        assert link.filename == "../results/images.h5"
        assert file["images"].shape == (2, 3, 4, 4)
        assert file["images"][1, 0, 0, 0] == 1


def test_the_link_survives_a_move(tmp_path):
    before = tmp_path / "before"
    before.mkdir()
    path = pack(before, images=write_images(before / "images.h5", ["one.jpg"]))
    moved = before.rename(tmp_path / "after") / path.relative_to(before)
    with h5py.File(moved) as file:
        assert file["images"].shape == (1, 3, 4, 4)


def test_names_that_are_no_unicode(tmp_path):
    name = os.fsdecode(b"\xff\xfe.jpg")
    pictures = [PICTURES[0], replace(PICTURES[3], file=name)]
    images_h5.create(tmp_path / "images.h5", [name, "one.jpg"], 4, "squash", {})
    path = pack(tmp_path, pictures, images=tmp_path / "images.h5")
    assert files.read(path).files == (name, "one.jpg")


def test_images_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.h5 does not exist: run `snakecap resize`"):
        pack(tmp_path, images=tmp_path / "none.h5")


def test_an_image_of_an_unknown_picture(tmp_path):
    images = write_images(tmp_path / "images.h5", ["one.jpg", "stranger.jpg"])
    with pytest.raises(ValueError, match=r"images\.h5 has 'stranger\.jpg'"):
        pack(tmp_path, images=images)


def test_a_caption_without_words_is_left_out_with_a_warning(tmp_path, caplog):
    pictures = [Picture(3, "3.jpg", "train", ("a dog", "...", "runs"))]
    with caplog.at_level(logging.WARNING, "snakecap"):
        read = files.read(pack(tmp_path, pictures))
    assert read.labels[:, 0].tolist() == [1, 3]
    assert "picture 3 (3.jpg): no words in '...'" in caplog.text


@pytest.mark.parametrize("captions", [(), ("!!!", " ")])
def test_a_training_picture_needs_a_caption(tmp_path, captions):
    pictures = [Picture(1, "1.jpg", "train", ("a",)), Picture(55, "lost.jpg", "train", captions)]
    with pytest.raises(ValueError, match=r"picture 55 \(lost\.jpg\) of the training split"):
        pack(tmp_path, pictures)
    assert not (tmp_path / "packed").exists()


def test_a_folder_without_captions(tmp_path):
    read = files.read(pack(tmp_path, [Picture(1, "1.jpg", "test"), Picture(2, "2.jpg", "test")]))
    assert read.labels.shape == (0, 16)
    assert read.counts.tolist() == [0, 0]


@given(
    st.lists(st.lists(st.integers(1, 9), max_size=7), max_size=8),
    st.integers(1, 6),
)
def test_pack_pads_and_clips(captions, max_length):
    labels, lengths = files.pack(captions, max_length)
    assert labels.shape == (len(captions), max_length)
    for row, length, caption in zip(labels.tolist(), lengths, captions, strict=True):
        assert row[:length] == caption[:max_length]
        assert row[length:] == [0] * (max_length - length)


def test_reads_neuraltalk2s_own_files(tmp_path):
    """Pixels in the same file, and pictures without file_path or id."""
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["images"] = np.zeros((2, 3, 4, 4), np.uint8)
        file["labels"] = np.array([[1, 2], [2, 0]], np.uint32)
        file["label_start_ix"] = np.array([1, 2], np.uint32)
        file["label_end_ix"] = np.array([1, 2], np.uint32)
        file["label_length"] = np.array([2, 1], np.uint32)
    index = {"ix_to_word": {"2": "b", "1": "a"}, "images": [{"split": "train"}, {"split": "val"}]}
    (tmp_path / "data.json").write_text(json.dumps(index))
    read = files.read(tmp_path / "data.h5")
    assert read.words == ("a", "b")
    assert read.ids == (0, 1) and read.files == ("", "")
    assert [read.labels[s:e].tolist() for s, e in zip(read.starts, read.ends, strict=True)] == [
        [[1, 2]],
        [[2, 0]],
    ]


def test_damaged_files_are_named(tmp_path):
    path = pack(tmp_path)
    index = json.loads(path.with_suffix(".json").read_text())
    index["images"].pop()
    path.with_suffix(".json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"captions\.h5 has 4 pictures, captions\.json has 3"):
        files.read(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"captions\.h5.* not a captions file"):
        files.read(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(ValueError, match=r"captions\.json.* not a captions file"):
        files.read(path)
