"""Visual Genome's regions: phrases with boxes; each phrase is a caption of the whole picture too.

Source: Krishna et al., "Visual Genome", 2016: ``region_descriptions.json``, ``[{"id", "regions":
[{"phrase", "x", "y", "width", "height"}]}]``, and ``image_data.json``, ``[{"image_id", "url",
"width", "height"}]``. Release 1.0 says ``id`` in the second, 1.2 ``image_id``: either is read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from snakecap.config.base import Split
from snakecap.data import splits
from snakecap.data.sources import existing, found_in
from snakecap.formats.atomic import Id, read_as
from snakecap.formats.pictures import Collection, Picture, Region
from snakecap.log import logger


class _Region(TypedDict):
    phrase: str
    x: float
    y: float
    width: float
    height: float


class _Keyed(TypedDict):
    id: NotRequired[Id]
    image_id: NotRequired[Id]


class _Image(_Keyed):
    regions: list[_Region]


class _Data(_Keyed):
    url: str
    width: int
    height: int


class _Photo(NamedTuple):
    file: str
    width: int = 0
    height: int = 0


def read(
    root: Path,
    *,
    annotations: str | tuple[str, ...] = "region_descriptions.json",
    images: tuple[str, ...] = ("VG_100K", "VG_100K_2"),
    image_data: str | tuple[str, ...] = (),
    ids: str | None = None,
    num_val: Annotated[int, Field(ge=0)] = 0,
    num_test: Annotated[int, Field(ge=0)] = 0,
    seed: int = 123,
) -> Collection:
    """Read Visual Genome's region descriptions; pictures without any are left out.

    Args:
        root: folder that the other names are relative to.
        annotations: the regions, in one file or several.
        images: folders of ``<id>.jpg``.
        image_data: ``image_data.json``, or several: sizes, and by their URLs the folders of images;
            a URL without a host is relative to the file.
        ids: file of ``{split: [ids]}``, such as DenseCap's ``densecap_splits.json``; ids of no
            picture are counted and ignored.
        num_val: pictures for validation, at random, instead.
        num_test: pictures for testing; the rest is for training.
        seed: of the random split.

    Raises:
        FileNotFoundError: a file is missing; says what to set.
        ValueError: a file is not of its form; names it.
    """
    photos = {key: photo for name in _listed(image_data) for key, photo in _photos(root, name)}
    pictures: list[Picture] = []
    for name in _listed(annotations):
        file = existing(root, name, "annotations")
        rows = read_as(file, TypeAdapter(list[_Image]), "Visual Genome's region descriptions")
        pictures += (_picture(root, file, row, images, photos) for row in rows)
    if ids:
        chosen = _by_ids(pictures, existing(root, ids, "ids"))
    else:
        chosen = splits.choose(root, pictures, num_val=num_val, num_test=num_test, seed=seed)
    return Collection(root, tuple(picture for picture in chosen if picture.captions))


def sources(root: Path, given: Mapping[str, Any]) -> list[Path | str]:
    """What `read` reads; see `snakecap.provenance.identity.sources`."""
    names = (*_listed(given["annotations"]), *_listed(given["image_data"]), given["ids"])
    return [root / name for name in names if name]


def _listed(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _key(row: _Keyed, file: Path) -> int | str:
    key = row.get("image_id", row.get("id"))
    if key is None:
        raise ValueError(f"{file}: a picture has neither id nor image_id")
    return key


def _photos(root: Path, name: str) -> list[tuple[str, _Photo]]:
    """Where photos are and how large, by id."""
    file = existing(root, name, "image_data")
    rows = read_as(file, TypeAdapter(list[_Data]), "Visual Genome's image_data.json")
    found = []
    for row in rows:
        _, host, path = row["url"].partition("://")
        place = "/".join(path.split("/")[-2:]) if host else str(Path(name).parent / row["url"])
        photo = _Photo(os.path.normpath(place), row["width"], row["height"])
        found.append((str(_key(row, file)), photo))
    return found


def _picture(
    root: Path, file: Path, row: _Image, images: tuple[str, ...], photos: Mapping[str, _Photo]
) -> Picture:
    key = _key(row, file)
    photo = photos.get(str(key)) or _Photo(found_in(root, images, f"{key}.jpg"))
    regions = tuple(
        Region(one["phrase"].strip(), (one["x"], one["y"], one["width"], one["height"]))
        for one in row["regions"]
        if one["phrase"].strip()
    )
    return Picture(
        id=key,
        split="train",
        captions=tuple(region.phrase for region in regions),
        regions=regions,
        **photo._asdict(),
    )


def _by_ids(pictures: Sequence[Picture], file: Path) -> tuple[Picture, ...]:
    lists = read_as(file, TypeAdapter(dict[Split, list[Id]]), "{split: [ids]}")
    there = {str(picture.id) for picture in pictures}
    pairs = [(one, split) for split in lists for one in lists[split]]
    known = [pair for pair in pairs if str(pair[0]) in there]
    if pairs and not known:
        raise ValueError(f"{file} lists no picture of the data set: is it another's split?")
    if len(known) < len(pairs):
        logger.warning("%s: %d ids are of no picture", file, len(pairs) - len(known))
    return splits.assign(pictures, known, "id", file)
