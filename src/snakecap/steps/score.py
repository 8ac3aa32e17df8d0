"""Score captions: results and references in, ``scores.json`` out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from snakecap.config.settings import Score
from snakecap.formats import scores as files
from snakecap.formats.results import match, read_captions, read_references
from snakecap.formats.scores import Scores
from snakecap.metrics import bootstrap
from snakecap.metrics.scorer import Scorer
from snakecap.provenance import code
from snakecap.provenance.identity import Output, step


@step
def score(
    *,
    results: list[Path],
    references: Path,
    scores: Annotated[list[Path] | None, Output] = None,
    settings: Score = Score(),
    subset: bool = False,
) -> None:
    """Score captions with BLEU-1 to 4, METEOR, ROUGE-L and CIDEr, as coco-caption does.

    Args:
        results: COCO results files, [{"image_id", "caption"}]; all of the same images.
        references: COCO captions file.
        scores: where to write the scores of each results file; without it, print a table.
        settings: metrics and their intervals.
        subset: score only the images that have a caption, as coco-caption does; without it a
            missing caption is an error.

    Raises:
        ValueError: missing, unknown or repeated images, or no references; names the file.
        ValueError: not as many `scores` as `results`.
    """
    if scores and len(scores) != len(results):
        raise ValueError(f"{len(results)} results files need as many scores, not {len(scores)}")
    found = [
        bootstrap.intervals(item, resamples=settings.bootstrap, seed=settings.seed)
        for item in _score(results, references, settings.metrics, subset)
    ]
    for path, item in zip(scores or (), found, strict=bool(scores)):
        files.write(path, item, **code.stamp())
    if not scores:
        print(table([path.stem for path in results], found))


def _score(
    results: Sequence[Path], references: Path, metrics: Sequence[str], subset: bool
) -> list[Scores]:
    """Scores in the order of `results`; one scorer for all that have the same images."""
    known = read_references(references)
    captions = [read_captions(path) for path in results]
    wanted = [
        match(row, known, subset=subset, names=(path, references))
        for path, row in zip(results, captions, strict=True)
    ]
    scored: dict[int, Scores] = {}
    for images in dict.fromkeys(map(tuple, wanted)):
        group = [number for number, row in enumerate(wanted) if tuple(row) == images]
        scorer = Scorer(wanted[group[0]], metrics)
        found = scorer.score_all([captions[number] for number in group])
        scored |= zip(group, found, strict=True)
    return [scored[number] for number in range(len(results))]


def table(names: Sequence[str], found: Sequence[Scores]) -> str:
    """Scores as lines of text: a column for each value, its 95 % interval below it."""
    width = max(map(len, names), default=0)
    columns = list(found[0].values) if found else []
    lines = [" ".join([" " * width, *(f"{column:>13}" for column in columns)])]
    for name, item in zip(names, found, strict=True):
        values = (f"{item.values[column]:>13.4f}" for column in columns)
        lines.append(" ".join([f"{name:<{width}}", *values]))
        if item.intervals:
            bounds = ("[{:.3f},{:.3f}]".format(*item.intervals[column]) for column in columns)
            lines.append(" ".join([" " * width, *(f"{bound:>13}" for bound in bounds)]))
    return "\n".join(lines)
