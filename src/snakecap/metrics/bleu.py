"""BLEU-1 to BLEU-4 (Papineni et al., 2002) as coco-caption computes them.

Source: David Chiang's bleu_scorer.py in coco-caption, with the reference length of the closest
reference, the shorter of two equally close. As there, corpus counts are unsmoothed but for
constants of 1e-9 and 1e-15 against division by zero, so an image without a common 4-gram has a
BLEU-4 of about 1e-4 or less, not 0.

Letters: N images, S references of all images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snakecap.metrics.metric import Array, Metric, References
from snakecap.metrics.ngrams import ORDERS, Counts, Integers, find, index, pack

SMALL = 1e-9
TINY = 1e-15


class Bleu(Metric):
    """K = 10 statistics: words, words of the closest reference, n-grams, and those matched."""

    names = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4")

    def __init__(self, references: References) -> None:
        super().__init__(references)
        self._index = index(references)
        sizes = np.array([len(row) for row in references])
        image = np.repeat(np.arange(len(references)), sizes)  # of each reference, (S,)
        self._first = np.cumsum(sizes) - sizes  # each image's first reference, (N,)
        self._sizes = sizes
        self._allowed = [_most(counts, image) for counts in self._index.counts]

    def statistics(self, captions: Sequence[str]) -> Array:
        lengths, tables = self._index.count(captions)
        guessed = [np.maximum(0, lengths - order) for order in range(ORDERS)]
        matched = []
        for counts, (keys, allowed) in zip(tables, self._allowed, strict=True):
            at, seen = find(pack(counts.sentence, counts.ngram), keys)
            clipped = np.minimum(counts.times[seen], allowed[at[seen]])
            matched.append(np.bincount(counts.sentence[seen], clipped, len(captions)))
        closest = self._closest(lengths)
        return np.stack([lengths, closest, *guessed, *matched], axis=1).astype(np.float64)

    def _closest(self, lengths: Integers) -> Integers:
        """The length of the reference that is nearest in length, (N,)."""
        references = self._index.lengths
        distance = np.abs(references - np.repeat(lengths, self._sizes))
        nearest = np.minimum.reduceat(pack(distance, references), self._first)
        return nearest & 0xFFFFFFFF

    @staticmethod
    def evaluate(statistics: Array) -> Array:
        words, closest = statistics[..., 0], statistics[..., 1]
        guessed, matched = statistics[..., 2:6], statistics[..., 6:]
        product = np.cumprod((matched + TINY) / (guessed + SMALL), axis=-1)
        ratio = (words + TINY) / (closest + SMALL)
        with np.errstate(over="ignore"):
            penalty = np.where(ratio < 1, np.exp(1 - 1 / ratio), 1.0)
        return product ** (1 / np.arange(1, ORDERS + 1)) * penalty[..., None]


def _most(counts: Counts, image: Integers) -> tuple[Integers, Integers]:
    """For each n-gram of each image, packed and sorted: the most that one reference has of it."""
    keys, group = np.unique(pack(image[counts.sentence], counts.ngram), return_inverse=True)
    most = np.zeros(len(keys), dtype=np.int64)
    np.maximum.at(most, group, counts.times)
    return keys, most
