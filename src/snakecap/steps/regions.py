"""The regions that a dense captioner learns (the filters of DenseCap's preprocess.py)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated

from snakecap import log, registry
from snakecap.config.data import Phrases
from snakecap.data.regions import Size, learnt
from snakecap.formats import decode, rejected
from snakecap.formats import pictures as records
from snakecap.formats.pictures import Collection, Picture
from snakecap.provenance import code
from snakecap.provenance.identity import Output, Photos, step

Look = tuple[Size, str]  # a photo's size, and the checksum of its pixels


@step
def regions(
    *,
    pictures: Annotated[Path, Photos],
    regions: Annotated[Path, Output],
    left_out: Annotated[Path, Output],
    settings: Phrases = Phrases(),
    root: Path | None = None,
    workers: int | None = None,
) -> None:
    """Keep the regions that can be learnt, whose phrases become captions, and name the others.

    Left out are photos that cannot be read, pictures without a region, phrases of no word or too
    many, and boxes without a pixel inside their photo. Boxes come out in pixels of the photo.

    Args:
        pictures: pictures.json
        regions: the pictures.json of what is kept
        left_out: a .tsv of the rest: file, reason
        settings: tokenizer, and the longest phrase
        root: folder of the photos; null: the root in pictures.json
        workers: threads that decode; null: a few more than CPUs

    Raises:
        FileNotFoundError: the folder of the photos is missing.
        ValueError: nothing is left for training.
    """
    collection = records.read(pictures, root)
    if not collection.root.is_dir():
        raise FileNotFoundError(f"{collection.root}, the root in {pictures}, is not a folder")
    tokenize = registry.load("tokenizer", settings.tokenizer)
    kept: list[Picture] = []
    lost: list[tuple[str, str]] = []
    pixels = hashlib.sha256()
    for picture, look in _looked_at(collection, workers):
        if isinstance(look, str):
            lost.append((picture.file, look))
            continue
        size, checksum = look
        found, faults = learnt(picture, size, tokenize, settings.max_length)
        lost += [(picture.file, fault) for fault in faults]
        if found.regions:
            kept.append(found)
            pixels.update(f"{found.file}\0{checksum}\n".encode(errors="replace"))
        else:
            lost.append((picture.file, "no regions"))
    if not any(picture.split == "train" for picture in kept):
        some = "; ".join(f"{file}: {reason}" for file, reason in lost[:3])
        raise ValueError(f"{pictures}: no region is left for training: {some or 'none was there'}")
    rejected.write(left_out, lost)
    # Of the photos, so that what is trained on others has another identity.
    new = Collection(collection.root, tuple(kept), collection.categories)
    records.write(regions, new, **code.stamp(photos=pixels.hexdigest()))
    number = sum(len(picture.regions) for picture in kept)
    log.logger.info("%d pictures with %d regions", len(kept), number)
    if lost:
        log.logger.warning("left out: %d; %s; all in %s", len(lost), ": ".join(lost[0]), left_out)


def _looked_at(collection: Collection, workers: int | None) -> Iterator[tuple[Picture, Look | str]]:
    """Each picture, and its photo or why that cannot be read."""
    pictures = collection.pictures
    with ThreadPoolExecutor(workers) as pool:
        looks = pool.map(partial(_look, collection.root), pictures)
        both = zip(pictures, looks, strict=True)
        yield from log.progress(both, title="regions", total=len(pictures), unit="picture")


def _look(root: Path, picture: Picture) -> Look | str:
    if not picture.regions:
        return "no regions"
    try:
        image = decode.load_whole(root / picture.file)
    except decode.Unreadable as error:
        return str(error)
    return (image.shape[2], image.shape[1]), hashlib.sha256(image.tobytes()).hexdigest()
