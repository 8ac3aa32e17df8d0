import json

import pytest

from snakecap.config.settings import Vocabulary as Settings
from snakecap.formats import pictures as picture_files
from snakecap.formats import vocabulary as files
from snakecap.formats.pictures import Collection, Picture
from snakecap.formats.vocabulary import Vocabulary
from snakecap.steps.vocabulary import vocabulary


def make(folder, captions, **settings):
    """Run the stage on captions by split."""
    pictures = [
        Picture(i, f"{i}.jpg", split, tuple(texts))
        for i, (split, texts) in enumerate(captions.items())
    ]
    picture_files.write(folder / "pictures.json", Collection(folder, tuple(pictures)))
    vocabulary(
        pictures=folder / "pictures.json",
        vocabulary=folder / "vocabulary.json",
        settings=Settings(**settings),
    )
    return files.read(folder / "vocabulary.json")


def test_a_word_seen_five_times_is_unknown_and_six_times_is_kept(tmp_path):
    words = make(tmp_path, {"train": ["six " * 6, "five " * 5, "seven " * 7]})
    assert words.words == ("seven", "six", "UNK")
    assert words.counts == {"seven": 7, "six": 6, "UNK": 5}
    assert words.unknown == 3


def test_nothing_rare_no_unknown(tmp_path):
    words = make(tmp_path, {"train": ["six " * 6, "seven " * 7]})
    assert words.words == ("seven", "six")
    assert words.unknown is None


def test_the_tutorials_rule(tmp_path):
    captions = {"train": ["A man's dog. " * 4, "cat " * 3]}
    words = make(tmp_path, captions, tokenizer="treebank", min_count=4, inclusive=True)
    assert words.words == ("'s", ".", "a", "dog", "man", "UNK")
    assert words.tokenizer == "treebank"


def test_only_the_configured_splits_count(tmp_path):
    captions = {"train": ["a dog"], "val": ["a cat"], "test": ["a bird"]}
    assert make(tmp_path, captions, min_count=0).words == ("a", "dog")
    both = make(tmp_path, captions, min_count=0, splits=("train", "val", "test"))
    assert both.words == ("a", "bird", "cat", "dog")


def test_statistics_are_printed_and_stored(tmp_path, capsys):
    make(tmp_path, {"train": ["a dog", "a cat runs"]}, min_count=1)
    printed = capsys.readouterr().out
    assert "number of UNKs: 3/5 = 60.00%" in printed
    assert "inserting the special UNK token" in printed
    stored = json.loads((tmp_path / "vocabulary.json").read_text())
    assert stored["statistics"]["total_words"] == 5
    assert stored["statistics"]["lengths"] == {"2": 1, "3": 1}


def test_same_input_same_bytes(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        make(tmp_path / name, {"train": ["the quick brown fox jumps over dogs"]}, min_count=0)
    one, two = ((tmp_path / n / "vocabulary.json").read_bytes() for n in ("one", "two"))
    assert one == two


def test_no_captions_to_count(tmp_path):
    with pytest.raises(ValueError, match=r"pictures.json: no words in the splits train"):
        make(tmp_path, {"val": ["a dog"]})


def test_all_words_rare(tmp_path):
    with pytest.raises(ValueError, match=r"min_count 5.*'a', occurs 2 times"):
        make(tmp_path, {"train": ["a dog", "a cat"]})


def test_encode_and_decode():
    words = Vocabulary(("a", "dog", "runs", "UNK"))
    assert words.encode(["a", "cat", "runs"]) == [1, 4, 3]
    assert words.decode([1, 2, 3, 0, 2]) == "a dog runs"
    assert words.decode([2, 5, 1]) == "dog"
    assert words.decode([]) == ""
    assert list(words) == ["a", "dog", "runs", "UNK"] and len(words) == 4


def test_without_unknown_new_words_are_left_out():
    assert Vocabulary(("a", "dog")).encode(["a", "cat", "dog"]) == [1, 2]


def test_rarity_without_counts_and_with_counts_of_nothing():
    assert Vocabulary(("a", "dog")).rarity == [1, 1, 1]
    assert Vocabulary(("a", "dog"), counts={"a": 0}).rarity == [0, 0, 0]


def test_unicode_round_trip(tmp_path):
    words = Vocabulary(("straße", "犬", "\U0001f436", "\udc80", "UNK"), "treebank", {"犬": 3})
    files.write(tmp_path / "v.json", words, extra=1)
    assert files.read(tmp_path / "v.json") == words


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"words": ["a", "a"], "tokenizer": "x"}',
     '{"words": ["UNK", "a"], "tokenizer": "x"}', '{"words": [""], "tokenizer": "x"}'],
)  # fmt: skip
def test_damaged_files_are_named(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"broken\.json"):
        files.read(path)
