"""VIST, stories about five photos each: here every photo is a picture, its sentences its captions.

Source: Huang et al., "Visual Storytelling", NAACL 2016: ``{"annotations": [[{"photo_flickr_id",
"text"}]]}``. Known deviation: DeepCaption read a story, several photos and one text, which no
model there or here can use.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from snakecap.data.sources import existing, sentences
from snakecap.formats.atomic import Id, read_as
from snakecap.formats.decode import is_image
from snakecap.formats.pictures import Collection, Picture
from snakecap.log import logger

FILES = {
    "train": "train.story-in-sequence.json",
    "val": "val.story-in-sequence.json",
    "test": "test.story-in-sequence.json",
}


class _Line(TypedDict):
    photo_flickr_id: Id
    text: str


class _File(TypedDict):
    annotations: list[list[_Line]]


def read(
    root: Path,
    *,
    splits: dict[Literal["train", "val", "test", "extra"], str] | None = None,
    images: str | None = "images",
) -> Collection:
    """Read VIST; photos whose file is gone from Flickr are left out.

    Args:
        root: folder that the other names are relative to.
        splits: the file of each split; null: train.story-in-sequence.json, ...
        images: folder of the photos, ``<id>.jpg`` or another ending; null: they are not looked for.

    Raises:
        FileNotFoundError: a file or the folder is missing; says what to set.
        ValueError: a file is not of its form, or a photo is in two splits; names it.
    """
    files = None
    if images is not None:
        found = existing(root, images, "images")
        prefix = f"{images.rstrip('/')}/" if images else ""
        files = {path.stem: prefix + path.name for path in _photos(found)}
    pictures: list[Picture] = []
    for split, name in (splits or FILES).items():
        path = existing(root, name, "splits")
        said: dict[Any, list[str]] = {}
        for line in read_as(path, TypeAdapter(_File), "a file of VIST")["annotations"]:
            for one in line:
                said.setdefault(one["photo_flickr_id"], []).append(one["text"])
        there = said if files is None else [key for key in said if str(key) in files]
        if gone := len(said) - len(there):
            logger.warning("%s: %d of %d photos are not in %s", path, gone, len(said), images)
        for key in there:
            file = files[str(key)] if files else f"{key}.jpg"
            pictures.append(Picture(key, file, split, sentences(said[key], key, path)))
    return Collection(root, tuple(pictures))


def sources(root: Path, given: Mapping[str, Any]) -> list[Path | str]:
    """What `read` reads; see `snakecap.provenance.identity.sources`."""
    photos = [] if given["images"] is None else _photos(root / given["images"])
    files = [root / name for name in (given["splits"] or FILES).values()]
    return [*files, *(path.name for path in photos)]


def _photos(folder: Path) -> list[Path]:
    return sorted(filter(is_image, folder.iterdir()))
