"""Caption a split of a data set, and the control whose pictures are shuffled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from snakecap import device as devices
from snakecap.config.settings import Decoding
from snakecap.distributed.process_group import ProcessGroup, join
from snakecap.formats import pictures as records
from snakecap.formats import results as result_files
from snakecap.formats.pictures import Picture
from snakecap.inference.model import Model
from snakecap.inference.results import results, seeded
from snakecap.inputs.prefetch import Ahead
from snakecap.log import progress
from snakecap.search.hypothesis import Hypothesis

# The hypotheses of each picture of a batch, best first, and the attention of the best ones.
Captioned = tuple[list[list[Hypothesis]], list[list[list[float]]] | None]
OUT_OF_MEMORY = "lower the system's decoding.batch_size, decoding.beam_width or decoding.voters"


def caption(
    *,
    model: Path,
    pictures: Path,
    captions: Path,
    split: str = "test",
    images: Path | None = None,
    features: Path | None = None,
    layouts: Path | None = None,
    shuffled: Path | None = None,
    settings: Decoding = Decoding(),
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Caption every picture of a split once, in the order of pictures.json.

    Under torchrun its processes share the batches, and the leader writes.

    Args:
        model: model.safetensors.
        pictures: pictures.json.
        captions: output, COCO results JSON.
        split: train, val, test or extra.
        images: images.h5.
        features: cached features, instead of images; only of the model's own backbone.
        layouts: layouts.h5, for models that read layouts.
        shuffled: output of the control: each picture's caption is that of another picture, so
            a model that does not look scores the same on both.
        settings: how to search.
        device: auto, cpu or cuda.
        threads: CPU threads.

    Raises:
        ValueError: a file that the model needs was not given, or the split is empty.
    """
    loaded = Model(model, device, threads)
    readers = _readers(loaded, images, features, layouts)
    every = records.read(pictures).split(split)
    chosen = [picture for picture in every if all(reader.has(picture.file) for reader in readers)]
    if not chosen:
        raise ValueError(f"split {split!r} of {pictures} has no readable pictures")
    processes = join()
    with devices.advice(OUT_OF_MEMORY):
        shares = processes.gather(_captions(loaded, readers, chosen, settings, split, processes))
    if not processes.is_rank_0:
        return
    each = processes.merged(shares)
    found = [best for batch, _ in each for best in batch]
    attention = [weights for _, batch in each for weights in batch or ()]
    names = [picture.file for picture in chosen]
    ids = [picture.id for picture in chosen]
    if shuffled is not None:
        order = derangement(len(chosen), settings.seed)
        others = [found[place] for place in order]
        result_files.write(shuffled, results(loaded, ids, names, others))
    result_files.write(captions, results(loaded, ids, names, found, attention or None))


def _captions(
    loaded: Model,
    readers: Sequence[Reader],
    chosen: Sequence[Picture],
    settings: Decoding,
    split: str,
    processes: ProcessGroup,
) -> list[Captioned]:
    """This member's batches: the hypotheses of each picture, and the attention of the best."""
    size = settings.batch_size
    starts = processes.mine(range(0, len(chosen), size))

    def batch(number: int) -> dict[str, Tensor]:
        start = starts[number]
        some = [picture.file for picture in chosen[start : start + size]]
        return {name: value for reader in readers for name, value in reader.read(some).items()}

    ahead = Ahead(batch, len(starts))
    found: list[Captioned] = []
    for number, start in enumerate(progress(starts, title=f"caption {split}", unit="batch")):
        inputs = ahead(number)
        best = loaded.search(inputs, seeded(settings, start))
        found.append((best, loaded.attention(inputs, [several[0] for several in best])))
    ahead.close()
    return found


@dataclass(frozen=True)
class Reader:
    """One kind of input: whether it has a picture, and encoder inputs of some of them."""

    has: Callable[[str], bool]
    read: Callable[[Sequence[str]], dict[str, Tensor]]


def _readers(
    loaded: Model, images: Path | None, features: Path | None, layouts: Path | None
) -> list[Reader]:
    """A reader for everything that the model reads."""
    readers = []
    if loaded.training.backbone is not None:
        if features is not None:
            readers.append(_cached(loaded, features))
        elif images is not None:
            readers.append(_pixels(loaded, images))
        else:
            raise ValueError("give --images or --features: the model has to see the pictures")
    if loaded.reading is not None:
        if layouts is None:
            raise ValueError("give --layouts: the model reads the layouts of objects")
        readers.append(_layouts(loaded, layouts))
    return readers


def _cached(loaded: Model, features: Path) -> Reader:
    from snakecap.formats.features import Features

    store = Features(features)
    output = loaded.training.features_output
    return Reader(
        store.__contains__,
        lambda some: {output: torch.from_numpy(store.read(some)).to(loaded.place)},
    )


def _pixels(loaded: Model, images: Path) -> Reader:
    from snakecap.formats.images import Images

    store = Images(images)
    return Reader(
        set(store.files).__contains__, lambda some: loaded.pixels(store.read(store.rows(some)))
    )


def _layouts(loaded: Model, layouts: Path) -> Reader:
    from snakecap.formats.layouts import read

    store = read(layouts)
    if store.reading != loaded.reading:
        raise ValueError(f"{layouts} was made with other settings than the model's own layouts")

    def some(names: Sequence[str]) -> dict[str, Tensor]:
        rows = store.rows(names)
        return loaded.arrays(store.ids[rows], store.boxes[rows])

    return Reader(set(store.files).__contains__, some)


def derangement(number: int, seed: int) -> list[int]:
    """A permutation that leaves no place as it was (for two or more places)."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(number, generator=generator).tolist()
    # Each picture takes the caption of the next one in a random cycle.
    following = dict(zip(order, order[1:] + order[:1], strict=True))
    return [following[place] for place in range(number)]
