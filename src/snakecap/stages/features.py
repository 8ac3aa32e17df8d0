"""A backbone's features of every picture, cached in LMDB; a killed run goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snakecap import device as devices
from snakecap import log, provenance, registry
from snakecap import settings as models
from snakecap.encoders import weights
from snakecap.encoders.backbone import Backbone
from snakecap.encoders.preprocess import preprocess
from snakecap.files.features import FLIP, Writer
from snakecap.files.images import Images

Views = list[Tensor]  # a batch's features (B, *vdim), plain and, when asked for, mirrored


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
        images: images.h5.
        features: output, an .lmdb keyed by file name.
        settings: the backbone, and what to keep.
        device: auto, cpu or cuda.
        threads: CPU threads.

    Raises:
        ValueError: the weights or the crop do not fit, or a feature is not a finite number.
    """
    place = devices.choose(device, threads)
    pictures = Images(images)
    backbone = load(settings.backbone)
    digest = weights.digest(backbone)
    see = eye(backbone.to(place), settings, place)
    row = settings.backbone.model_dump(mode="json")
    kept = settings.features.model_dump(exclude={"batch_size"})
    status = images.stat()
    source = [pictures.stamp, status.st_size, status.st_mtime_ns]
    with provenance.work_folder(features, row, kept, digest, source, place.type) as folder:
        path = folder / "features.lmdb"
        shape = see(np.zeros((1, 3, pictures.size, pictures.size), np.uint8))[0].shape[1:]
        writer = Writer(path, shape, "float16" if settings.features.half else "float32")
        try:
            extract(pictures, see, writer, settings.features)
        except BaseException:
            writer.close()
            raise
        stamp = {"backbone": row, "features": kept, "weights": digest, "images": pictures.stamp}
        writer.close(provenance.stamp(**stamp))
        features.parent.mkdir(parents=True, exist_ok=True)
        path.replace(features)


def load(row: models.Backbone) -> Backbone:
    """A backbone with its weights, in evaluation mode."""
    build = registry.load("backbone", row.family)
    backbone: Backbone = build(row.architecture, row.class_scores)
    weights.load_weights(backbone, row.architecture, row.weights)
    return backbone.eval().to(memory_format=torch.channels_last)


def eye(
    backbone: Backbone, settings: Extraction, place: torch.device
) -> Callable[[NDArray[np.uint8]], Views]:
    """A function from images (B, 3, S, S) to their features on the device."""
    values = settings.backbone.preprocess.model_dump()
    flips = (False, True) if settings.features.flip else (False,)
    on_gpu = place.type == "cuda"

    @torch.inference_mode()
    def see(images: NDArray[np.uint8]) -> Views:
        host = torch.from_numpy(images)
        pixels = (host.pin_memory() if on_gpu else host).to(place, non_blocking=True)
        with torch.autocast(place.type, torch.bfloat16, enabled=on_gpu):
            outputs = [backbone(preprocess(pixels, **values, flip=flip)) for flip in flips]
        return [getattr(output, settings.features.output).float() for output in outputs]

    return see


def extract(
    pictures: Images,
    see: Callable[[NDArray[np.uint8]], Views],
    writer: Writer,
    kept: models.Features,
) -> None:
    """Store the features of all pictures that the file does not hold yet."""
    names = pictures.files
    done = writer.has(name + FLIP if kept.flip else name for name in names)
    todo = [row for row, is_done in enumerate(done) if not is_done]
    batches = [todo[at : at + kept.batch_size] for at in range(0, len(todo), kept.batch_size)]
    initial = len(names) - len(todo)
    with log.bar(title="features", total=len(names), unit="picture", initial=initial) as bar:
        unsaved: tuple[list[str], Views] | None = None
        for rows, images in zip(batches, _ahead(pictures.read, batches), strict=True):
            seen = see(images)  # a GPU computes this batch while the one before it is saved
            if unsaved:
                _save(writer, *unsaved)
            unsaved = [names[row] for row in rows], seen
            bar.update(len(rows))
        if unsaved:
            _save(writer, *unsaved)


def _ahead(
    read: Callable[[Sequence[int]], NDArray[np.uint8]], batches: Sequence[Sequence[int]]
) -> Iterator[NDArray[np.uint8]]:
    """The images of each batch; a thread reads the next one meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        coming = [pool.submit(read, rows) for rows in batches[:1]]
        for rows in batches[1:]:
            coming.append(pool.submit(read, rows))
            yield coming.pop(0).result()
        yield from (last.result() for last in coming)


def _save(writer: Writer, names: Sequence[str], seen: Views) -> None:
    values = torch.cat(seen).cpu().numpy().astype(writer.dtype)
    if not np.isfinite(values).all():
        raise ValueError(
            f"features of {names[0]!r} or its neighbours are not finite {writer.dtype} numbers: "
            "check the weights and the preprocessing, or set features.half to false"
        )
    mirrored = [name + FLIP for name in names] if len(seen) > 1 else []
    writer.put([*names, *mirrored], values)
