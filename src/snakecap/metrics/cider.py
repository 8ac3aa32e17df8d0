"""CIDEr (Vedantam et al., 2015) as coco-caption computes it.

Source: cider_scorer.py in coco-caption: tf-idf vectors of 1- to 4-grams, document frequencies
over the images that are scored, clipped cosine similarity, a Gaussian penalty of the difference
in length (sigma 6), mean over orders and references, times 10. As there, "length" is the number
of bigrams, and one image alone scores 0, since log 1 is the weight of everything. Where the
official scorer fails (references without any word), the value is 0.

Letters: N images, S references of all images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snakecap.metrics.metric import Array, MeanMetric, References
from snakecap.metrics.ngrams import LOW, ORDERS, Counts, find, index, pack

SIGMA = 6.0


class Cider(MeanMetric):
    """Consensus with the references, from 0 to 10 for an image."""

    names = ("CIDEr",)

    def __init__(self, references: References) -> None:
        super().__init__(references)
        self._index = index(references)
        sizes = np.array([len(row) for row in references])
        self._sizes = sizes
        self._image = np.repeat(np.arange(len(sizes)), sizes)  # of each reference, (S,)
        tables = list(zip(self._index.counts, self._index.sizes, strict=True))
        self._idf = [self._inverse_frequency(counts, size) for counts, size in tables]
        self._weights = [_weigh(*pair) for pair in zip(self._index.counts, self._idf, strict=True)]
        self._norms = [
            _norm(counts, weights, len(self._image))
            for counts, weights in zip(self._index.counts, self._weights, strict=True)
        ]

    def per_image(self, captions: Sequence[str]) -> Array:
        lengths, tables = self._index.count(captions)
        similarity = np.zeros(len(self._image))
        for order in range(ORDERS):
            similarity += self._cosine(order, tables[order], len(captions))
        # The original counts bigrams where it says length.
        bigrams = np.maximum(0, lengths - 1)[self._image]
        difference = bigrams - np.maximum(0, self._index.lengths - 1)
        similarity *= np.exp(-(difference**2) / (2 * SIGMA**2))
        total = np.bincount(self._image, similarity, len(captions))
        return np.asarray(10.0 * (total / ORDERS / self._sizes))

    def _inverse_frequency(self, counts: Counts, size: int) -> Array:
        """log(N / images whose references have the n-gram), (G + 1,); the last: unseen ones."""
        pairs = np.unique(pack(self._image[counts.sentence], counts.ngram))
        frequency = np.bincount(pairs & ((1 << LOW) - 1), minlength=size + 1)
        images = np.log(float(len(self._sizes)))
        return np.asarray(images - np.log(np.maximum(1.0, frequency)))

    def _cosine(self, order: int, counts: Counts, images: int) -> Array:
        """Clipped cosine of each reference with its image's caption, (S,)."""
        weights = _weigh(counts, self._idf[order])
        norms = _norm(counts, weights, images)[self._image] * self._norms[order]
        reference = self._index.counts[order]
        keys = pack(self._image[reference.sentence], reference.ngram)
        at, seen = find(keys, pack(counts.sentence, counts.ngram))
        own = self._weights[order][seen]
        products = np.minimum(weights[at[seen]], own) * own
        dot = np.bincount(reference.sentence[seen], products, len(self._image)).astype(np.float64)
        return np.divide(dot, norms, out=dot, where=norms != 0)


def _weigh(counts: Counts, idf: Array) -> Array:
    return np.asarray(counts.times * idf[np.minimum(counts.ngram, len(idf) - 1)])


def _norm(counts: Counts, weights: Array, sentences: int) -> Array:
    return np.asarray(np.sqrt(np.bincount(counts.sentence, weights**2, sentences)))
