"""Describe the regions of a split's pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from snakecap import device as devices
from snakecap.config.dense import Describing
from snakecap.distributed.process_group import ProcessGroup, join
from snakecap.formats import dense
from snakecap.formats import pictures as records
from snakecap.formats.dense import Described
from snakecap.formats.pictures import Picture
from snakecap.inference.describer import Describer
from snakecap.inputs.input import Inputs, Prefetch
from snakecap.log import progress
from snakecap.provenance import code
from snakecap.provenance.identity import Output, step

OUT_OF_MEMORY = "lower the system's describing.batch_size or describing.proposals"


@step
def describe(
    *,
    model: Path,
    pictures: Path,
    descriptions: Annotated[Path, Output],
    split: str = "test",
    settings: Describing = Describing(),
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Describe every picture of a split once, in the order of the file.

    Under torchrun its processes share the batches, and rank 0 writes.

    Args:
        model: model.safetensors of a dense system.
        pictures: what `snakecap regions` wrote, whose photos can be read.
        descriptions: output, dense predictions (docs/formats.md) in pixels of the photos.
        split: train, val, test or extra.
        settings: which regions are described, and how captions are searched for.
        device: auto, cpu or cuda.
        threads: CPU threads.

    Raises:
        ValueError: the model describes no regions, or the split is empty.
    """
    loaded = Describer(model, device, threads)
    loaded.photos.open(pictures)
    chosen = records.read(pictures).split(split)
    if not chosen:
        raise ValueError(f"split {split!r} of {pictures} has no pictures")
    processes = join()
    with devices.advice(OUT_OF_MEMORY):
        shares = processes.gather(_described(loaded, chosen, settings, split, processes))
    if processes.is_rank_0:
        batches = processes.merged(shares)
        dense.write(descriptions, (one for batch in batches for one in batch), **code.stamp())


def _described(
    loaded: Describer,
    chosen: Sequence[Picture],
    settings: Describing,
    split: str,
    processes: ProcessGroup,
) -> list[list[Described]]:
    """This process's batches."""
    size = settings.batch_size
    starts = processes.mine(range(0, len(chosen), size))

    def batch(number: int) -> Inputs:
        some = chosen[starts[number] : starts[number] + size]
        return {loaded.name: loaded.photos.read([picture.file for picture in some])}

    found = []
    with contextlib.closing(Prefetch(batch, len(starts))) as ahead:
        for number, start in enumerate(progress(starts, title=f"describe {split}", unit="batch")):
            pictures = chosen[start : start + size]
            found.append(loaded.batch(pictures, ahead(number), settings)[0])
    return found
