"""What every metric promises, and the sums that intervals and comparisons are made of."""

import collections
import gzip
import os
import subprocess
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu as OfficialBleu
from pycocoevalcap.cider.cider import Cider as OfficialCider
from pycocoevalcap.rouge.rouge import Rouge as OfficialRouge
from snakecap import registry
from snakecap.files.scores import Scores
from snakecap.metrics import bootstrap, java, paraphrases
from snakecap.metrics.bleu import Bleu
from snakecap.metrics.cider import Cider
from snakecap.metrics.meteor import Meteor
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


@given(st.lists(sentences, max_size=5), st.lists(sentences, max_size=5))
def test_an_index_counts_ngrams(corpus, others):
    index = Index(corpus)
    lengths, tables = index.count(others)
    assert lengths.tolist() == [len(other.split()) for other in others]
    for order in range(4):
        numbers = {}  # of each n-gram, as the index gave them
        for rows, table in ((corpus, index.counts[order]), (others, tables[order])):
            expected = collections.Counter()
            for at, row in enumerate(rows):
                split = row.split()
                for start in range(len(split) - order):
                    expected[at, tuple(split[start : start + order + 1])] += 1
            found = sorted(zip(*(column.tolist() for column in table), strict=True))
            assert len(found) == len(expected)
            # A bijection of n-grams and numbers that turns one table into the other.
            for at, number, times in found:
                fits = {
                    gram
                    for (place, gram), count in expected.items()
                    if place == at and count == times and numbers.get(gram, number) == number
                }
                assert fits
        seen = {
            tuple(row.split()[i : i + order + 1])
            for row in corpus
            for i in range(len(row.split()) - order)
        }
        assert index.sizes[order] == len(seen)


def _scores(captions, names=("Bleu", "ROUGE_L", "CIDEr")):
    values, per_image, statistics = {}, {str(key): {} for key in range(len(captions))}, {}
    for name in names:
        part = registry.load("metric", name)
        rows = part(REFERENCES).statistics(captions)
        statistics[name] = rows.tolist()
        values |= zip(part.names, part.evaluate(rows.sum(0)).tolist(), strict=True)
        for image, row in zip(per_image.values(), part.evaluate(rows).tolist(), strict=True):
            image |= zip(part.names, row, strict=True)
    return Scores(values, per_image, statistics)


def test_resamples_of_bleu_are_the_official_score_of_the_resampled_images():
    scores = _scores(CAPTIONS)
    drawn = bootstrap._resampled(scores.statistics, 5, 7)
    (weights,) = bootstrap._weights(len(CAPTIONS), 5, 7)
    pairs = list(zip(CAPTIONS, REFERENCES, strict=True))
    for number, row in enumerate(weights.astype(int)):
        chosen = [pair for pair, times in zip(pairs, row, strict=True) for _ in range(times)]
        expected, _ = _official(OfficialBleu(4), chosen, verbose=0)
        found = [drawn[f"Bleu_{order}"][number] for order in (1, 2, 3, 4)]
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_resamples_do_not_depend_on_how_many_fit_in_memory(monkeypatch):
    whole = np.concatenate(list(bootstrap._weights(7, 10, 3)))
    assert (whole.sum(1) == 7).all()
    monkeypatch.setattr(bootstrap, "BLOCK", 21)
    np.testing.assert_array_equal(np.concatenate(list(bootstrap._weights(7, 10, 3))), whole)


def test_intervals_have_the_width_that_theory_gives():
    values = np.random.default_rng(0).normal(1.0, 2.0, size=400)
    rows = np.stack([values, np.ones(400)], 1).tolist()
    per_image = {str(key): {"CIDEr": value} for key, value in enumerate(values)}
    scores = Scores({"CIDEr": float(values.mean())}, per_image, {"CIDEr": rows})
    low, high = bootstrap.intervals(scores, resamples=4000).intervals["CIDEr"]
    error = values.std() / np.sqrt(400)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert bootstrap.intervals(scores, resamples=0).intervals == {}


def test_a_system_paired_with_itself_does_not_differ():
    for found in bootstrap.paired(_scores(CAPTIONS), _scores(CAPTIONS)).values():
        assert (found.difference, found.low, found.high, found.standard_error) == (0, 0, 0, 0)


def test_pairs_share_images_by_id_and_cancel_their_difficulty():
    values = np.random.default_rng(0).normal(1.0, 2.0, size=300)

    def scores(column, order):
        rows = [[column[number], 1.0] for number in order]
        per_image = {str(number): {"CIDEr": column[number]} for number in order}
        return Scores({"CIDEr": float(column.mean())}, per_image, {"CIDEr": rows})

    better = values + 0.1
    found = bootstrap.paired(scores(better, range(300)), scores(values, range(299, -1, -1)))
    assert found["CIDEr"].difference == pytest.approx(0.1)
    assert found["CIDEr"].low == pytest.approx(0.1) == found["CIDEr"].high
    assert found["CIDEr"].standard_error == pytest.approx(0, abs=1e-12)


def test_pairs_of_different_images_are_an_error():
    other = Scores({}, {"77": {}}, {})
    with pytest.raises(ValueError, match="different images.*77"):
        bootstrap.paired(_scores(CAPTIONS), other)


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


@given(st.integers(1, 400))
def test_paraphrases_are_read_whole_whatever_the_block(block):
    entries = "".join(f"0.{n}\nred {n % 7}\nblue {n}\n" for n in range(60))
    text = "red blue " + " ".join(map(str, range(0, 60, 3)))
    with pytest.MonkeyPatch.context() as patch:
        table = java.official("meteor/meteor-1.5.jar").with_name("unused")
        packed = gzip.compress(entries.encode())
        patch.setattr(paraphrases, "BLOCK", block)
        patch.setattr(type(table), "open", lambda *_: __import__("io").BytesIO(packed))
        lines = gzip.decompress(paraphrases.select(table, text)).decode().split("\n")
    expected = [n for n in range(0, 60, 3) if n % 7 in (0, 3, 6)]
    assert lines[2::3] == [f"blue {n}" for n in expected]
