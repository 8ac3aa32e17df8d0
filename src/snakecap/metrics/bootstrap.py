"""Confidence intervals by resampling images, and paired comparison of two systems.

Images are drawn with replacement, and each resample is scored from the sums of its images'
statistics (`snakecap.metrics.metric`): BLEU and METEOR from their counts, ROUGE-L and CIDEr as
means of the images' values. CIDEr keeps the document frequencies of the whole corpus. Percentile
intervals (Efron, 1979); pairs share their resamples (Koehn, 2004), so that the difficulty of
the images cancels.

Letters: B resamples, N images, K statistics, M names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from snakecap import registry
from snakecap.files.scores import Scores
from snakecap.metrics.metric import Array

BLOCK = 4_000_000  # weights in memory at a time


@dataclass(frozen=True, slots=True)
class Difference:
    """How much higher one system scores than another.

    Attributes:
        difference: of the values on all images.
        low, high: 95 % interval of it.
        standard_error: standard deviation over the resamples.
    """

    difference: float
    low: float
    high: float
    standard_error: float


def intervals(scores: Scores, *, resamples: int = 1000, seed: int = 123) -> Scores:
    """The scores with 95 % intervals of all values; none when `resamples` is 0."""
    if not resamples:
        return scores
    drawn = _resampled(scores.statistics, resamples, seed)
    bounds = {name: tuple(np.quantile(row, (0.025, 0.975)).tolist()) for name, row in drawn.items()}
    return Scores(scores.values, scores.per_image, scores.statistics, bounds)


def paired(
    first: Scores, second: Scores, *, resamples: int = 1000, seed: int = 123
) -> dict[str, Difference]:
    """For every metric that both have: first minus second on the same images.

    Raises:
        ValueError: the two are of different images.
    """
    if first.per_image.keys() != second.per_image.keys():
        odd = sorted(first.per_image.keys() ^ second.per_image.keys())
        raise ValueError(f"scores of different images cannot be paired: {', '.join(odd[:10])}")
    place = {key: number for number, key in enumerate(second.per_image)}
    order = [place[key] for key in first.per_image]
    shared = [name for name in first.statistics if name in second.statistics]
    ours = _resampled({name: first.statistics[name] for name in shared}, resamples, seed)
    rows = {name: np.asarray(second.statistics[name])[order] for name in shared}
    theirs = _resampled(rows, resamples, seed)
    return {
        name: _difference(first.values[name] - second.values[name], ours[name] - theirs[name])
        for name in ours
    }


def _difference(value: float, drawn: Array) -> Difference:
    low, high = np.quantile(drawn, (0.025, 0.975)).tolist()
    return Difference(value, low, high, float(drawn.std(ddof=1)))


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
