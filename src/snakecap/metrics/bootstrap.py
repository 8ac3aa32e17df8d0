"""Confidence intervals by resampling images.

Images are drawn with replacement, and each resample is scored from the sums of its images'
statistics (`snakecap.metrics.metric`): BLEU and METEOR from their counts, ROUGE-L and CIDEr as
means of the images' values. CIDEr keeps the document frequencies of the whole corpus. Percentile
intervals (Efron, 1979).

Letters: B resamples, N images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from snakecap import registry
from snakecap.formats.scores import Scores
from snakecap.metrics.metric import Array

BLOCK = 4_000_000  # weights in memory at a time


def intervals(scores: Scores, *, resamples: int = 1000, seed: int = 123) -> Scores:
    """The scores with 95 % intervals of all values; none when `resamples` is 0."""
    if not resamples:
        return scores
    drawn = _resampled(scores.statistics, resamples, seed)
    bounds = {name: tuple(np.quantile(row, (0.025, 0.975)).tolist()) for name, row in drawn.items()}
    return Scores(scores.values, scores.per_image, scores.statistics, bounds)


def _resampled(
    statistics: Mapping[str, Array | list[list[float]]], resamples: int, seed: int
) -> dict[str, Array]:
    """Each value on each resample, (B,), by name; the same resamples for the same seed and N."""
    tables = {name: np.asarray(rows, dtype=np.float64) for name, rows in statistics.items()}
    parts = {name: registry.load("metric", name) for name in tables}
    sums: dict[str, list[Array]] = {name: [] for name in tables}
    images = len(next(iter(tables.values()), ()))
    for weights in _weights(images, resamples, seed):
        for name, rows in tables.items():
            sums[name].append(weights @ rows)
    return {
        value: column
        for name, part in parts.items()
        for value, column in zip(
            part.names, part.evaluate(np.concatenate(sums[name])).T, strict=True
        )
    }


def _weights(images: int, resamples: int, seed: int) -> Iterator[Array]:
    """How often each image is drawn in some of the resamples, (at most B, N)."""
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK // max(1, images))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = generator.integers(images, size=(size, images))
        drawn += np.arange(size)[:, None] * images
        yield np.bincount(drawn.ravel(), minlength=size * images).reshape(size, -1).astype(float)
