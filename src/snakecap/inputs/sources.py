"""What the encoders of a training job read: features, pictures and layouts, from their files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from snakecap import device as devices
from snakecap.config.settings import Stage, Training
from snakecap.formats.features import FLIP, Features
from snakecap.formats.layouts import Layouts
from snakecap.inputs.inputs import (
    CachedFeatures,
    LayoutArrays,
    OnDisk,
    Pixels,
    Rows,
    Source,
    Together,
)
from snakecap.log import logger

ROWS = 256  # features read at once
FLOAT = 4  # bytes of a float32


def every_source(
    settings: Training,
    files: Sequence[str],
    images: Path | None,
    features: Path | None,
    seen: Layouts | None,
    place: torch.device,
) -> Source:
    """Everything that the encoders of a training job read, by row of captions.h5.

    Args:
        settings: the job.
        files: names of the pictures, one for each row.
        images: images.h5, when the stage reads pictures.
        features: cached features, when it does not.
        seen: layouts, when an encoder reads them.
        place: device of what is read.

    Raises:
        ValueError: a file that the stage needs was not given.
    """
    stage = settings.stage
    sources: list[Source] = []
    if settings.backbone is not None and stage.reads_pictures:
        if images is None:
            raise ValueError(f"stage {stage.name} reads pictures: give --images")
        sources.append(_pixels(settings, images, files, place))
    elif settings.backbone is not None:
        if features is None:
            raise ValueError(f"stage {stage.name} reads cached features: give --features")
        output = settings.features_output
        sources.append(_cached(features, files, place, flip=stage.flip, output=output))
    if seen is not None:
        sources.append(_layouts(seen, files, stage, place))
    return Together(sources)


def _layouts(
    seen: Layouts, files: Sequence[str], stage: Stage, place: torch.device
) -> LayoutArrays:
    """Layouts by row of captions.h5, augmented as the stage says."""
    rows = seen.rows(files)
    return LayoutArrays(
        torch.from_numpy(seen.ids[rows]),
        torch.from_numpy(seen.boxes[rows]),
        place,
        drop=stage.object_dropout,
        jitter=stage.box_jitter,
        sorted_by_x=seen.reading.order == "left_to_right",
    )


def _pixels(settings: Training, images: Path, files: Sequence[str], place: torch.device) -> Pixels:
    """Pictures of images.h5 by row of captions.h5, augmented as the stage says."""
    from snakecap.formats.images import Images

    assert settings.backbone is not None
    store = Images(images)
    rows = store.rows(files)
    side = settings.geometry.size
    margin = side - (settings.backbone.preprocess.crop or side)
    return Pixels(
        lambda wanted: store.read(rows[wanted]),
        place,
        margin=margin if settings.stage.random_crop else 0,
    )


def _cached(
    features: Path, files: Sequence[str], place: torch.device, *, flip: bool, output: str
) -> CachedFeatures:
    """Features by row of captions.h5: kept on the device, or read for each batch if too large."""
    store = Features(features)
    rows = [*files, *(file + FLIP for file in files)] if flip else files
    size, room = FLOAT * math.prod(store.vdim) * len(rows), devices.room(place)
    if size > room:
        logger.info(
            "%s: %.1f GB of features are read batch by batch; there is room for %.1f GB",
            features, size / 1e9, room / 1e9,
        )  # fmt: skip
        values: Rows = OnDisk(lambda wanted: store.read([rows[row] for row in wanted]), place)
    else:
        values = _kept(store, rows, place)
    return CachedFeatures(values, mirrored=len(files) if flip else 0, output=output)


def _kept(store: Features, files: Sequence[str], place: torch.device) -> Tensor:
    """Features on the device; host memory holds some rows at a time."""
    kept = torch.empty((len(files), *store.vdim), device=place)
    for start in range(0, len(files), ROWS):
        some = files[start : start + ROWS]
        kept[start : start + len(some)] = torch.from_numpy(store.read(some))
    return kept
