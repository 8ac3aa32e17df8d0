"""The references of a split as COCO captions JSON, which every scorer reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from snakecap.formats import atomic
from snakecap.formats import pictures as records
from snakecap.formats.images import readable
from snakecap.provenance.identity import Output, step


@step
def references(
    *,
    pictures: Path,
    references: Annotated[Path, Output],
    split: str = "test",
    images: Path | None = None,
) -> None:
    """Write the captions of a split as COCO captions JSON.

    Args:
        pictures: pictures.json.
        references: output.
        split: train, val, test or extra.
        images: images.h5; pictures that it lacks (they could not be read) are left out.

    Raises:
        ValueError: pictures of the split have no captions.
    """
    every = readable(records.read(pictures).pictures, images)
    chosen = [picture for picture in every if picture.split == split]
    if not any(picture.captions for picture in chosen):
        raise ValueError(
            f"split {split!r} of {pictures} has no captions, nothing to score against: to caption "
            "it alone, name it under `caption`, not `evaluate`"
        )
    bare = [picture.file for picture in chosen if not picture.captions]
    if bare:
        raise ValueError(
            f"{len(bare)} pictures of split {split!r} of {pictures} have no captions to score "
            f"against, {bare[0]} the first: give their data set the split `extra`"
        )
    atomic.write_json(references, records.references(chosen))
