import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakecap.text import neuraltalk2, treebank
from snakecap.text.counting import count, keep, statistics
from snakecap.text.function_words import content_words


def test_neuraltalk2_deletes_punctuation_and_lowers():
    words = neuraltalk2.tokenize("A man's two-story House.")
    assert words == ["a", "mans", "twostory", "house"]


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("Ein Müller läuft über die Straße!", ["ein", "müller", "läuft", "über", "die", "straße"]),
        ("犬が 走る。", ["犬が", "走る。"]),
        ("cafe\u0301 caf\u00e9", ["caf\u00e9", "caf\u00e9"]),
        ("a \U0001f436\n dog\u2028runs", ["a", "\U0001f436", "dog", "runs"]),
        ("lone \udc80 surrogate", ["lone", "\udc80", "surrogate"]),
        (" .,!?  ", []),
        ("", []),
    ],
)
def test_neuraltalk2_reads_any_text(caption, words):
    assert neuraltalk2.tokenize(caption) == words


@given(st.text(alphabet=string.printable))
def test_neuraltalk2_is_the_originals_expression_on_ascii(caption):
    original = "".join(c for c in caption.lower() if c not in string.punctuation).strip().split()
    assert neuraltalk2.tokenize(caption) == original


# What nltk 3.10's word_tokenize gives for the lower-cased text.
TREEBANK = {
    "A man's dog, Rex, isn't wet.": "a man 's dog , rex , is n't wet .",
    'He said "hello" to me.': "he said `` hello '' to me .",
    '("a dog")': "( `` a dog '' )",
    "the dogs' ball": "the dogs ' ball",
    "rock 'n' roll": "rock 'n ' roll",
    "don't can't won't": "do n't ca n't wo n't",
    "they're he'd I'll we've I'm": "they 're he 'd i 'll we 've i 'm",
    "10:30, 1,000 and 3.5 m": "10:30 , 1,000 and 3.5 m",
    "wait... what?": "wait ... what ?",
    "a--b, c - d, e-f": "a -- b , c - d , e-f",
    "he's gonna cannot wanna": "he 's gon na can not wan na",
    "cats & dogs 50% off #1 @ $5": "cats & dogs 50 % off # 1 @ $ 5",
    "a 'stop' sign": "a ' stop ' sign",
    "it's.": "it 's .",
    "foo (bar).": "foo ( bar ) .",
    "“curly” ‘q’ man’s": "“ curly ” ‘ q ’ man ’ s",
    "a/b [c] {d} <e>": "a/b [ c ] { d } < e >",
    "a man. a dog.": "a man . a dog .",
    "dr. who and mr. x.": "dr. who and mr. x .",
    "the u.s. army": "the u.s. army",
    "o'clock y'all": "o'clock y'all",
    "hi!! yes?!": "hi ! ! yes ? !",
    "a–b": "a – b",
    "": "",
    "…": "…",
}


@pytest.mark.parametrize(("caption", "tokens"), TREEBANK.items())
def test_treebank_splits_as_nltk(caption, tokens):
    assert treebank.tokenize(caption) == tokens.split()


@given(st.text(alphabet=string.ascii_letters + string.punctuation + "  é’“\n"))
def test_treebank_keeps_every_character(caption):
    """All but spaces; double quotes become `` or ''."""

    def plain(text):
        return "".join(text.lower().replace('"', "''").replace("``", "''").split())

    assert plain("".join(treebank.tokenize(caption))) == plain(caption)
    assert all(treebank.tokenize(caption))


def test_threshold_keeps_words_seen_more_often():
    words = count([["six"] * 6, ["five"] * 5, ["seven"] * 7]).words
    assert keep(words, 5) == ["seven", "six"]
    assert keep(words, 5, inclusive=True) == ["seven", "six", "five"]


def test_equal_counts_are_alphabetical():
    assert keep(count([["b", "c", "a", "c"]]).words, 0) == ["c", "a", "b"]


def test_statistics_are_prepros():
    captions = [["a", "dog", "runs"], ["a", "cat"], [], ["a", "dog", "and", "a", "cat"]]
    counts = count(captions)
    found = statistics(counts, keep(counts.words, 1))
    assert found.top[0] == ("a", 4)
    assert (found.total_words, found.distinct_words) == (10, 5)
    assert (found.bad_words, found.unknown_words, found.kept_words) == (2, 2, 3)
    assert found.max_length == 5
    assert found.lengths == {0: 1, 2: 1, 3: 1, 5: 1}
    lines = str(found).splitlines()
    assert "total words: 10" in lines
    assert "number of bad words: 2/5 = 40.00%" in lines
    assert "number of words in vocab would be 3" in lines
    assert "number of UNKs: 2/10 = 20.00%" in lines
    assert "max length sentence in raw data: 5" in lines
    assert any(line.startswith(" 5:          1   25.000000%  ####") for line in lines)


def test_content_words_are_neither_function_words_nor_marks():
    words = ["a", "dog", "of", ".", "red", "'s", "two", "2", "läufer", "UNK"]
    content = content_words(words)
    assert content.dtype == np.bool_
    assert [words[i - 1] for i in content.nonzero()[0]] == ["dog", "red", "läufer"]
    assert not content[0] and len(content) == len(words) + 1
