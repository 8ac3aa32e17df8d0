"""Score dense captions: predictions and regions in, ``scores.json`` out; no model is needed."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from snakecap.formats import dense as prediction_files
from snakecap.formats import dense_scores as files
from snakecap.formats import pictures as records
from snakecap.formats import visual_genome
from snakecap.formats.atomic import Id, read_as
from snakecap.formats.dense import Described, Frame
from snakecap.formats.dense_scores import DenseScores
from snakecap.formats.pictures import Region
from snakecap.log import logger
from snakecap.metrics import dense
from snakecap.metrics.dense import Array, Pair, Ranking
from snakecap.metrics.meteor import Meteor
from snakecap.provenance import code
from snakecap.provenance.identity import Output, step

BEYOND = 1.0  # pixels that a box may leave its picture by: frames are rounded
LOST = 0.01  # detAP at an IoU of .3 below which boxes are likely in another frame
MEANS = ("mAP", "detmAP", "exact", "found", "METEOR")
COUNTS = ("images", "without_predictions", "regions", "merged", "predictions")
_splits = TypeAdapter(dict[str, list[Id]])


class Truth(NamedTuple):
    """What is judged by: regions, and widths and heights where they are known, by image."""

    regions: dict[str, tuple[Region, ...]]
    sizes: dict[str, tuple[int, int]]

    def only(self, keys: Container[str]) -> Truth:
        """Some images, in the old order."""
        kept = {key: row for key, row in self.regions.items() if key in keys}
        return self._replace(regions=kept)


@step
def score_dense(
    *,
    predictions: Path,
    regions: Path,
    scores: Annotated[Path | None, Output] = None,
    split: str | None = None,
    ids: Path | None = None,
    sizes: Path | None = None,
    frame: Frame | None = None,
    ranking: Ranking | None = None,
    given: bool = False,
    subset: bool = False,
) -> None:
    """Score dense captions: mAP as DenseCap defines it, detmAP, captions that are exact.

    Every image of the regions is judged; without predictions its regions are missed.

    Args:
        predictions: what `snakecap describe` writes, DenseCap's results.json, GRiT's
            vg_instances_results.json, COCO's results with captions, or a list of {"image_id",
            "boxes": [[x, y, width, height]], "scores", "captions"} in pixels of the pictures.
        regions: Visual Genome's region_descriptions.json, 1.0 or 1.2, or pictures.json.
        scores: where to write the scores; without it, print tables.
        split: judge these pictures of pictures.json, or of `ids`.
        ids: {split: [ids]}, as DenseCap's densecap_splits.json.
        sizes: Visual Genome's image_data.json, for boxes in pixels of resized pictures;
            pictures.json knows sizes itself.
        frame: original, or the longer side of the resized pictures that boxes are in pixels of;
            without it, what the file says.
        ranking: what predictions are ranked by, over all images; without it scores, of given
            boxes log_probs. Only numbers of the same ranking compare.
        given: the boxes are the regions' own, each once and in order; there is a METEOR too.
        subset: leave out images without predictions, as others' evaluators do: mAP can only rise.

    Raises:
        ValueError: a file is not of its form, predictions are of other images, or a picture's
            size is not known; names the file and the entry.
    """
    truth = _truth(regions, split, ids, sizes)
    found = prediction_files.in_original(prediction_files.read(predictions, frame), truth.sizes)
    said = {str(one.image_id): one for one in found}
    if odd := [key for key in said if key not in truth.regions]:
        raise ValueError(
            f"{predictions} is of other images: {len(odd)} of its {len(said)} are not among the "
            f"{len(truth.regions)} of {regions}, such as {', '.join(odd[:5])}"
        )
    _warn_of_boxes(said, truth.sizes)
    judged = truth.only(said) if subset else truth
    evaluate = dense.evaluate_given if given else dense.evaluate
    by: Ranking = ranking or ("log_probs" if given else "scores")
    item = evaluate(said, judged.regions, meteor, ranking=by)
    _warn_of_misses(item)
    if scores:
        files.write(scores, item, **code.stamp())
    else:
        print(table(item))


def meteor(pairs: Sequence[Pair]) -> Array:
    """METEOR 1.5 of captions, each against its references; one process of Java."""
    logger.info("METEOR of %d captions", len(pairs))
    metric = Meteor(tuple(references for _, references in pairs))
    return np.ravel(metric.evaluate(metric.statistics([caption for caption, _ in pairs])))


# What is judged by


def _truth(path: Path, split: str | None, ids: Path | None, sizes: Path | None) -> Truth:
    splits: dict[str, list[Id]] = {}
    if records.counts(path) is None:
        found = Truth(visual_genome.regions(path), {})
    else:
        pictures = records.read(path).pictures
        for one in pictures:
            splits.setdefault(one.split, []).append(one.id)
        found = Truth(
            {str(one.id): one.regions for one in pictures},
            {str(one.id): (one.width, one.height) for one in pictures if one.width and one.height},
        )
    if sizes:
        found = found._replace(sizes={**visual_genome.sizes(sizes), **found.sizes})
    if ids:
        splits = read_as(ids, _splits, "a file of {split: [ids]}")
    if split:
        if split not in splits:
            raise ValueError(f"{ids or path} has no split {split!r}: `ids` is a file that has it")
        found = found.only({*map(str, splits[split])})
    return found._replace(regions=_clean(found.regions, path))


def _clean(regions: Mapping[str, Sequence[Region]], path: Path) -> dict[str, tuple[Region, ...]]:
    """The regions that can be found: with a size, and with words."""
    kept = {
        key: tuple(one for one in row if min(one.box[2:]) > 0 and one.phrase.strip())
        for key, row in regions.items()
    }
    before, after = (sum(map(len, some.values())) for some in (regions, kept))
    if before > after:
        logger.warning("%s: %d regions have no size or no words: left out", path, before - after)
    return kept


# What is said of it


def _warn_of_boxes(said: Mapping[str, Described], sizes: Mapping[str, tuple[int, int]]) -> None:
    """Tell of boxes without a size, and of those that leave their pictures."""
    boxes = np.concatenate([np.zeros((0, 4)), *(one.boxes for one in said.values())])
    if empty := int((boxes[:, 2:] <= 0).any(1).sum()):
        logger.warning("%d of %d boxes have no size: they are misses", empty, len(boxes))
    known = [(one.boxes, sizes[key]) for key, one in said.items() if key in sizes]
    beyond = sum(int(_leaving(some, size).sum()) for some, size in known)
    if beyond:
        logger.warning(
            "%d of %d boxes leave their pictures: if these are many, the boxes are in another "
            "frame (--frame 720: of pictures whose longer side is 720)",
            *(beyond, sum(len(some) for some, _ in known)),
        )


def _leaving(boxes: Array, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which boxes (N, 4) leave a picture, (N,)."""
    ends = boxes[:, :2] + boxes[:, 2:]
    return np.asarray(((boxes[:, :2] < -BEYOND) | (ends > np.add(size, BEYOND))).any(1))


def _warn_of_misses(scores: DenseScores) -> None:
    if scores.without_predictions:
        logger.warning(
            "%d of %d images have no predictions: their regions are missed",
            *(scores.without_predictions, scores.images),
        )
    if scores.detAP["0.3"] < LOST:
        logger.warning("hardly a box is on a region: are both in pixels of the original pictures?")


def table(scores: DenseScores) -> str:
    """Scores as lines of text: the means, the counts, and average precision by thresholds."""
    means = {name: getattr(scores, name) for name in MEANS}
    counts = {name: getattr(scores, name) for name in COUNTS}
    bounds = next(iter(scores.AP.values()))
    grid = {f"METEOR > {bound}": [row[bound] for row in scores.AP.values()] for bound in bounds}
    grid["any words"] = [*scores.detAP.values()]
    lines = [f"{name:<20}{value:.4f}" for name, value in means.items() if value is not None]
    lines += ["", *(f"{name.replace('_', ' '):<20}{count}" for name, count in counts.items())]
    lines += [f"{'ranked by':<20}{scores.ranking}", ""]
    lines += [_row("average precision", (f"IoU {least}" for least in scores.detAP))]
    return "\n".join(
        [*lines, *(_row(name, map("{:.4f}".format, row)) for name, row in grid.items())]
    )


def _row(name: str, cells: Iterable[str]) -> str:
    return f"{name:<20}" + "".join(f"{cell:>9}" for cell in cells)
