"""Detections against the pictures' own objects: average precision, split by split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from snakecap.formats import detections as detection_files
from snakecap.formats import pictures as records
from snakecap.formats.atomic import write_json
from snakecap.formats.pictures import SPLITS, Picture
from snakecap.log import logger
from snakecap.metrics.detection import average_precision
from snakecap.objects.boxes import Detections
from snakecap.objects.categories import canonical
from snakecap.objects.object import Object
from snakecap.provenance.identity import Output, step


@step
def judge(*, pictures: Path, detections: Path, info: Path, scores: Annotated[Path, Output]) -> None:
    """Judge a detector by the annotated objects.

    Categories that the detector does not know count as missed; so do unreadable pictures.

    Args:
        pictures: pictures.json.
        detections: COCO results JSON.
        info: the detector's info.json, which lists its categories.
        scores: output, ``{split: {"AP", "AP50", "AP75", "pictures", "objects"}}`` of each split
            that has objects.

    Raises:
        ValueError: a detection is of an unknown picture or category; names it.
    """
    collection = records.read(pictures)
    found = detection_files.read(detections, collection.pictures)
    known = [canonical(name) for name in detection_files.read_info(info).categories]
    own = {canonical(one.category) for picture in collection.pictures for one in picture.objects}
    places = {name: place for place, name in enumerate([*known, *sorted(own - {*known})])}
    names = {canonical(one.category) for objects in found.values() for one in objects}
    unknown = sorted(names - places.keys())
    if unknown:
        raise ValueError(
            f"{detections} has the category {unknown[0]!r}, and {info} does not list it"
        )
    judged = {split: _judged(collection.split(split), found, places) for split in SPLITS}
    write_json(scores, {split: numbers for split, numbers in judged.items() if numbers}, indent=1)


def _judged(
    pictures: Sequence[Picture],
    found: Mapping[int | str, Sequence[Object]],
    places: Mapping[str, int],
) -> dict[str, float]:
    """The scores of one split; empty when it has no objects."""
    objects = sum(not one.crowd for picture in pictures for one in picture.objects)
    if not objects:
        return {}
    truth = {
        picture.id: [
            (places[canonical(one.category)], one.box, one.crowd) for one in picture.objects
        ]
        for picture in pictures
    }
    seen = {key: Detections.of(found[key], places) for key in truth if key in found}
    precision = average_precision(truth, seen, categories=len(places))
    logger.info("%s: AP %.3f, AP50 %.3f", pictures[0].split, precision["AP"], precision["AP50"])
    return {**precision, "pictures": len(pictures), "objects": objects}
