"""How varied captions are: what CIDEr does not see, and self-critical training spends.

Sources: distinct n-grams, Li et al., "A Diversity-Promoting Objective Function for Neural
Conversation Models", NAACL 2016; Div-n and mBLEU-4 over several captions of a picture, as
ImageCaptioning.pytorch has them: Shetty et al., "Speaking the Same Language", ICCV 2017.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from snakecap.metrics.bleu import Bleu
from snakecap.text.neuraltalk2 import tokenize

Words = tuple[str, ...]


def words(caption: str) -> Words:
    """A caption's words, lower case and without punctuation: as data sets' and models' agree."""
    return tuple(tokenize(caption))


def of_captions(captions: Sequence[Words], training: Collection[Words] = ()) -> dict[str, float]:
    """One caption for each picture.

    Returns:
        ``words``: mean length; ``distinct``: the share of captions that are different from one
        another; ``vocabulary``: different words in all; ``new``: the share that is no caption of
        `training`, if there is any.
    """
    if not captions:
        return {}
    found = {
        "words": float(np.mean([len(caption) for caption in captions])),
        "distinct": len(set(captions)) / len(captions),
        "vocabulary": float(len({word for caption in captions for word in caption})),
    }
    if training:
        found["new"] = sum(caption not in training for caption in captions) / len(captions)
    return found


def of_several(sets: Sequence[Sequence[Words]]) -> dict[str, float]:
    """Several captions for each picture, such as the n-best of a search.

    Returns:
        ``Div_1``, ``Div_2``: different words, or pairs of words, of a picture's captions by their
        number of words, the mean over pictures; ``mBLEU_4``: BLEU-4 of each caption against the
        picture's others, the mean; the lower, the more varied. Pictures with one caption are left
        out.
    """
    several = [captions for captions in sets if len(captions) > 1]
    if not several:
        return {}
    found = {f"Div_{n}": float(np.mean([_distinct(one, n) for one in several])) for n in (1, 2)}
    texts = [[" ".join(caption) for caption in captions] for captions in several]
    scores = []
    for place in range(max(map(len, texts))):
        those = [captions for captions in texts if len(captions) > place]
        others = tuple(tuple(c[:place] + c[place + 1 :]) for c in those)
        rows = Bleu(others).statistics([captions[place] for captions in those])
        scores.append(Bleu.evaluate(rows.sum(0))[3])
    return {**found, "mBLEU_4": float(np.mean(scores))}


def _distinct(captions: Sequence[Words], n: int) -> float:
    total = sum(map(len, captions))
    ngrams = {one[at : at + n] for one in captions for at in range(len(one) - n + 1)}
    return len(ngrams) / max(1, total)
