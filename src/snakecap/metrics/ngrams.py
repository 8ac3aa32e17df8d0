"""Counts of n-grams as arrays: what BLEU and CIDEr compare.

N-grams are numbered without hashing: an n-gram is the number of its first n - 1 words and its
last word, packed into 64 bits. Words are what `str.split` gives, as in coco-caption's `precook`.

Letters: S sentences, W words of all of them, G distinct n-grams of one order, R rows of a table.
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
LOW = 32  # bits


class Counts(NamedTuple):
    """How often each n-gram of one order occurs in each sentence; (R,) each, sorted by both."""

    sentence: Integers
    ngram: Integers
    times: Integers


class Index:
    """The n-grams of a corpus, numbered from 0 for each order."""

    def __init__(self, sentences: Sequence[str]) -> None:
        self._words: dict[str, int] = {}
        self._known: list[Integers] = []
        # Words of each sentence, (S,), and a table for each order.
        self.lengths, self.counts = self._count(sentences, learn=True)
        self.sizes = [len(known) for known in self._known]  # G for each order

    def count(self, sentences: Sequence[str]) -> tuple[Integers, list[Counts]]:
        """Lengths (S,) and counts of other sentences; unseen n-grams are numbered from G on."""
        return self._count(sentences, learn=False)

    def _count(self, sentences: Sequence[str], *, learn: bool) -> tuple[Integers, list[Counts]]:
        words = self._words if learn else self._words.copy()
        split = [sentence.split() for sentence in sentences]
        lengths = np.array([len(row) for row in split], dtype=np.int64)
        word = np.array(
            [words.setdefault(word, len(words)) for row in split for word in row], dtype=np.int64
        )
        sentence = np.append(np.repeat(np.arange(len(split)), lengths), -1)  # (W + 1,)
        start = np.arange(len(word))  # where this order's n-grams begin
        key = word
        tables = []
        for order in range(ORDERS):
            if learn:
                self._known.append(np.unique(key))
            ngram = _number(key, self._known[order])
            pairs, times = np.unique(pack(sentence[start], ngram), return_counts=True)
            tables.append(Counts(pairs >> LOW, pairs & ((1 << LOW) - 1), times))
            inside = sentence[start] == sentence[start + order + 1]
            start = start[inside]
            key = pack(ngram[inside], word[start + order + 1])
        return lengths, tables


@lru_cache(maxsize=1)
def index(references: References) -> Index:
    """The index of all references as one list of sentences; BLEU and CIDEr share it."""
    return Index([sentence for row in references for sentence in row])


def pack(high: Integers, low: Integers) -> Integers:
    """Two numbers below 2**31 as one that sorts by `high`, then by `low`."""
    return (high << LOW) | low


def find(keys: Integers, known: Integers) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Where each key is in `known`, which is sorted, and whether it is there at all."""
    if not len(known):
        return np.zeros(len(keys), dtype=np.int64), np.zeros(len(keys), dtype=bool)
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return at, known[at] == keys


def _number(keys: Integers, known: Integers) -> Integers:
    at, seen = find(keys, known)
    if not seen.all():
        at[~seen] = len(known) + np.unique(keys[~seen], return_inverse=True)[1]
    return at
