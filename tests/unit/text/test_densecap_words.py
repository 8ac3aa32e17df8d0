"""DenseCap's tokenizer: the examples of its preprocess.py, and what it must hold for any text."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakecap.text.densecap import tokenize


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        ("A man's red-shirt!", "a mans redshirt"),
        ("½ eaten Café", "half eaten cafe"),
        ("5° slope", "5 degree slope"),
        ("black—white dog", "blackwhite dog"),
        ("#1 sign, white.", "1 sign white"),
        ("50¢ Coca™ garçon sûr crème…", "50cent coca garcon sur creme"),
        (" …!? ", ""),
    ],
)
def test_the_seven_examples(phrase, words):
    assert tokenize(phrase) == words.split()


def test_other_letters_lose_their_accents_or_go():
    assert tokenize("cafe\u0301 Müller 犬 dog \udc80") == ["cafe", "muller", "dog"]


@given(st.text(alphabet=string.printable))
def test_it_is_the_originals_expression_on_ascii(phrase):
    original = "".join(c for c in phrase.lower() if c not in string.punctuation).split()
    assert tokenize(phrase) == original


@given(st.text())
def test_words_are_plain_and_stay_as_they_are(phrase):
    words = tokenize(phrase)
    assert all(word.isascii() and not set(word) & set(string.punctuation) for word in words)
    assert tokenize(" ".join(words)) == words
