"""Stage `raw`: ``pictures.json`` back to NeuralTalk2's raw JSON, for its own tooling."""

from __future__ import annotations

from pathlib import Path

from snakecap.data import raw as neuraltalk2
from snakecap.files import pictures as records


def raw(*, pictures: Path, output: Path) -> None:
    """Write NeuralTalk2's ``coco_raw.json``: validation pictures first, then training.

    Args:
        pictures: ``pictures.json`` of any data set.
        output: JSON list of file_path, id and captions.
    """
    neuraltalk2.write(output, records.read(pictures).pictures)
