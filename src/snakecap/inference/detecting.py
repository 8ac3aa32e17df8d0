"""A detector from its row, and what it sees made fit for layouts: `detect` and `caption` use it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snakecap import registry
from snakecap.config import options, settings
from snakecap.detectors.detector import Detector
from snakecap.formats.pictures import Picture
from snakecap.objects.boxes import Array, Detections, clip

SLACK = 1.0  # pixels outside that are the annotations' rounding, and not worth a line


def build_detector(
    row: settings.Detector,
    *,
    file: Path | None,
    categories: Sequence[str],
    place: torch.device,
    ids: Mapping[int, str] = MappingProxyType({}),
) -> Detector:
    """Construct a detector: required arguments by name, options from its row.

    Args:
        row: of `detectors`.
        file: its weights or results.
        categories: names of the data set's categories.
        place: where it computes.
        ids: names of categories by the ids that the data set has for them.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is none of the detector's, or the detector needs one.
    """
    available: dict[str, Any] = {
        "file": file,
        "categories": tuple(categories),
        "ids": ids,
        "place": place,
        **row.model_dump(include={"min_score", "overlap", "limit"}),
    }
    constructor = registry.load("detector", row.part)
    if file is None and constructor.uses != "nothing":
        raise ValueError(f"the detector {row.part} reads a file: give its weights or results")
    if file is not None and "{split}" not in str(file) and not file.is_file():
        raise FileNotFoundError(f"the detector {row.part} reads {file}, and there is no such file")
    needed = [
        name
        for name, parameter in inspect.signature(constructor).parameters.items()
        if parameter.default is parameter.empty
    ]
    chosen = options.check("detector", row.part, row.options)
    detector: Detector = constructor(**{name: available[name] for name in needed}, **chosen)
    return detector


def look(
    detector: Detector,
    pictures: Sequence[Picture],
    images: Sequence[NDArray[np.uint8]],
    row: settings.Detector,
) -> list[tuple[Detections, list[str]]]:
    """What a detector sees in each picture, and what was amiss with it.

    Args:
        detector: of `row`.
        pictures: their records; boxes are in pixels of the records' widths and heights.
        images: uint8 RGB of shape (3, H, W) each, of any size; empty when it reads none.
        row: of `detectors`: `min_score` and `limit`.

    Raises:
        ValueError: a box or a score is not a number; names the picture and the object.
    """
    found = detector.detect(pictures, images)
    if detector.reads_images:
        found = [_scaled(*both) for both in zip(found, pictures, images, strict=True)]
    return [
        tidy(seen, picture, detector.categories, row)
        for seen, picture in zip(found, pictures, strict=True)
    ]


def _scaled(found: Detections, picture: Picture, image: NDArray[np.uint8]) -> Detections:
    """Boxes of an image file as boxes of its record, which may be of its size before a resize."""
    height, width = image.shape[1:]
    if (picture.width, picture.height) == (width, height):
        return found
    scale = np.array([picture.width / width, picture.height / height] * 2, np.float32)
    return replace(found, boxes=found.boxes * scale)


def tidy(
    found: Detections, picture: Picture, categories: Sequence[str], row: settings.Detector
) -> tuple[Detections, list[str]]:
    """Objects that a layout can use: sure enough, inside the picture, of some size, not too many.

    Args:
        found: as the detector gives them.
        picture: its record; a size of 0 is not known, and nothing is clipped then.
        categories: names of the detector's categories.
        row: of `detectors`: `min_score` and `limit`.

    Returns:
        The objects, in their order, and a line for each that was clipped or dropped, and for all
        those beyond the limit. That a score is too low is no fault.

    Raises:
        ValueError: a box or a score is not a number; names the picture and the object.
    """
    names = [categories[place] for place in found.categories]
    _check(found, picture, names)
    numbers = np.arange(1, len(found) + 1)  # places in what the detector gave
    sure = np.flatnonzero(found.scores >= row.min_score)
    found, numbers = found.take(sure), numbers[sure]
    boxes = found.boxes
    if picture.width and picture.height:
        boxes = clip(boxes, picture.width, picture.height)
    amiss = (np.abs(boxes - found.boxes) > SLACK).any(1) | (boxes[:, 2:] <= 0).any(1)
    notes = [
        f"object {numbers[at]} ({names[numbers[at] - 1]}, {_text(found.boxes[at])}) "
        + _fault(found.boxes[at], boxes[at], picture)
        for at in np.flatnonzero(amiss).tolist()
    ]
    kept = replace(found, boxes=boxes).take(np.flatnonzero(boxes[:, 2:].min(1, initial=1) > 0))
    if len(kept) > row.limit:
        notes.append(f"{len(kept)} objects: the {row.limit} best are kept")
        best = np.argsort(-kept.scores, kind="stable")[: row.limit]
        kept = kept.take(np.sort(best))
    return kept, notes


def _fault(before: Array, after: Array, picture: Picture) -> str:
    """What is wrong with a box, of which `after` is left in the picture."""
    around = f"outside the picture, {picture.width} x {picture.height}"
    if min(before[2:]) <= 0:
        return "has no size: dropped"
    return f"is {around}: dropped" if min(after[2:]) <= 0 else f"reaches {around}: clipped"


def _check(found: Detections, picture: Picture, names: Sequence[str]) -> None:
    numbers = np.column_stack([found.boxes, found.scores])
    odd = np.flatnonzero(~np.isfinite(numbers).all(1)).tolist()
    if odd:
        first = odd[0]
        raise ValueError(
            f"picture {picture.id} ({picture.file}): object {first + 1} ({names[first]}, "
            f"{_text(found.boxes[first])}, score {found.scores[first]}) is not in finite numbers"
        )


def _text(box: Array) -> str:
    return "[" + ", ".join(f"{value:g}" for value in box) + "]"
