"""What every metric is: sums over images, and a formula of the sums.

The official scorers (coco-caption) share this shape. BLEU and METEOR are formulas of counts added
up over the corpus, and of one image's counts for its own value; ROUGE-L and CIDEr are means. Kept
apart, the sums of any resample of the images give its score: see `snakecap.metrics.bootstrap`.

Letters: N images, K statistics, M names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
References = tuple[tuple[str, ...], ...]


class Metric(ABC):
    """Captions against the references of N images, all of them tokenised.

    Args:
        references: for each image at least one sentence, its words separated by spaces.
    """

    names: ClassVar[tuple[str, ...]]  # of its M values, as in coco-caption

    def __init__(self, references: References) -> None:
        if not references or not all(references):
            raise ValueError("a metric needs images, and at least one reference for each")
        self.references = references

    @abstractmethod
    def statistics(self, captions: Sequence[str]) -> Array:
        """Additive statistics, (N, K), of one caption for each image."""

    def many(self, sets: Sequence[Sequence[str]]) -> list[Array]:
        """`statistics` of several sets of captions; at once where that is cheaper."""
        return [self.statistics(captions) for captions in sets]

    @staticmethod
    @abstractmethod
    def evaluate(statistics: Array) -> Array:
        """The values, (..., M), of statistics (..., K): one image's row, or a sum of rows."""


class MeanMetric(Metric):
    """A metric whose score is the mean of its images' values: K = 2, the value and 1."""

    @abstractmethod
    def per_image(self, captions: Sequence[str]) -> Array:
        """One value for each image, (N,)."""

    def statistics(self, captions: Sequence[str]) -> Array:
        return np.stack([self.per_image(captions), np.ones(len(captions))], axis=1)

    @staticmethod
    def evaluate(statistics: Array) -> Array:
        return statistics[..., :1] / statistics[..., 1:]
