"""All metrics of some captions at once, as coco-caption's evaluation gives them.

`Scorer` is for references that stay and captions that come: validation while training. The
references are tokenised once; no process runs between two calls.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from snakecap import registry
from snakecap.formats.scores import Scores
from snakecap.metrics import java
from snakecap.metrics.metric import Array, Metric
from snakecap.metrics.tokenizer import tokenize

METRICS = ("Bleu", "METEOR", "ROUGE_L", "CIDEr")
Id = TypeVar("Id", int, str, int | str)


class Scorer(Generic[Id]):
    """Scores captions of a fixed set of images.

    Args:
        references: for each image id, an integer or a string, at least one caption as written.
        metrics: names in registry.METRICS.

    Raises:
        ValueError: no images, an image without references, or an unknown metric.
    """

    def __init__(
        self, references: Mapping[Id, Sequence[str]], metrics: Sequence[str] = METRICS
    ) -> None:
        self.ids: tuple[Id, ...] = tuple(references)
        bare = [key for key, row in references.items() if not row]
        if bare or not self.ids:
            raise ValueError(f"no references for images {bare[:10]}" if bare else "no references")
        parts = {name: registry.load("metric", name) for name in metrics}
        (tokens,) = tokenize([caption for row in references.values() for caption in row])
        rest = iter(tokens)
        rows = tuple(tuple(next(rest) for _ in row) for row in references.values())
        self._metrics: dict[str, Metric] = {name: part(rows) for name, part in parts.items()}

    def score(self, captions: Mapping[Id, str]) -> Scores:
        """Score one caption for each image.

        Raises:
            ValueError: an image without a caption, or a caption of another image.
        """
        return self.score_all([captions])[0]

    def score_all(self, sets: Sequence[Mapping[Id, str]]) -> list[Scores]:
        """Score several sets of captions; the Java programs run once for all of them."""
        for captions in sets:
            if captions.keys() != set(self.ids):
                odd = sorted(map(str, captions.keys() ^ set(self.ids)))
                raise ValueError(f"captions and references are of other images: {odd[:10]}")
        tokens = tokenize(*([captions[key] for key in self.ids] for captions in sets))
        # Side by side: METEOR is another process.
        with ThreadPoolExecutor() as pool:
            jobs = {name: pool.submit(part.many, tokens) for name, part in self._metrics.items()}
            try:
                found = {name: job.result() for name, job in jobs.items()}
            except BaseException:
                while not all(job.done() for job in jobs.values()):  # some are yet to start one
                    java.stop()
                    time.sleep(0.05)
                raise
        return [
            self._scores({name: rows[number] for name, rows in found.items()})
            for number in range(len(sets))
        ]

    def _scores(self, statistics: Mapping[str, Array]) -> Scores:
        values: dict[str, float] = {}
        per_image: dict[str, dict[str, float]] = {str(key): {} for key in self.ids}
        for name, rows in statistics.items():
            metric = self._metrics[name]
            values |= zip(metric.names, metric.evaluate(rows.sum(0)).tolist(), strict=True)
            for image, row in zip(per_image.values(), metric.evaluate(rows).tolist(), strict=True):
                image |= zip(metric.names, row, strict=True)
        return Scores(values, per_image, {name: rows.tolist() for name, rows in statistics.items()})
