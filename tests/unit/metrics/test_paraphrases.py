"""Which paraphrases METEOR is given."""

import gzip
import random

import pytest

from snakecap.metrics import paraphrases


@pytest.mark.parametrize(
    ("text", "phrase", "paraphrase", "kept"),
    [
        ("a man and a guy", "man", "guy", True),
        ("a man", "man", "guy", False),
        ("a MAN", "man", "man", True),
        ("the u.s. team", "us", "team", True),
        ("the man 's dog", "man 's", "dog", True),
        ("wave, well-known", "well known", "wave", True),
        ("a dog", "dog café", "dog", False),
        ("a dog café", "dog café", "dog", True),
    ],
)
def test_paraphrases_are_kept_when_all_their_words_occur(tmp_path, text, phrase, paraphrase, kept):
    table = tmp_path / "table.gz"
    entry = f"0.25\n{phrase}\n{paraphrase}\n"
    table.write_bytes(gzip.compress(f"0.5\nzzz\nzzz\n{entry}0.5\nzzz\nzz\n".encode()))
    selected = gzip.decompress(paraphrases.select(table, text)).decode()
    assert selected == (f"0\n{phrase}\n{paraphrase}\n" if kept else "")


@pytest.mark.parametrize("block", [1, 2, 5, 50, 100_000])
def test_entries_are_read_whole_whatever_the_block(tmp_path, monkeypatch, block):
    numbers = random.Random(0).sample(range(10_000), 300)
    entries = "".join(f"0.{n}\nred {n % 7}\nblue {n}\n" for n in numbers)
    table = tmp_path / "table.gz"
    table.write_bytes(gzip.compress(entries.encode()))
    monkeypatch.setattr(paraphrases, "BLOCK", block)
    known = {0, 3, 6, *numbers[::3]}
    lines = gzip.decompress(paraphrases.select(table, f"red blue {known}")).decode().split("\n")
    expected = [n for n in numbers if n in known and n % 7 in known]
    assert len(expected) > 20
    assert lines[2::3] == [f"blue {n}" for n in expected]
