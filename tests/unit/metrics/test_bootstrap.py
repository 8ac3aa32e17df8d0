"""Intervals against naive resampling and theory."""

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu as OfficialBleu

from snakecap import registry
from snakecap.formats.scores import Scores
from snakecap.metrics import bootstrap

REFERENCES = (
    ("a man rides a wave", "a surfer on a large wave", "man surfing"),
    ("two dogs run on grass",),
    ("a red bus in the street", "the bus is red"),
    ("a cat sleeps on a couch", "a cat on a sofa", "the cat is asleep", "cat"),
)
CAPTIONS = ["a man on a wave", "two dogs run on grass", "a blue car", ""]


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
        expected, _ = OfficialBleu(4).compute_score(
            {at: list(references) for at, (_, references) in enumerate(chosen)},
            {at: [caption] for at, (caption, _) in enumerate(chosen)},
            verbose=0,
        )
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
