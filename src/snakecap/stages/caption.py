"""Caption a split of a data set, and the control whose pictures are shuffled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from snakecap.data.inputs import Ahead
from snakecap.files import atomic
from snakecap.files import pictures as records
from snakecap.files.pictures import Picture
from snakecap.log import progress
from snakecap.search.hypothesis import Hypothesis
from snakecap.settings import Decoding
from snakecap.stages.inference import Model, results, seeded


def caption(
    *,
    model: Path,
    pictures: Path,
    captions: Path,
    split: str = "test",
    images: Path | None = None,
    features: Path | None = None,
    shuffled: Path | None = None,
    settings: Decoding = Decoding(),
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Caption every picture of a split once, in the order of pictures.json.

    Args:
        model: model.safetensors.
        pictures: pictures.json.
        captions: output, COCO results JSON.
        split: train, val, test or extra.
        images: images.h5.
        features: cached features, instead of images; only of the model's own backbone.
        shuffled: output of the control: each picture's caption is that of another picture, so
            a model that does not look scores the same on both.
        settings: how to search.
        device: auto, cpu or cuda.
        threads: CPU threads.

    Raises:
        ValueError: neither images nor features were given, or the split is empty.
    """
    loaded = Model(model, device, threads)
    chosen, batches = _inputs(loaded, records.read(pictures).split(split), images, features)
    if not chosen:
        raise ValueError(f"split {split!r} of {pictures} has no readable pictures")
    size = settings.batch_size
    ahead = Ahead(lambda i: batches(slice(i * size, (i + 1) * size)), -(-len(chosen) // size))
    found: list[list[Hypothesis]] = []
    for number in progress(range(ahead.end), title=f"caption {split}", unit="batch"):
        found += loaded.search(ahead(number), seeded(settings, number * size))
    ahead.close()
    ids = [picture.id for picture in chosen]
    files = [picture.file for picture in chosen]
    if shuffled is not None:
        order = derangement(len(chosen), settings.seed)
        others = [found[place] for place in order]
        atomic.write_json(shuffled, results(loaded, ids, files, others), indent=1)
    atomic.write_json(captions, results(loaded, ids, files, found), indent=1)


def _inputs(
    loaded: Model, pictures: tuple[Picture, ...], images: Path | None, features: Path | None
) -> tuple[list[Picture], Callable[[slice], dict[str, Tensor]]]:
    """The pictures that can be captioned, and a function from a slice of them to inputs."""
    if features is not None:
        from snakecap.files.features import Features

        store = Features(features)
        chosen = [picture for picture in pictures if picture.file in store]

        def cached(span: slice) -> dict[str, Tensor]:
            values = store.read([picture.file for picture in chosen[span]])
            return {"pooled": torch.from_numpy(values).to(loaded.place)}

        return chosen, cached
    if images is None:
        raise ValueError("give --images or --features: the model has to see the pictures")
    from snakecap.files.images import Images

    pixels = Images(images)
    readable = set(pixels.files)
    chosen = [picture for picture in pictures if picture.file in readable]
    rows = pixels.rows([picture.file for picture in chosen])
    return chosen, lambda span: loaded.pixels(pixels.read(rows[span]))


def derangement(number: int, seed: int) -> list[int]:
    """A permutation that leaves no place as it was (for two or more places)."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(number, generator=generator).tolist()
    # Each picture takes the caption of the next one in a random cycle.
    following = dict(zip(order, order[1:] + order[:1], strict=True))
    return [following[place] for place in range(number)]
