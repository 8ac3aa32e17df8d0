"""Caption a split of a data set, and the control whose pictures are shuffled."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch

from snakecap import device as devices
from snakecap.config.settings import Decoding
from snakecap.distributed.process_group import ProcessGroup, join
from snakecap.formats import alphas as alpha_files
from snakecap.formats import pictures as records
from snakecap.formats import results as result_files
from snakecap.formats.pictures import Picture
from snakecap.inference.attention import Attention, joined
from snakecap.inference.ensemble import load
from snakecap.inference.model import Model, seeded
from snakecap.inputs.input import Inputs, Prefetch, open_inputs
from snakecap.log import progress
from snakecap.provenance.identity import Output, step
from snakecap.search.hypothesis import Hypothesis
from snakecap.text.written import writer

# The hypotheses of each picture of a batch, best first, and the attention of the best ones.
Captioned = tuple[list[list[Hypothesis]], Attention]
OUT_OF_MEMORY = "lower the system's decoding.batch_size, decoding.beam_width or decoding.voters"


@step
def caption(
    *,
    model: list[Path],
    pictures: Path,
    inputs: list[Path],
    captions: Annotated[Path, Output],
    split: str = "test",
    shuffled: Annotated[Path | None, Output] = None,
    alphas: Annotated[Path | None, Output] = None,
    settings: Decoding = Decoding(),
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Caption every picture of a split once, in the order of pictures.json.

    Under torchrun its processes share the batches, and rank 0 writes.

    Args:
        model: model.safetensors; several of one vocabulary caption together, as an ensemble.
        pictures: pictures.json.
        inputs: a file for each of the model's inputs, in the alphabetical order of their names,
            one model's after the other's: images.h5, or features of the model's own backbone;
            layouts.h5.
        captions: output, COCO results JSON.
        split: train, val, test or extra.
        shuffled: output of the control: each picture's caption is that of another picture, so
            a model that does not look scores the same on both.
        alphas: output, .npy: what each word looks at in its picture's grid, as DeepCaption has it.
        settings: how to search.
        device: auto, cpu or cuda.
        threads: CPU threads.

    Raises:
        ValueError: a file that the model needs was not given, or the split is empty.
    """
    loaded = load(model, device, threads)
    open_inputs(loaded.inputs, inputs)
    every = records.read(pictures).split(split)
    chosen = [one for one in every if all(each.has(one.file) for each in loaded.inputs.values())]
    if not chosen:
        raise ValueError(f"split {split!r} of {pictures} has no readable pictures")
    processes = join()
    with devices.advice(OUT_OF_MEMORY):
        shares = processes.gather(_captions(loaded, chosen, settings, split, processes))
    if not processes.is_rank_0:
        return
    each = processes.merged(shares)
    found = [best for batch, _ in each for best in batch]
    attention = joined([batch for _, batch in each], settings.max_length)
    names, write = [picture.file for picture in chosen], writer(settings)
    ids = [picture.id for picture in chosen]
    if shuffled is not None:
        order = derangement(len(chosen), settings.seed)
        others = [found[place] for place in order]
        result_files.write(shuffled, loaded.results(ids, names, others, write=write))
    if alphas is not None:
        alpha_files.write(alphas, attention.alphas)
    result_files.write(captions, loaded.results(ids, names, found, attention, write))


def _captions(
    loaded: Model,
    chosen: Sequence[Picture],
    settings: Decoding,
    split: str,
    processes: ProcessGroup,
) -> list[Captioned]:
    """This process's batches: the hypotheses of each picture, and the attention of the best."""
    size = settings.batch_size
    starts = processes.mine(range(0, len(chosen), size))

    def batch(number: int) -> Inputs:
        start = starts[number]
        some = [picture.file for picture in chosen[start : start + size]]
        return {name: one.read(some) for name, one in loaded.inputs.items()}

    found: list[Captioned] = []
    with contextlib.closing(Prefetch(batch, len(starts))) as ahead:
        for number, start in enumerate(progress(starts, title=f"caption {split}", unit="batch")):
            inputs = loaded.seen(ahead(number), settings.precision)
            best = loaded.search(inputs, seeded(settings, start))
            first = [several[0] for several in best]
            found.append((best, loaded.attention(inputs, first, settings.precision)))
    return found


def derangement(number: int, seed: int) -> list[int]:
    """A permutation that leaves no place as it was (for two or more places)."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(number, generator=generator).tolist()
    # Each picture takes the caption of the next one in a random cycle.
    following = dict(zip(order, order[1:] + order[:1], strict=True))
    return [following[place] for place in range(number)]
