"""What every metric promises, and the official scorers as the oracle."""

import collections
import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu as OfficialBleu
from pycocoevalcap.cider.cider import Cider as OfficialCider
from pycocoevalcap.rouge.rouge import Rouge as OfficialRouge

from snakecap import registry
from snakecap.metrics import paraphrases
from snakecap.metrics.bleu import Bleu
from snakecap.metrics.cider import Cider
from snakecap.metrics.ngrams import Index
from snakecap.metrics.rouge import Rouge

REFERENCES = (
    ("a man rides a wave", "a surfer on a large wave", "man surfing"),
    ("two dogs run on grass",),
    ("a red bus in the street", "the bus is red"),
    ("a cat sleeps on a couch", "a cat on a sofa", "the cat is asleep", "cat"),
)
CAPTIONS = ["a man on a wave", "two dogs run on grass", "a blue car", ""]

words = st.sampled_from(["a", "man", "dog", "on", "the", "red"])
sentences = st.lists(words, max_size=9).map(" ".join)
images = st.lists(
    st.tuples(sentences, st.lists(sentences, min_size=1, max_size=4).map(tuple)),
    min_size=1,
    max_size=6,
)


@pytest.fixture
def few_paraphrases(monkeypatch):
    """METEOR without the seconds that reading its whole table takes."""
    table = gzip.compress(b"0.1\nsurfer\nman\n0.1\nbus\ncar\n")
    monkeypatch.setattr(paraphrases, "select", lambda table_path, text: table)


@pytest.fixture(params=sorted(registry.METRICS))
def part(request, few_paraphrases):
    return registry.load("metric", request.param)


def test_values_are_the_formula_of_additive_statistics(part):
    metric = part(REFERENCES)
    rows = metric.statistics(CAPTIONS)
    per_image = metric.evaluate(rows)
    assert per_image.shape == (len(REFERENCES), len(part.names))
    assert metric.evaluate(rows.sum(0)).shape == (len(part.names),)
    assert np.isfinite(per_image).all() and (per_image >= 0).all()
    for row, values in zip(rows, per_image, strict=True):
        np.testing.assert_array_equal(metric.evaluate(row), values)


def test_a_reference_itself_beats_anything_else(part):
    metric = part(REFERENCES)
    best, other = metric.many([[row[0] for row in REFERENCES], CAPTIONS[::-1]])
    assert (metric.evaluate(best.sum(0)) > metric.evaluate(other.sum(0))).all()


def test_the_order_of_images_does_not_matter(part):
    order = [2, 0, 3, 1]
    rows = part(REFERENCES).statistics(CAPTIONS)
    metric = part(tuple(REFERENCES[number] for number in order))
    again = metric.statistics([CAPTIONS[number] for number in order])
    np.testing.assert_allclose(metric.evaluate(again), metric.evaluate(rows)[order], rtol=1e-12)


def test_several_sets_at_once_are_each_as_if_alone(part):
    metric = part(REFERENCES)
    other = ["a dog", "", "a bus", "the cat is asleep"]
    together = metric.many([CAPTIONS, other])
    np.testing.assert_array_equal(together[0], metric.statistics(CAPTIONS))
    np.testing.assert_array_equal(together[1], metric.statistics(other))


def test_empty_captions_have_finite_scores(part):
    metric = part(REFERENCES)
    values = metric.evaluate(metric.statistics([""] * len(REFERENCES)))
    assert np.abs(values).max() < 1e-3


def test_references_without_any_word_have_finite_scores(part):
    metric = part((("", ""), ("",)))
    assert np.isfinite(metric.evaluate(metric.statistics(["a dog", ""]))).all()


@pytest.mark.parametrize("references", [(), (("a dog",), ())])
def test_no_references_is_an_error(part, references):
    with pytest.raises(ValueError, match="at least one reference"):
        part(references)


def _official(scorer, pairs, **options):
    truth = {number: list(references) for number, (_, references) in enumerate(pairs)}
    found = {number: [caption] for number, (caption, _) in enumerate(pairs)}
    return scorer.compute_score(truth, found, **options)


def _ours(part, pairs):
    metric = part(tuple(references for _, references in pairs))
    rows = metric.statistics([caption for caption, _ in pairs])
    return metric.evaluate(rows.sum(0)), metric.evaluate(rows)


@settings(deadline=None)
@given(images)
def test_bleu_is_the_official_one(pairs):
    value, per_image = _ours(Bleu, pairs)
    expected, each = _official(OfficialBleu(4), pairs, verbose=0)
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(per_image, np.transpose(each), rtol=1e-12, atol=1e-15)


@settings(deadline=None)
@given(images)
def test_rouge_is_the_official_one(pairs):
    value, per_image = _ours(Rouge, pairs)
    expected, each = _official(OfficialRouge(), pairs)
    np.testing.assert_allclose(value, [expected], rtol=1e-12)
    np.testing.assert_array_equal(per_image[:, 0], each)


@settings(deadline=None)
@given(images)
def test_cider_is_the_official_one(pairs):
    if not any(reference for _, references in pairs for reference in references):
        pairs = [*pairs, ("a", ("a",))]  # the official scorer fails without any word
    value, per_image = _ours(Cider, pairs)
    expected, each = _official(OfficialCider(), pairs)
    np.testing.assert_allclose(value, [expected], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(per_image[:, 0], each, rtol=1e-12, atol=1e-14)


def test_cider_of_one_image_is_zero():
    metric = Cider((("a dog runs in the park",),))
    assert metric.per_image(["a dog runs in the park"]) == [0.0]


@given(st.lists(sentences, max_size=4), st.lists(sentences, max_size=4))
def test_an_index_finds_the_ngrams_that_sentences_share(corpus, others):
    index = Index(corpus)
    lengths, tables = index.count(others)
    assert lengths.tolist() == [len(other.split()) for other in others]
    for order in range(4):
        known, found = _by_sentence(index.counts[order]), _by_sentence(tables[order])
        for i, ours in enumerate(corpus):
            assert sum(known[i].values()) == sum(_grams(ours, order).values())
            for j, other in enumerate(others):
                assert sum(found[j].values()) == sum(_grams(other, order).values())
                shared = _grams(ours, order) & _grams(other, order)
                assert sorted((known[i] & found[j]).values()) == sorted(shared.values())


def _by_sentence(table):
    counters = collections.defaultdict(collections.Counter)
    for sentence, ngram, times in zip(*table, strict=True):
        counters[int(sentence)][int(ngram)] = int(times)
    return counters


def _grams(sentence, order):
    split = sentence.split()
    starts = range(len(split) - order)
    return collections.Counter(tuple(split[start : start + order + 1]) for start in starts)
