"""Counts of n-grams as arrays: what BLEU and CIDEr compare.

N-grams are numbered without hashing: an n-gram is the number of its first n - 1 words and its
last word, packed into 64 bits. Words are what `str.split` says, as in coco-caption's `precook`.

Letters: S sentences, G distinct n-grams of one order, R rows of one order's table.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from snakecap.metrics.metric import References

Integers = npt.NDArray[np.int64]
ORDERS = 4


class Counts(NamedTuple):
    """How often each n-gram of one order occurs in each sentence; sorted by both, each (R,)."""

    sentence: Integers
    ngram: Integers
    count: Integers


class Index:
    """The n-grams of a corpus, numbered from 0 for each order.

    Attributes:
        lengths: words of each sentence, (S,).
        counts: of the corpus, one table for each order.
        sizes: G for each order.
    """

    def __init__(self, sentences: Sequence[str]) -> None:
        self._words: dict[str, int] = {}
        self._known: list[Integers] = []
        self.lengths, self.counts = self._count(sentences, self._words, learn=True)
        self.sizes = [len(known) for known in self._known]

    def count(self, sentences: Sequence[str]) -> tuple[Integers, list[Counts]]:
        """Lengths (S,) and counts of other sentences; unseen n-grams are numbered from G on."""
        return self._count(sentences, self._words.copy(), learn=False)

    def _count(
        self, sentences: Sequence[str], words: dict[str, int], *, learn: bool
    ) -> tuple[Integers, list[Counts]]:
        split = [sentence.split() for sentence in sentences]
        lengths = np.array([len(row) for row in split], dtype=np.int64)
        flat = [words.setdefault(word, len(words)) for row in split for word in row]
        word = np.array(flat, dtype=np.int64)
        owner = np.repeat(np.arange(len(split)), lengths)
        key = word
        tables = []
        for order in range(ORDERS):
            if learn:
                self._known.append(np.unique(key))
            ngram = _number(key, self._known[order])
            tables.append(_tally(owner[: len(ngram)], ngram))
            # The next order starts wherever one more word follows in the same sentence.
            follows = owner[: len(ngram) - 1] == owner[order + 1 :]
            word, owner, key = word, owner, key
            key, owner, word = _extend(ngram, word, owner, order, follows)
        return lengths, tables
