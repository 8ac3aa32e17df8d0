"""A backbone's features of every picture, cached in LMDB; a killed run goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snakecap import device as devices
from snakecap import log, registry
from snakecap.config import settings as models
from snakecap.config.settings import Extraction
from snakecap.distributed.process_group import ProcessGroup, join
from snakecap.formats import atomic
from snakecap.formats.features import FLIP, Writer
from snakecap.formats.images import Images
from snakecap.models.backbones import weights
from snakecap.models.backbones.backbone import Backbone
from snakecap.models.backbones.preprocess import look
from snakecap.provenance import code
from snakecap.provenance.identity import Output, step, work_folder

Views = list[Tensor]  # a batch's features (B, *vdim), plain and, when asked for, mirrored
Found = tuple[list[str], Views]  # file names, and what was seen of them
OUT_OF_MEMORY = "lower the backbone's batch_size"


@step
def features(
    *,
    images: Path,
    features: Annotated[Path, Output],
    settings: Extraction = Extraction(),
    batch_size: int | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Cache a backbone's features of all pictures.

    Under torchrun its processes share the pictures, and rank 0 writes.

    Args:
        images: images.h5.
        features: output, an .lmdb keyed by file name.
        settings: the backbone, and what to keep.
        batch_size: pictures at once, which changes no feature; by default the backbone's own.
        device: auto, cpu or cuda.
        threads: CPU threads.

    Raises:
        ValueError: the weights or the crop do not fit, or a feature is not a finite number.
    """
    place = devices.choose(device, threads)
    processes = join()
    pictures = Images(images)
    backbone = load(settings.backbone)
    digest = weights.digest(backbone)
    see = eye(backbone.to(place), settings, place)
    row = settings.backbone.model_dump(mode="json", exclude={"batch_size"})
    kept = settings.features.model_dump()
    precision = devices.precision(settings.backbone.precision, place)
    locked = work_folder(features, digest, place.type, precision)
    with devices.advice(OUT_OF_MEMORY), processes.on_rank_0(locked) as folder:
        path = folder / "features.lmdb"
        shape = _shape(see, pictures.size, settings.backbone)
        dtype = "float16" if settings.features.half else "float32"
        writer = Writer(path, shape, dtype) if processes.is_rank_0 else None
        try:
            size = batch_size or settings.backbone.batch_size
            extract(pictures, see, writer, settings.features, size, processes)
        except BaseException:
            if writer:
                writer.close()
            raise
        if writer:
            stamp = {"backbone": row, "features": kept, "weights": digest}
            writer.close(code.stamp(**stamp, images=pictures.stamp))
            atomic.publish(path, features)


def _shape(
    see: Callable[[NDArray[np.uint8]], Views], size: int, row: models.Backbone
) -> Sequence[int]:
    try:
        return see(np.zeros((1, 3, size, size), np.uint8))[0].shape[1:]
    except (AssertionError, RuntimeError) as error:  # of networks that want one size
        if isinstance(error, RuntimeError) and "size" not in str(error):
            raise  # memory, or a device
        side = row.preprocess.crop or size
        raise ValueError(
            f"{row.architecture} cannot look at {side} x {side} pixels ({error}): set resize.size "
            "and the backbone's preprocess.crop to what it was made for"
        ) from error


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
    values, output = settings.backbone.preprocess.model_dump(), settings.features.output
    flips = (False, True) if settings.features.flip else (False,)
    on_gpu = place.type == "cuda"

    @torch.inference_mode()
    def see(images: NDArray[np.uint8]) -> Views:
        host = torch.from_numpy(images)
        pixels = (host.pin_memory() if on_gpu else host).to(place, non_blocking=True)
        with devices.autocast(settings.backbone.precision, place):
            views = [look(backbone, pixels, output, **values, flip=flip) for flip in flips]
        return [view.float() for view in views]

    return see


def extract(
    pictures: Images,
    see: Callable[[NDArray[np.uint8]], Views],
    writer: Writer | None,
    kept: models.Features,
    size: int,
    processes: ProcessGroup = ProcessGroup(),
) -> None:
    """Store the features of all pictures that rank 0's file does not hold yet."""
    names = pictures.files
    todo = processes.broadcast(_missing(writer, names, flip=kept.flip) if writer else [])
    batches = [todo[at : at + size] for at in range(0, len(todo), size)]
    own = processes.mine(batches)
    rounds = -(-len(batches) // processes.size)  # the last one may have nothing for some
    seen: Found | None = None
    images = _ahead(pictures.read, own)
    initial = len(names) - len(todo)
    with log.bar(title="features", total=len(names), unit="picture", initial=initial) as bar:
        for number in range(rounds):
            before, seen = seen, None
            if number < len(own):
                seen = [names[row] for row in own[number]], see(next(images))
            # A GPU computes this batch while the one before it is saved.
            bar.update(_save(writer, processes, before, kept) if number else 0)
        bar.update(_save(writer, processes, seen, kept) if rounds else 0)


def _missing(writer: Writer, names: Sequence[str], *, flip: bool) -> list[int]:
    done = writer.has(name + FLIP if flip else name for name in names)
    return [row for row, is_done in enumerate(done) if not is_done]


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


def _save(
    writer: Writer | None, processes: ProcessGroup, found: Found | None, kept: models.Features
) -> int:
    """Give rank 0 what was seen, which stores what all saw; how many pictures."""
    shares = processes.gather(_values(*found, half=kept.half) if found else ([], None))
    number = 0
    for names, values in shares:
        if writer and values is not None:
            writer.put(names, values)
            number += len(names) // (2 if kept.flip else 1)
    return number


def _values(names: list[str], seen: Views, *, half: bool) -> tuple[list[str], NDArray[Any]]:
    """Keys and values, those of mirrored pictures behind the others."""
    values = torch.cat(seen).cpu().numpy().astype(np.float16 if half else np.float32)
    if not np.isfinite(values).all():
        raise ValueError(
            f"features of {names[0]!r} or its neighbours are not finite {values.dtype} numbers: "
            "check the weights and the preprocessing, or set half to false in the input's options"
        )
    mirrored = [name + FLIP for name in names] if len(seen) > 1 else []
    return [*names, *mirrored], values
