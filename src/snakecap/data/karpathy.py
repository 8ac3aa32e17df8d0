"""Karpathy's ``dataset_coco.json``, ``dataset_flickr8k.json`` and ``dataset_flickr30k.json``.

Source: Karpathy and Fei-Fei, "Deep Visual-Semantic Alignments" (2015): captions and splits in
one file. His COCO split keeps 5,000 + 5,000 of the official validation pictures for val and test;
the 30,504 others are "restval", which everybody since has trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from snakecap.data.sources import existing, sentences
from snakecap.formats.atomic import Id, read_as
from snakecap.formats.pictures import Collection, Picture


def read(
    root: Path,
    *,
    annotations: str | None = None,
    images: str = "",
    restval: Literal["train", "extra", "drop"] = "train",
) -> Collection:
    """Read one of Karpathy's files.

    Args:
        root: folder that the other names are relative to.
        annotations: the file; null: the only ``dataset_*.json`` in `root`.
        images: folder that each ``filepath``/``filename`` is relative to.
        restval: what becomes of the validation pictures that are in neither of his splits.

    Raises:
        FileNotFoundError: the file is missing; says what to set.
        ValueError: it is not one of his, or a picture has no captions; names it.
    """
    file = existing(root, annotations, "annotations") if annotations else _only(root)
    kept = [image for image in read_file(file) if (image["split"], restval) != ("restval", "drop")]
    return Collection(root, tuple(_picture(file, image, images, restval) for image in kept))


class _Sentence(TypedDict):
    raw: str


class Image(TypedDict):
    """One picture of his file."""

    filename: str
    split: Literal["train", "val", "test", "extra", "restval"]
    sentences: NotRequired[list[_Sentence]]
    filepath: NotRequired[str]
    imgid: NotRequired[Id]
    cocoid: NotRequired[Id]


class _File(TypedDict):
    images: Annotated[list[Image], Field(min_length=1)]


def read_file(file: Path) -> list[Image]:
    """The pictures of one of his files.

    Raises:
        ValueError: it is not one; names it and the entry.
    """
    return read_as(file, TypeAdapter(_File), "one of Karpathy's dataset_*.json")["images"]


def sources(root: Path, given: Mapping[str, Any]) -> list[Path | str]:
    """What `read` reads; see `snakecap.provenance.identity.sources`."""
    named = given["annotations"]
    return [root / named] if named else [*root.glob("dataset_*.json")]


def _only(root: Path) -> Path:
    found = sorted(root.glob("dataset_*.json"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise FileNotFoundError(
            f"{root} should hold one dataset_*.json and holds {names}: set `root` of the data "
            "set, or its option `annotations`"
        )
    return found[0]


def _picture(file: Path, image: Image, images: str, restval: str) -> Picture:
    name, said = image["filename"], [sentence["raw"] for sentence in image.get("sentences", [])]
    return Picture(
        id=image.get("cocoid", image.get("imgid", name)),
        file="/".join(part for part in (images, image.get("filepath"), name) if part),
        split=restval if image["split"] == "restval" else image["split"],
        captions=sentences(said, name, file),
    )
