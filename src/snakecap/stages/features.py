"""A backbone's features of every picture, cached in LMDB; a killed run goes on where it was."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from snakecap import device as devices
from snakecap import log, provenance, registry
from snakecap import settings as models
from snakecap.encoders import weights
from snakecap.encoders.backbone import Backbone, BackboneOutput
from snakecap.encoders.preprocess import preprocess
from snakecap.files.features import FLIP, Writer
from snakecap.files.images import Images

AHEAD = 3  # batches read before they are wanted
Batch = tuple[list[str], Tensor]


class Extraction(models.Model):
    """A backbone, and what is kept of what it sees."""

    backbone: models.Backbone = models.Backbone()
    features: models.Features = models.Features()


def features(
    *,
    images: Path,
    features: Path,
    settings: Extraction = Extraction(),
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Cache a backbone's features of all pictures.

    Args:
        images: images.h5
        features: the .lmdb to write, keyed by file name
        settings: the backbone, and what to keep
        device: auto, cpu or cuda
        threads: CPU threads; null: as torch chooses

    Raises:
        ValueError: the weights or the crop do not fit.
    """
    place = devices.choose(device, threads)
    pictures = Images(images)
    backbone = _backbone(settings.backbone)
    digest = weights.digest(backbone)
    row = settings.backbone.model_dump(mode="json")
    kept = settings.features.model_dump(exclude={"batch_size"})
    status = images.stat()
    source = [pictures.stamp, len(pictures), status.st_size, status.st_mtime_ns]
    with provenance.work_folder(features, row, kept, digest, source, place.type) as folder:
        path = folder / "features.lmdb"
        see = _eye(backbone, settings, place)
        _extract(path, pictures, see, settings.features)
        stamp = provenance.stamp(backbone=row, features=kept, weights=digest, images=pictures.stamp)
        ...
