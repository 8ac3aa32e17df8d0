"""Average precision of detected boxes, by pycocotools: the numbers that COCO's server gives.

Source: Lin et al., "Microsoft COCO: Common Objects in Context" (2014); pycocotools.cocoeval. AP is
the mean over ten overlaps (IoU .5 to .95), 101 recalls and the categories that occur; crowds are
neither hits nor misses; the best 100 boxes of a category in a picture count.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Hashable, Mapping, Sequence
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
    wanted = [
        [(category, box, {"iscrowd": int(crowd)}) for category, box, crowd in row]
        for row in truth.values()
    ]
    seen = [
        [
            (category, box, {"score": score})
            for category, box, score in zip(
                row.categories.tolist(), row.boxes.tolist(), row.scores.tolist(), strict=True
            )
        ]
        for row in (found.get(key, Detections.none()) for key in truth)
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # it tells of its progress
        precision = _precision(_coco(wanted, categories), _coco(seen, categories))
    # Of shape (overlaps, recalls, K); -1 where a category does not occur.
    parts = {"AP": precision, "AP50": precision[:1], "AP75": precision[5:6]}
    return {name: float(part[part > -1].mean()) for name, part in parts.items()}


def _precision(wanted: Any, seen: Any) -> Any:
    from pycocotools.cocoeval import COCOeval

    evaluation = COCOeval(wanted, seen, "bbox")
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, np.inf]], ["all"]
    evaluation.params.maxDets = [MOST]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"][:, :, :, 0, 0]


def _coco(rows: Sequence[Sequence[tuple[int, Box, dict[str, Any]]]], categories: int) -> Any:
    """Objects by picture as pycocotools wants them; ids from 1, for 0 means no match there."""
    from pycocotools.coco import COCO

    annotations: list[dict[str, Any]] = []
    for image, row in enumerate(rows):
        for category, box, more in row:
            numbers = [float(value) for value in box]
            place = {"id": len(annotations) + 1, "image_id": image, "category_id": category}
            annotations.append({**place, "bbox": numbers, "area": numbers[2] * numbers[3], **more})
    coco = COCO()
    coco.dataset = {
        "images": [{"id": number} for number in range(len(rows))],
        "categories": [{"id": number} for number in range(categories)],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco
