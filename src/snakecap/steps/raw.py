"""``pictures.json`` back to the originals' JSON, for their own tooling."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from snakecap.data import raw as neuraltalk2
from snakecap.detectors.darknet_lines import DarknetLines
from snakecap.formats import pictures as records
from snakecap.formats.atomic import write_json
from snakecap.formats.darknet_lines import Line
from snakecap.formats.layouts import OBJECTS
from snakecap.provenance.identity import Output, step


@step
def raw(*, pictures: Path, output: Annotated[Path, Output], lines: Path | None = None) -> None:
    """Write NeuralTalk2's ``coco_raw.json``, or OBJ2TEXT's ``coco_yolo_objname_location.json``.

    Validation pictures come first, then training, as in theirs.

    Args:
        pictures: ``pictures.json`` of any data set.
        output: JSON list of file_path, id and captions.
        lines: a ``coco_detection_result`` (`snakecap darknet-lines`); when given, each entry also
            has what was seen, as OBJ2TEXT's detection_add_captions.py wrote it: bboxes,
            full_categories (the first 96) and categories, each once.

    Raises:
        ValueError: a picture has no line, or several; names it.
    """
    chosen = records.read(pictures).pictures
    rows = neuraltalk2.rows(chosen)
    if lines is not None:
        seen = DarknetLines(file=lines)
        seen.match(chosen)
        found = {picture.file: seen.line(picture) for picture in chosen}
        rows = [{**row, **_objects(found[row["file_path"]])} for row in rows]
    write_json(output, rows)


def _objects(line: Line) -> dict[str, Any]:
    numbers = (line.categories + 1).tolist()
    return {
        "bboxes": line.boxes.tolist(),
        "full_categories": numbers[:OBJECTS],
        "categories": sorted(set(numbers)),
    }
