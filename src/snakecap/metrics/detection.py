"""Average precision of detected boxes, by pycocotools: the numbers that COCO's server gives.

Source: Lin et al., "Microsoft COCO: Common Objects in Context" (2014); pycocotools.cocoeval. AP is
the mean over ten overlaps (IoU .5 to .95), 101 recalls and the categories that occur; crowds are
neither hits nor misses; the best 100 boxes of a category in a picture count.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from snakecap.objects.boxes import Detections

Id = TypeVar("Id", bound=Hashable)
Box = Sequence[float]
Truth = Sequence[tuple[int, Box, bool]]  # category's place, [x, y, width, height], crowd
MOST = 100  # boxes of a category in a picture


def average_precision(
    truth: Mapping[Id, Truth], found: Mapping[Id, Detections], *, categories: int
) -> dict[str, float]:
    """AP over all overlaps, and at .5 and .75.

    Args:
        truth: the objects of each picture; an empty row makes all that is found there wrong.
            Boxes of equal score rank in the order of these pictures.
        found: what a detector saw; a picture that is missing here shows nothing.
        categories: K; places are 0..K-1.

    Returns:
        ``AP``, ``AP50`` and ``AP75``, 0..1.

    Raises:
        ValueError: no objects to find, or detections of a picture that `truth` does not have.
    """
    odd = [key for key in found if key not in truth]
    if odd:
        raise ValueError(f"detections of pictures that are not judged: {odd[:10]}")
    if all(crowd for row in truth.values() for _, _, crowd in row):
        raise ValueError(
            "average precision needs objects: the pictures have none that are not crowds"
        )
    with contextlib.redirect_stdout(io.StringIO()):  # it tells of its progress
        precision = _precision(list(_objects(truth)), list(_seen(truth, found)), truth, categories)
    # Of shape (overlaps, recalls, K); -1 where a category does not occur.
    rows = {"AP": precision, "AP50": precision[:1], "AP75": precision[5:6]}
    return {name: float(row[row > -1].mean()) for name, row in rows.items()}


def _precision(
    objects: list[dict[str, Any]],
    seen: list[dict[str, Any]],
    truth: Mapping[Id, Truth],
    categories: int,
) -> Any:
    from pycocotools.cocoeval import COCOeval

    images = [{"id": number} for number in range(len(truth))]
    names = [{"id": number} for number in range(categories)]
    evaluation = COCOeval(_coco(images, names, objects), _coco(images, names, seen), "bbox")
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, np.inf]], ["all"]
    evaluation.params.maxDets = [MOST]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"][:, :, :, 0, 0]


def _coco(images: list[Any], categories: list[Any], rows: list[dict[str, Any]]) -> Any:
    """The annotations as pycocotools wants them; ids from 1, for 0 means no match there."""
    from pycocotools.coco import COCO

    coco = COCO()
    numbered = [{"id": number, **row} for number, row in enumerate(rows, start=1)]
    coco.dataset = {"images": images, "categories": categories, "annotations": numbered}
    coco.createIndex()
    return coco


def _objects(truth: Mapping[Id, Truth]) -> Iterator[dict[str, Any]]:
    for image, row in enumerate(truth.values()):
        for category, box, crowd in row:
            yield _annotation(image, category, box) | {"iscrowd": int(crowd)}


def _seen(truth: Mapping[Id, Truth], found: Mapping[Id, Detections]) -> Iterator[dict[str, Any]]:
    for image, key in enumerate(truth):
        row = found.get(key, Detections.none())
        values = (row.categories.tolist(), row.boxes.tolist(), row.scores.tolist())
        for category, box, score in zip(*values, strict=True):
            yield _annotation(image, category, box) | {"score": score}


def _annotation(image: int, category: int, box: Box) -> dict[str, Any]:
    numbers = [float(value) for value in box]
    area = numbers[2] * numbers[3]
    return {"image_id": image, "category_id": category, "bbox": numbers, "area": area}
