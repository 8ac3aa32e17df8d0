"""Regions as DenseCap's own training data (preprocess.py), for its tools and its ports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from snakecap import log
from snakecap.data.regions import judged
from snakecap.formats import decode, densecap
from snakecap.formats import pictures as records
from snakecap.formats.atomic import write_json
from snakecap.formats.densecap import Regions
from snakecap.formats.pictures import Picture
from snakecap.inputs.photos import resized
from snakecap.provenance.identity import Output, Photos, step
from snakecap.text import counting
from snakecap.text.densecap import tokenize

AHEAD = 32  # photos that are decoded together
Found = tuple[Regions, NDArray[np.uint8]]


@step
def densecap_h5(
    *,
    pictures: Annotated[Path, Photos],
    h5_output: Annotated[Path, Output],
    json_output: Annotated[Path, Output],
    image_size: Annotated[int, Field(ge=16)] = 720,
    max_token_length: Annotated[int, Field(ge=0)] = 15,
    min_token_instances: Annotated[int, Field(ge=0)] = 15,
    max_images: Annotated[int, Field(ge=-1)] = -1,
    root: Path | None = None,
) -> None:
    """Write VG-regions.h5 and VG-regions-dicts.json as DenseCap's preprocess.py does.

    A hundred gigabytes for Visual Genome; training here needs neither. Photos that cannot be read
    and regions that cannot be learnt are named in the log and left out.

    Args:
        pictures: pictures.json of a data set with regions
        h5_output: images, boxes and phrases
        json_output: words and file names
        image_size: longer side of an image in pixels
        max_token_length: regions of longer phrases are left out; 0: none
        min_token_instances: rarer words become UNK, in angle brackets
        max_images: the first so many; -1: all
        root: folder of the photos; null: the root in pictures.json

    Raises:
        ValueError: no picture has a region that can be learnt.
    """
    collection = records.read(pictures, root)
    described = [one for one in collection.split("train", "val", "test") if one.regions]
    chosen = described if max_images < 0 else described[:max_images]
    found = _found(collection.root, chosen, image_size, max_token_length)
    choose = partial(_vocabulary, least=min_token_instances)
    words = densecap.write(h5_output, found, choose, size=image_size, max_words=max_token_length)
    write_json(json_output, words)


def _vocabulary(regions: Sequence[Regions], least: int) -> list[str]:
    counts = Counter(word for one in regions for each in one.words for word in each)
    kept = counting.keep(counts, least, inclusive=True)
    return [*kept, densecap.UNKNOWN] if len(kept) < len(counts) else kept


def _found(root: Path, pictures: Sequence[Picture], size: int, max_words: int) -> Iterator[Found]:
    """Regions and images of the pictures that can be read; threads decode ahead."""
    make = partial(_make, root, size, max_words)
    with ThreadPoolExecutor() as pool, log.bar(title="images", total=len(pictures)) as bar:
        for start in range(0, len(pictures), AHEAD):
            for found, lost in pool.map(make, pictures[start : start + AHEAD]):
                bar.update()
                for reason in lost:
                    log.logger.warning("left out: %s", reason)
                if found:
                    yield found


def _make(
    root: Path, size: int, max_words: int, picture: Picture
) -> tuple[Found | None, list[str]]:
    """What is written of a picture, or nothing; and what is left out of it."""
    try:
        image = decode.load_whole(root / picture.file)
    except decode.Unreadable as error:
        return None, [f"{picture.file}: {error}"]
    photo = (image.shape[2], image.shape[1])
    regions = list(judged(picture, photo, tokenize, max_words))
    kept = [one for one in regions if not one.fault]
    lost = [f"{picture.file}: {one.fault}" for one in regions if one.fault]
    if not kept:
        return None, [*lost, f"{picture.file}: no region is left"]
    inner = resized(image, size).numpy()
    found = Regions(
        file=Path(picture.file).name,
        split=picture.split,
        size=photo,
        inner=(inner.shape[2], inner.shape[1]),
        boxes=[one.region.box for one in kept],
        words=[one.words for one in kept],
    )
    return (found, inner), lost
