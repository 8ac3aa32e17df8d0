"""A detector from its row, what it sees made fit for layouts, and the layouts of photos."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from snakecap import registry
from snakecap.config import errors, options
from snakecap.config.settings import Detector as Row
from snakecap.detectors.detector import Detector
from snakecap.formats.decode import Unreadable, load_whole
from snakecap.formats.pictures import Picture
from snakecap.objects.boxes import Array, Detections, clip, scaled
from snakecap.objects.layout import Layout

SLACK = 1.0  # pixels outside that are the annotations' rounding, and not worth a line
PARTS = {".onnx": "yolox", ".safetensors": "yolov2"}  # by what their weights are stored in


def build_detector(
    row: Row,
    *,
    file: Path | None,
    categories: Sequence[str],
    place: torch.device,
    ids: Mapping[int, str] = MappingProxyType({}),
) -> Detector:
    """Construct a detector: required arguments by name, options from its row.

    Args:
        file: its weights or results.
        categories: names of the data set's categories.
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
    if file is None and registry.load("detector", row.part).uses != "nothing":
        raise ValueError(f"the detector {row.part} reads a file: give its weights or results")
    if file is not None and "{split}" not in str(file) and not file.is_file():
        raise FileNotFoundError(f"the detector {row.part} reads {file}, and there is no such file")
    detector: Detector = options.build("detector", row.part, row.options, available)
    return detector


@dataclass(frozen=True)
class Detected:
    """What a detector saw in a picture."""

    objects: Detections  # that a layout can use
    notes: tuple[str, ...]  # a line for each that was clipped or dropped, and for those too many
    size: tuple[int, int]  # the picture's width and height; 0 when not known


def look(
    detector: Detector,
    pictures: Sequence[Picture],
    images: Sequence[NDArray[np.uint8]],
    row: Row,
) -> list[Detected]:
    """What a detector sees in each picture.

    Args:
        pictures: their records; boxes are in pixels of the records' widths and heights.
        images: uint8 RGB of shape (3, H, W) each, of any size; empty when it reads none.

    Raises:
        ValueError: a box or a score is not a number; names the picture and the object.
    """
    found = detector.detect(pictures, images)
    if detector.reads_images:
        found = [_of_record(*both) for both in zip(found, pictures, images, strict=True)]
    return [
        tidy(seen, picture, detector.categories, row)
        for seen, picture in zip(found, pictures, strict=True)
    ]


def _of_record(found: Detections, picture: Picture, image: NDArray[np.uint8]) -> Detections:
    """Boxes of an image file as boxes of its record, which may be of its size before a resize."""
    height, width = image.shape[1:]
    if (picture.width, picture.height) == (width, height):
        return found
    boxes = scaled(found.boxes, picture.width / width, picture.height / height)
    return replace(found, boxes=boxes)


def tidy(found: Detections, picture: Picture, categories: Sequence[str], row: Row) -> Detected:
    """Objects that a layout can use: sure enough, inside the picture, of some size, not too many.

    They stay in their order. That a score is too low needs no note.

    Args:
        picture: its record; nothing is clipped where its size is not known.
        categories: names of the detector's categories.

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
    return Detected(kept, tuple(notes), (picture.width, picture.height))


def _fault(before: Array, after: Array, picture: Picture) -> str:
    """What is wrong with a box, of which `after` is left in the picture."""
    around = f"outside the picture, {picture.width} x {picture.height}"
    if min(before[2:]) <= 0:
        return "has no size: dropped"
    return f"is {around}: dropped" if min(after[2:]) <= 0 else f"reaches {around}: clipped"


def _check(found: Detections, picture: Picture, names: Sequence[str]) -> None:
    numbers = np.column_stack([found.boxes, found.scores])
    for at in np.flatnonzero(~np.isfinite(numbers).all(1)).tolist():
        raise ValueError(
            f"picture {picture.id} ({picture.file}): object {at + 1} ({names[at]}, "
            f"{_text(found.boxes[at])}, score {found.scores[at]}) is not in finite numbers"
        )


def _text(box: Array) -> str:
    return "[" + ", ".join(f"{value:g}" for value in box) + "]"


class PhotoDetector:
    """Finds the objects in photos.

    Args:
        row: of `detectors`; it looks at pictures, and `file` has its weights if it needs any.

    Raises:
        ValueError: the detector does not look at pictures, or its file is not its own.
        FileNotFoundError: its file is missing.
    """

    def __init__(self, row: Row, place: torch.device):
        if not row.reads_images:
            raise ValueError(f"the detector {row.part} reads results, it cannot look at photos")
        file = Path(row.file) if row.file else None
        self.row = row
        self.detector = build_detector(row, file=file, categories=(), place=place)

    @classmethod
    def of(cls, given: str | Path | Mapping[str, Any], place: torch.device) -> PhotoDetector:
        """From a file of weights, or a row of `detectors`, also as JSON.

        Raises:
            ValueError: neither, or the row is wrong; says what is possible.
        """
        if not isinstance(given, Mapping) and (part := PARTS.get(Path(given).suffix)):
            return cls(Row(part=part, file=str(given)), place)
        try:
            row = given if isinstance(given, Mapping) else json.loads(str(given))
            return cls(Row.model_validate(row), place)
        except json.JSONDecodeError:
            raise ValueError(
                f"detector {given!s}: give a YOLOX .onnx, a YOLOv2 .safetensors, or a row as JSON, "
                "such as "
                '{"part": "torchvision", "options": {"name": "ssdlite320_mobilenet_v3_large"}}'
            ) from None
        except ValidationError as error:
            reason = errors.explain(error, kind="setting", known=Row.model_fields)
            raise ValueError(f"detector: {reason}") from None

    def __call__(self, photo: str | bytes | Path) -> Layout:
        """The objects in a photo, in the detector's order.

        Raises:
            ValueError: the photo cannot be read; names it.
        """
        name = "the image" if isinstance(photo, bytes) else str(photo)
        try:
            image = load_whole(photo)
        except Unreadable as error:
            raise Unreadable(f"{name}: {error}") from None
        height, width = image.shape[1:]
        picture = Picture(id=name, file=name, split="extra", width=width, height=height)
        found = look(self.detector, [picture], [image], self.row)[0].objects
        return Layout.from_pixels(found.objects(self.detector.categories), width, height)
