"""OBJ2TEXT's own detections, ``coco_detection_result``: one JSON object a line.

Source: Yin and Ordonez's fork of darknet (src/detector.c, src/image.c), which ran YOLOv2 for
OBJ2TEXT. A line is ``{"file_path", "bboxes", "full_categories"}``: categories 1..80 in the order of
darknet's coco.names, which is COCO's, and each box as one integer, left * 1e9 + top * 1e6 + width *
1e3 + height, in whole pixels 0..607 of the 608 x 608 letterbox around the picture. There are no
scores, and the order is YOLO's own: anchor, row, column.

Dimensions: N objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, StrictInt, TypeAdapter
from typing_extensions import TypedDict

from snakecap.formats.atomic import checked, writing
from snakecap.objects.boxes import Array, Frame
from snakecap.objects.categories import NAMES

SIDE = 608
PLACES = np.array([10**9, 10**6, 10**3, 1])
# What a box of whole pixels loses on its way through the picture's frame is less.
SLACK = 0.01


@dataclass(frozen=True)
class Line:
    """What was seen in one picture.

    Attributes:
        file: the picture's path, as written.
        boxes: the encoded boxes, int64 of shape (N,).
        categories: places in `categories.NAMES`, of shape (N,).
    """

    file: str
    boxes: NDArray[np.int64]
    categories: NDArray[np.int64]


def encode_boxes(boxes: Array, width: float, height: float) -> NDArray[np.int64]:
    """Boxes as the integers of this format.

    Args:
        boxes: of shape (N, 4), in pixels of the picture.
        width, height: of the picture, in pixels.

    Returns:
        Of shape (N,).
    """
    inside = Frame.around(round(width), round(height), SIDE).into(boxes)
    edges = np.concatenate([inside[:, :2], inside[:, :2] + inside[:, 2:]], 1)
    whole = np.floor(edges + SLACK).clip(0, SIDE - 1).astype(np.int64)
    whole[:, 2:] -= whole[:, :2]
    codes: NDArray[np.int64] = whole @ PLACES
    return codes


def decode_boxes(codes: NDArray[np.int64], width: float, height: float) -> Array:
    """What `encode_boxes` gave, as boxes (N, 4) in pixels of the picture."""
    frame = Frame.around(round(width), round(height), SIDE)
    return frame.out(_whole(codes).astype(np.float32))


def have_size(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the boxes are at least a pixel wide and high, of shape (N,)."""
    return np.asarray((_whole(codes)[:, 2:] > 0).all(1))


def _whole(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Left, top, width and height in the letterbox, of shape (N, 4)."""
    parts: NDArray[np.int64] = codes[:, None] // PLACES
    parts[:, 1:] %= 1000
    return parts


def _inside(code: int) -> int:
    left, top, width, height = (code // place % 1000 for place in PLACES.tolist())
    if max(left + width, top + height, code // PLACES[0]) >= SIDE:
        raise ValueError(f"a box is left * 1e9 + top * 1e6 + width * 1e3 + height in 0..{SIDE - 1}")
    return code


def _paired(line: _Line) -> _Line:
    if len(line["bboxes"]) != len(line["full_categories"]):
        raise ValueError("as many bboxes as full_categories are needed")
    return line


class _Line(TypedDict):
    file_path: str
    bboxes: list[Annotated[StrictInt, Field(ge=0), AfterValidator(_inside)]]
    full_categories: list[Annotated[StrictInt, Field(ge=1, le=len(NAMES))]]


LINE = TypeAdapter(Annotated[_Line, AfterValidator(_paired)])
EXPECTED = "a line of darknet's detections"


def read(path: Path) -> list[Line]:
    """Read a ``coco_detection_result``.

    Raises:
        ValueError: a line is not of this format; names the file and the line.
    """
    lines = []
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, text in enumerate(file, start=1):
            if text.strip():
                lines.append(_line(text, f"{path}:{number} is not {EXPECTED}"))
    return lines


def _line(text: str, complaint: str) -> Line:
    try:
        row = checked(json.loads(text), LINE, complaint)
    except json.JSONDecodeError as error:
        raise ValueError(f"{complaint}: {error}") from None
    codes = np.array(row["bboxes"], np.int64)
    return Line(row["file_path"], codes, np.array(row["full_categories"], np.int64) - 1)


def write(path: Path, lines: Iterable[Line]) -> None:
    """Write a ``coco_detection_result``, atomically.

    Raises:
        ValueError: a box or a category is not one of this format; names the line.
    """
    with writing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for number, line in enumerate(lines, start=1):
            row = {"file_path": line.file, "bboxes": line.boxes.tolist()}
            row["full_categories"] = (line.categories + 1).tolist()
            checked(row, LINE, f"{path}:{number} is not {EXPECTED}")
            file.write(json.dumps(row) + "\n")
