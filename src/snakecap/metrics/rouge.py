"""ROUGE-L (Lin, 2004) as coco-caption computes it.

Source: rouge.py in coco-caption: the largest precision and the largest recall over the
references, possibly of different ones, with beta 1.2. Words are what is between single spaces,
so an empty sentence is one empty word, and two empty sentences score 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snakecap.metrics.metric import Array, MeanMetric, References

BETA = 1.2


class Rouge(MeanMetric):
    """The F-measure of the longest common subsequence, from 0 to 1."""

    names = ("ROUGE_L",)

    def __init__(self, references: References) -> None:
        super().__init__(references)
        self._split = [[sentence.split(" ") for sentence in row] for row in references]

    def per_image(self, captions: Sequence[str]) -> Array:
        pairs = zip(captions, self._split, strict=True)
        return np.array([rouge(caption.split(" "), references) for caption, references in pairs])


def rouge(caption: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """ROUGE-L of one caption; words in, at least one word each."""
    masks: dict[str, int] = {}
    for place, word in enumerate(caption):
        masks[word] = masks.get(word, 0) | 1 << place
    common = [_longest(masks, len(caption), reference) for reference in references]
    precision = max(common) / len(caption)
    recall = max(n / len(row) for n, row in zip(common, references, strict=True))
    if not precision or not recall:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _longest(masks: dict[str, int], length: int, other: Sequence[str]) -> int:
    """Length of the longest common subsequence, a word of `other` at a time.

    Bit-parallel (Hyyrö, 2004): bit i of `row` is 0 where the table of the textbook's dynamic
    programme steps up at word i of the first sentence, which is given by its words' `masks`.
    """
    row = full = (1 << length) - 1
    for word in other:
        matches = row & masks.get(word, 0)
        row = (row + matches | row - matches) & full
    return length - row.bit_count()
