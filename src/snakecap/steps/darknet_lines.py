"""Detections as OBJ2TEXT's own file, for its tools and for models that were trained with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from snakecap.formats import darknet_lines as files
from snakecap.formats import detections as detection_files
from snakecap.formats import pictures as records
from snakecap.formats.darknet_lines import Line
from snakecap.formats.pictures import Picture, sized
from snakecap.log import logger
from snakecap.objects.boxes import Detections, clip
from snakecap.objects.categories import NAMES, canonical
from snakecap.objects.object import Object
from snakecap.provenance.identity import Output, step

PLACES = {name: place for place, name in enumerate(NAMES)}


@step
def darknet_lines(
    *,
    pictures: Path,
    detections: Path,
    lines: Annotated[Path, Output],
    info: Path | None = None,
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.24,
) -> None:
    """Write detections as ``coco_detection_result``: a line a picture, also where there is nothing.

    Args:
        pictures: pictures.json.
        detections: what a detector saw, COCO results JSON.
        lines: output, one JSON object a line.
        info: the detector's info.json, for pictures whose records do not say how large they are.
        threshold: weaker detections are left out, as the format has no scores.

    Raises:
        ValueError: a detection is of an unknown picture, or of a category that is not COCO's, or a
            picture's size is not known.
    """
    chosen = records.read(pictures).pictures
    seen = detection_files.read(detections, chosen)
    sizes = detection_files.read_info(info).sizes if info else {}
    strong = {key: [one for one in found if one.score >= threshold] for key, found in seen.items()}
    rows = [_line(sized(one, sizes), strong.get(one.id, ()), detections) for one in chosen]
    files.write(lines, rows)
    kept, total = sum(len(row.boxes) for row in rows), sum(map(len, strong.values()))
    logger.info("%d objects in %d pictures", kept, len(rows))
    if kept < total:
        logger.warning(
            "%d boxes were left out: outside the picture, or thin as a line", total - kept
        )


def _line(picture: Picture, found: Sequence[Object], source: Path) -> Line:
    if found and not (picture.width and picture.height):
        raise ValueError(
            f"{picture.file}: pictures.json does not say how large it is, and its boxes cannot be "
            "put into their letterbox: give the detector's --info"
        )
    odd = next((one.category for one in found if canonical(one.category) not in PLACES), None)
    if odd is not None:
        raise ValueError(f"{source} has the category {odd!r}: the format knows COCO's 80 alone")
    seen = Detections.of(found, PLACES)
    boxes = clip(seen.boxes, picture.width, picture.height)
    sides = picture.width or 1, picture.height or 1  # unknown where there is nothing to encode
    codes = files.encode_boxes(boxes, *sides)
    kept = (boxes[:, 2:] > 0).all(1) & files.have_size(codes)
    return Line(picture.file, codes[kept], seen.categories[kept])
