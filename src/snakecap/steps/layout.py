"""Detections to layouts: which objects, in which order, in which frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from snakecap.config import settings as configuration
from snakecap.formats import detections as detection_files
from snakecap.formats import layouts as files
from snakecap.formats import pictures as records
from snakecap.formats.images import readable
from snakecap.formats.pictures import Picture, sized
from snakecap.log import logger
from snakecap.objects import layout as layouts
from snakecap.objects.layout import Layout, Reading
from snakecap.objects.object import Object
from snakecap.provenance import code
from snakecap.provenance.identity import Output, step


@step
def layout(
    *,
    pictures: Path,
    detections: Path,
    info: Path,
    layout: Annotated[Path, Output(beside=".json")],
    images: Path | None = None,
    settings: configuration.Arrangement = configuration.Arrangement(),
) -> None:
    """Arrange the detected objects of every picture.

    Args:
        pictures: pictures.json.
        detections: what a detector saw, COCO results JSON.
        info: its info.json, which lists its categories.
        layout: output, an .h5; a .json of the same name is written beside it.
        images: images.h5; when given, its pictures are arranged, in its order.
        settings: threshold, order, limit and frame.

    Raises:
        ValueError: a detection is of an unknown picture or category, or a picture's size is not
            known.
    """
    if layout.suffix != ".h5":
        raise ValueError(f"{layout}: the output must end in .h5; a .json is written beside it")
    collection = records.read(pictures)
    chosen = readable(collection.pictures, images)
    seen = detection_files.read(detections, collection.pictures)
    if seen and not any(picture.id in seen for picture in chosen):
        raise ValueError(f"{detections} is of other pictures than {pictures}: no id is in both")
    facts = detection_files.read_info(info)
    reading = Reading(facts.categories, **settings.model_dump())
    arranged = [_arranged(sized(one, facts.sizes), seen.get(one.id, ()), reading) for one in chosen]
    keys = [(picture.id, picture.file) for picture in chosen]
    try:
        files.write(layout, arranged, keys, reading, **code.stamp())
    except ValueError as error:
        raise ValueError(f"{detections}, {info}: {error}") from None
    kept = sum(len(one.objects) for one in arranged)
    logger.info(
        "layouts of %d pictures: %d of %d objects, %.1f a picture, %d pictures without any",
        len(arranged),
        kept,
        sum(len(seen.get(picture.id, ())) for picture in chosen),
        kept / max(1, len(arranged)),
        sum(not one.objects for one in arranged),
    )
    if not seen:
        logger.warning("%s is empty: every layout is", detections)
    for split in dict.fromkeys(picture.split for picture in chosen):
        if seen and not any(one.id in seen for one in chosen if one.split == split):
            logger.warning("%s has no object in any picture of the split %s", detections, split)


def _arranged(picture: Picture, found: Sequence[Object], reading: Reading) -> Layout:
    """One picture's layout, its boxes in 0..1."""
    width, height = picture.width, picture.height
    if found and not (width and height):
        raise ValueError(
            f"picture {picture.id} ({picture.file}) has objects, but neither pictures.json nor an "
            "image file says how large it is: its boxes cannot be brought to 0..1"
        )
    whole = Layout.from_pixels(found, width, height)
    return replace(whole, objects=layouts.arrange(whole.objects, reading))
