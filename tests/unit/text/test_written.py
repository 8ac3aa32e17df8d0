"""D27: captions as people write them; what scores read of them is the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakecap.config.evaluation import Decoding
from snakecap.metrics.tokenizer import tokenize
from snakecap.text.treebank import tokenize as words_of
from snakecap.text.written import complete, lemma_rules, without_repeats, writer, written

WORDS = st.lists(st.sampled_from(["a", "cat", "dog", ".", ",", "it", "'s"]), max_size=20)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", ""),
        ("a cat . a dog .", "A cat. A dog."),
        ("a cat , and 2 dogs", "A cat, and 2 dogs"),
        ("the dog 's ball is n't red !", "The dog's ball isn't red!"),
        ("élan . über", "Élan. Über"),
    ],
)
def test_capitals_and_no_space_before_punctuation(words, text):
    assert written(words) == text
    assert written(text) == text


@given(WORDS)
def test_what_is_written_has_the_same_words(words):
    assert written(" ".join(words)).lower().replace(" ", "") == "".join(words)


def test_scores_read_the_same_words():
    words = "a cat 's dog . it is n't wet , is it ?"
    assert written(words) == "A cat's dog. It isn't wet, is it?"
    assert words_of(written(words)) == words.split()
    each = tokenize([words], [written(words)])
    assert each[0] == each[1]


@given(WORDS)
def test_no_sentence_is_said_twice_and_none_is_lost(words):
    def sentences(text):
        return [one.strip() for one in text.split(".") if one.strip()]

    said = without_repeats(" ".join(words))
    assert sentences(said) == list(dict.fromkeys(sentences(" ".join(words))))


def test_what_follows_the_last_full_stop_is_left_out():
    assert complete("a cat . a dog on") == "a cat ."
    assert complete("a cat .") == "a cat ."
    assert complete("a cat on a") == "a cat on a"  # DeepCaption's becomes empty


def test_lemmas_are_replaced_and_a_wrong_line_is_named(tmp_path):
    path = tmp_path / "rules.txt"
    path.write_text("dog NOUN+Pl dogs\n\nbe VERB is\n", encoding="utf-8")
    write = writer(Decoding(lemma_rules=str(path)))
    assert write("two dog NOUN+Pl and a dog be VERB NOUN+Pl") == "two dogs and a dog is NOUN+Pl"
    path.write_text("dog NOUN dogs\ndog dogs\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"rules\.txt, line 2: 'dog dogs'"):
        lemma_rules(path)
    with pytest.raises(ValueError, match="lemma_rules: there is no file"):
        Decoding(lemma_rules=str(tmp_path / "none"))


def test_options_are_independent_and_off():
    words = "a cat . a cat . a"
    assert writer(Decoding())(words) == words
    assert writer(Decoding(no_repeat_sentences=True))(words) == "a cat . a"
    assert writer(Decoding(only_complete_sentences=True))(words) == "a cat . a cat ."
    every = Decoding(written=True, no_repeat_sentences=True, only_complete_sentences=True)
    assert writer(every)(words) == "A cat."
