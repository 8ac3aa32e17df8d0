"""A detector for a user's own photos: from a file of weights to the layout of a photo."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from snakecap.config import errors
from snakecap.config.settings import Detector as Row
from snakecap.formats.decode import Unreadable, load_whole
from snakecap.formats.pictures import Picture
from snakecap.inference.detecting import build_detector, look
from snakecap.objects.layout import Layout

PARTS = {".onnx": "yolox", ".safetensors": "yolov2"}  # by what their weights are stored in


class Finder:
    """Finds the objects in photos."""

    def __init__(self, row: Row, place: torch.device):
        """Build the detector.

        Args:
            row: of `detectors`; it looks at pictures, and `file` has its weights if it needs any.
            place: where it computes.

        Raises:
            ValueError: the detector does not look at pictures, or its file is not its own.
            FileNotFoundError: its file is missing.
        """
        if not row.reads_images:
            raise ValueError(f"the detector {row.part} reads results, it cannot look at photos")
        file = Path(row.file) if row.file else None
        self.row = row
        self.detector = build_detector(row, file=file, categories=(), place=place)

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
        found = look(self.detector, [picture], [image], self.row)[0][0]
        names = (self.detector.categories[category] for category in found.categories.tolist())
        rows = zip(names, found.boxes.tolist(), found.scores.tolist(), strict=True)
        return Layout.from_pixels(rows, width, height)


def make_finder(given: str | Path | Mapping[str, Any], place: torch.device) -> Finder:
    """A detector from a file of weights, or a row of `detectors`, also as JSON.

    Raises:
        ValueError: neither, or the row has mistakes; says what is possible.
    """
    if not isinstance(given, Mapping) and (part := PARTS.get(Path(given).suffix)):
        return Finder(Row(part=part, file=str(given)), place)
    try:
        row = given if isinstance(given, Mapping) else json.loads(str(given))
        return Finder(Row.model_validate(row), place)
    except json.JSONDecodeError:
        raise ValueError(
            f"detector {given!s}: give a YOLOX .onnx, a YOLOv2 .safetensors, or a row as JSON, "
            'such as {"part": "torchvision", "options": {"name": "ssdlite320_mobilenet_v3_large"}}'
        ) from None
    except ValidationError as error:
        reason = errors.explain(error, kind="setting", known=Row.model_fields)
        raise ValueError(f"detector: {reason}") from None
