"""How well captions agree with their pictures' references, computed on word ids.

Sources: CIDEr-D (Vedantam et al., 2015) as in vrama91/cider's ciderD_scorer.py, which
self-critical.pytorch uses, and which is coco-caption's CIDEr with document frequencies of another
corpus; BLEU-4 of each caption alone. As in self-critical.pytorch, END is a word of captions and
references, but of those that were cut at the longest length: without it, a model learns to stop in
the middle of a phrase.

Known deviation: document frequencies are those of the captions as the model reads them, with rare
words as UNK and long captions cut.

Letters: P pictures, K captions of each, S sentences (captions, then references), T words, V
vocabulary, G distinct n-grams, R n-grams of the sentences.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snakecap.formats.captions import Captions, Integers
from snakecap.metrics.bleu import Bleu
from snakecap.metrics.cider import SIGMA
from snakecap.metrics.metric import Array
from snakecap.metrics.ngrams import ORDERS, find

LARGEST = 55_106  # V: four digits in base V + 2 have 63 bits
REPETITION = np.array([0.1, 1.0, 1.0, 1.0])  # DeepCaption's weights of the four orders


class Agreement(NamedTuple):
    """What P x K captions are worth, and how varied they are."""

    cider: Array  # CIDEr-D, (P, K), from 0 to 10
    bleu: Array  # BLEU-4, (P, K)
    diversity: float  # distinct n-grams of the batch for each word, n from 1 to 4
    repetition: float  # of n-grams within the captions, summed


class Grams(NamedTuple):
    """The n-grams of S sentences: which, and how often."""

    sentence: Integers  # (R,), ascending
    gram: Integers  # number of the n-gram, (R,)
    times: Integers  # (R,)
    order: Integers  # n - 1 of each n-gram, (G,)
    idf: Array  # of each n-gram, (G,)
    lengths: Integers  # words of each sentence, END included, (S,)

    def by_order(self, values: Array | Integers, within: slice) -> Array:
        """Sums over each sentence's n-grams of one order, (S, 4); of the n-grams `within`."""
        places = self.sentence[within] * ORDERS + self.order[self.gram[within]]
        sums = np.bincount(places, values, len(self.lengths) * ORDERS)
        return np.asarray(sums.reshape(-1, ORDERS), np.float64)


class Reward:
    """CIDEr-D and BLEU-4 against the references of a data set.

    Args:
        references: all pictures'; document frequencies are those of the training split.

    Raises:
        ValueError: a vocabulary of over 55,106 words.
    """

    def __init__(self, references: Captions):
        size = len(references.words)
        if size > LARGEST:
            raise ValueError(f"a reward reads at most {LARGEST} different words, not {size}")
        self.references, self.base = references, size + 2
        train = references.rows("train")
        rows = train[references.counts[train] > 0]
        self.documents = np.log(float(len(rows)))
        self.known, self.frequency = self._document_frequency(rows)

    def _document_frequency(self, rows: Integers) -> tuple[Integers, Integers]:
        """N-grams that several pictures have, and how many; unknown ones count as of one."""
        chosen, owners = self._of(rows)
        orders = ngrams(self.references.labels[chosen], self.base)
        known, frequency = zip(*(_frequent(keys, owners) for keys in orders), strict=True)
        return np.concatenate(known), np.concatenate(frequency)

    def _of(self, rows: Integers) -> tuple[Integers, Integers]:
        """The captions of some pictures, and the place of each one's picture in `rows`."""
        counts = self.references.counts[rows]
        owners = np.repeat(np.arange(len(rows)), counts)
        first = self.references.starts[rows] - (counts.cumsum() - counts)
        return np.asarray(first[owners] + np.arange(len(owners))), owners

    def __call__(self, rows: Integers, captions: Integers) -> Agreement:
        """Judge K captions of each of P pictures.

        Args:
            rows: the pictures' numbers in the data set, (P,), each with a reference.
            captions: word ids, 0-padded on the right, (P, K, T), with the references' T.
        """
        pictures, each, longest = captions.shape
        chosen, owners = self._of(rows)
        said = captions.reshape(-1, longest)
        grams = self._grams(np.concatenate([said, self.references.labels[chosen]]))
        own = slice(0, int(np.searchsorted(grams.sentence, len(said))))
        counts = np.zeros((pictures, each, len(grams.idf)))
        counts.reshape(len(said), -1)[grams.sentence[own], grams.gram[own]] = grams.times[own]
        bleu = _bleu(grams, counts, owners, own)
        return Agreement(_cider(grams, counts, owners, own), bleu, *_variety(grams, len(said), own))

    def _grams(self, words: Integers) -> Grams:
        keys = ngrams(words, self.base)
        order, sentence, place = keys.nonzero()
        found, gram = np.unique(keys[order, sentence, place], return_inverse=True)
        pairs, times = np.unique(sentence * len(found) + gram, return_counts=True)
        sentence, gram_of = np.divmod(pairs, len(found))
        orders = np.zeros(len(found), np.int64)
        orders[gram] = order
        lengths = (keys[0] != 0).sum(1)
        return Grams(sentence, gram_of, times, orders, self._idf(found), lengths)

    def _idf(self, keys: Integers) -> Array:
        at, seen = find(keys, self.known)
        frequency = np.ones(len(keys))
        frequency[seen] = self.frequency[at[seen]]
        return np.asarray(self.documents - np.log(frequency))


def ngrams(words: Integers, base: int) -> Integers:
    """The n-gram that begins at each word or END, as a number, (4, S, T); 0: there is none.

    END is the digit 1, a word the one above its id: no digit is 0, so that n-grams of two orders
    are never one number.

    Args:
        words: ids, 0-padded on the right, (S, T); of T words nothing says that they end.
        base: V + 2.
    """
    longest = words.shape[1]
    digits = words + (words != 0)
    digits[np.arange(longest) == (words != 0).sum(1, keepdims=True)] = 1
    keys = np.zeros((ORDERS, *words.shape), np.int64)
    keys[0] = digits
    for n in range(1, ORDERS):
        before, last = keys[n - 1, :, : max(0, longest - n)], digits[:, n:]
        keys[n, :, : max(0, longest - n)] = (before * base + last) * (last != 0)
    return keys


def _frequent(keys: Integers, owners: Integers) -> tuple[Integers, Integers]:
    """N-grams (S, T) that more than one of the ascending `owners` (S,) has, and how many have."""
    sentence, place = keys.nonzero()
    found = keys[sentence, place]
    order = found.argsort(kind="stable")
    found, owner = found[order], owners[sentence[order]]
    first = np.ones(len(found), bool)
    first[1:] = (found[1:] != found[:-1]) | (owner[1:] != owner[:-1])
    known, frequency = np.unique(found[first], return_counts=True)
    return known[frequency > 1], frequency[frequency > 1]


def _cider(grams: Grams, counts: Array, owners: Integers, own: slice) -> Array:
    """CIDEr-D of each caption, (P, K).

    Args:
        counts: of each caption's n-grams, (P, K, G).
        owners: each reference's picture, ascending.
        own: the captions' n-grams; those of the references follow.
    """
    pictures, each, _ = counts.shape
    everything, theirs = slice(None), slice(own.stop, None)
    norms = np.sqrt(grams.by_order((grams.times * grams.idf[grams.gram]) ** 2, everything))
    mine, other = norms[: pictures * each].reshape(pictures, each, -1), norms[pictures * each :]
    reference = grams.sentence[theirs] - pictures * each
    gram, times = grams.gram[theirs], grams.times[theirs]
    clipped = np.minimum(counts[owners[reference], :, gram], times[:, None])  # (R, K)
    products = clipped * (times * grams.idf[gram] ** 2)[:, None]
    places = (reference * ORDERS + grams.order[gram])[:, None] * each + np.arange(each)
    dots = np.bincount(places.ravel(), products.ravel(), other.size * each)
    dots = dots.reshape(-1, ORDERS, each)
    both = other[:, :, None] * mine[owners].transpose(0, 2, 1)
    similarity = np.divide(dots, both, out=np.zeros_like(dots), where=both != 0).mean(1)
    lengths = grams.lengths[: pictures * each].reshape(pictures, each)[owners]
    difference = lengths - grams.lengths[pictures * each :, None]
    similarity *= np.exp(-(difference**2) / (2 * SIGMA**2))
    total = np.add.reduceat(similarity, _first(owners))
    return np.asarray(10 * total / np.bincount(owners)[:, None])


def _bleu(grams: Grams, counts: Array, owners: Integers, own: slice) -> Array:
    """BLEU-4 of each caption, (P, K); see `_cider`."""
    pictures, each, size = counts.shape
    number, theirs = pictures * each, slice(own.stop, None)
    allowed = np.zeros((pictures, size), np.int64)
    place = owners[grams.sentence[theirs] - number], grams.gram[theirs]
    np.maximum.at(allowed, place, grams.times[theirs])
    most = allowed[grams.sentence[own] // each, grams.gram[own]]
    matched = grams.by_order(np.minimum(grams.times[own], most), own)[:number]
    lengths, others = grams.lengths[:number, None], grams.lengths[number:, None]
    guessed = np.maximum(0, lengths - np.arange(ORDERS))
    distance = np.abs(others - lengths.reshape(pictures, each)[owners])
    nearest = np.minimum.reduceat((distance << 32) | others, _first(owners)) & 0xFFFFFFFF
    statistics = np.concatenate([lengths, nearest.reshape(-1, 1), guessed, matched], axis=1)
    return Bleu.evaluate(statistics.astype(np.float64))[:, ORDERS - 1].reshape(pictures, each)


def _variety(grams: Grams, number: int, own: slice) -> tuple[float, float]:
    """Diversity and repetition of the captions, the first `number` sentences.

    Source: DeepCaption's sc_with_diversity and sc_with_repetition.
    """
    again = grams.by_order((grams.times[own] - 1) ** 2, own)[:number]
    guessed = np.maximum(1, grams.lengths[:number, None] - np.arange(ORDERS))
    distinct = len(np.unique(grams.gram[own]))
    return distinct / int(grams.lengths[:number].sum()), float(
        (again / guessed).sum(0) @ REPETITION
    )


def _first(owners: Integers) -> Integers:
    """Where each owner's run begins."""
    return np.flatnonzero(np.diff(owners, prepend=-1))
