"""METEOR 1.5 (Denkowski and Lavie, 2014) for English, as coco-caption runs it.

Source: meteor.py in coco-caption and the program it talks to, meteor-1.5.jar with ``-l en -norm``.
The program aligns each caption with its references and prints 23 counts for the best one; the
score is a formula of them (`evaluate`, from MeteorScorer.computeMetrics), of one image's counts
or of their sum over the corpus. Deviations: all captions go to one process at once, which exits
by itself; it loads only the paraphrases that the captions can use (`paraphrases`); ``|||`` in a
reference, which would split it, is removed there as the original removes it in captions; and
sentences of more than 2,000 words, or of hundreds on both sides, are cut, since the program would
align them for minutes or run out of memory.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

import numpy as np

from snakecap.metrics import java, paraphrases
from snakecap.metrics.metric import Array, Metric

# Tuned by the authors for English (METEOR 1.5, Constants.java).
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
STAGES = np.array([1.0, 0.6, 0.8, 0.6])  # exact, stem, synonym, paraphrase
COUNTS = 23
LINE_ENDS = re.compile("[\r\n]")
LONGEST = 2_000  # words of one sentence
LARGEST = 100_000  # words of the caption times words of its longest reference
# The program's words or smaller: it splits off everything but Latin and Cyrillic letters.
WORD = re.compile("[0-9A-Za-zÀ-ÖØ-öø-ž\u0400-\u0527]+|\\S")


class Meteor(Metric):
    """K = 23 statistics in the program's order.

    Words of the caption and of the reference; function words of both; for each of four stages
    the matched content words of both and function words of both; chunks, none for a caption that
    is its reference word for word (so the program adds them up too); matched words of both.
    """

    names = ("METEOR",)

    def statistics(self, captions: Sequence[str]) -> Array:
        return self.many([captions])[0]

    def many(self, sets: Sequence[Sequence[str]]) -> list[Array]:
        """All from one process.

        Raises:
            java.JavaError: the program failed or answered with something else than counts.
        """
        lines = [
            _line(caption, references)
            for captions in sets
            for caption, references in zip(captions, self.references, strict=True)
        ]
        rows = _counts(_ask(lines), len(lines))
        whole = (rows[:, 4:20].reshape(-1, 8, 2).sum(1) == rows[:, 0:2]).all(1)
        rows[whole & (rows[:, 20] == 1), 20] = 0
        return [np.asarray(part) for part in rows.reshape(len(sets), -1, COUNTS)]

    @staticmethod
    def evaluate(statistics: Array) -> Array:
        lengths, function = statistics[..., 0:2], statistics[..., 2:4]
        stages = statistics[..., 4:20].reshape(*statistics.shape[:-1], 4, 2, 2)
        chunks, words = statistics[..., 20], statistics[..., 21:23]
        kinds = np.array([DELTA, 1 - DELTA])[:, None]  # content and function words
        matched = (stages * STAGES[:, None, None] * kinds).sum((-3, -2))  # (..., 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = matched / (DELTA * (lengths - function) + (1 - DELTA) * function)
            precision, recall = share[..., 0], share[..., 1]
            mean = 1 / ((1 - ALPHA) / precision + ALPHA / recall)
            fragments = chunks / (words.sum(-1) / 2)
            score = mean * (1 - GAMMA * fragments**BETA)
        return np.where(np.isnan(score), 0.0, np.maximum(score, 0.0))[..., None]


def _line(caption: str, references: Sequence[str]) -> str:
    # As coco-caption cleans the caption; references are cleaned only of what would split them.
    caption = caption.replace("|||", "").replace("  ", " ")
    references = [reference.replace("|||", "") for reference in references]
    longest = max(map(len, references))
    if len(caption) * longest > LARGEST or max(len(caption), longest) > LONGEST:
        references = [_cut(reference, LONGEST) for reference in references]
        words = max(sum(1 for _ in WORD.finditer(reference)) for reference in references)
        caption = _cut(caption, min(LONGEST, LARGEST // max(1, words)))
    return LINE_ENDS.sub(" ", " ||| ".join(["SCORE", *references, caption]))


def _cut(sentence: str, words: int) -> str:
    beyond = next(islice(WORD.finditer(sentence), words, None), None)
    return sentence[: beyond.start()] if beyond else sentence


def _ask(lines: Sequence[str]) -> bytes:
    """What the program prints for the lines, with a second for each on top of ten minutes."""
    text = "".join(f"{line}\n" for line in lines)
    table = java.official("meteor/data/paraphrase-en.gz")
    with java.folder() as folder:
        (folder / "paraphrases.gz").write_bytes(paraphrases.select(table, text))
        program = ["-jar", str(java.official("meteor/meteor-1.5.jar")), "-", "-", "-stdio"]
        options = ["-l", "en", "-norm", "-a", "paraphrases.gz"]
        given = text.encode("utf-8", "replace")
        return java.run([*program, *options], folder=folder, given=given, timeout=600 + len(lines))


def _counts(printed: bytes, lines: int) -> Array:
    rows = printed.decode("utf-8", "replace").splitlines()
    try:
        return np.array([row.split() for row in rows], dtype=np.float64).reshape(lines, COUNTS)
    except ValueError:
        raise java.JavaError(
            f"METEOR answered {lines} captions with {len(rows)} lines; the last:\n"
            + "\n".join(rows[-3:])
        ) from None
