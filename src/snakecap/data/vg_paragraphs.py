"""Visual Genome's paragraphs: a paragraph, of some sentences, is a caption.

Source: Krause et al., "A Hierarchical Approach for Generating Descriptive Image Paragraphs", CVPR
2017: ``paragraphs_v1.json``, ``[{"image_id", "paragraph"}]``, and lists of ids for the splits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from snakecap.data.sources import existing, found_in, sentences
from snakecap.formats.atomic import Id, read_as
from snakecap.formats.pictures import Collection, Picture

LISTS = {"train": "train_split.json", "val": "val_split.json", "test": "test_split.json"}


class _Paragraph(TypedDict):
    image_id: Id
    paragraph: str


def read(
    root: Path,
    *,
    annotations: str = "paragraphs_v1.json",
    images: tuple[str, ...] = ("VG_100K", "VG_100K_2"),
    lists: dict[Literal["train", "val", "test", "extra"], str] | None = None,
) -> Collection:
    """Read Visual Genome's paragraphs.

    Args:
        root: folder that the other names are relative to.
        annotations: the paragraphs.
        images: folders of ``<id>.jpg``.
        lists: for each split a file with a list of ids; null: train_split.json, ... Pictures in
            none of them are left out; with {} all are for training.

    Raises:
        FileNotFoundError: a file is missing; says what to set.
        ValueError: a file is not of its form, or a picture is in two splits; names it.
    """
    file = existing(root, annotations, "annotations")
    said: dict[Any, list[str]] = {}
    for row in read_as(file, TypeAdapter(list[_Paragraph]), "Visual Genome's paragraphs"):
        said.setdefault(row["image_id"], []).append(row["paragraph"])  # some have two
    splits: dict[Any, str] = {} if lists != {} else dict.fromkeys(said, "train")
    for split, name in (LISTS if lists is None else lists).items():
        path = existing(root, name, "lists")
        keys = read_as(path, TypeAdapter(list[Id]), "a list of ids")
        if said.keys().isdisjoint(keys):
            raise ValueError(f"{path} lists no picture of {file}")
        for key in keys:
            if splits.setdefault(key, split) != split:
                raise ValueError(f"{path}: {key!r} is in {splits[key]!r} too")
    pictures = (
        Picture(
            id=key,
            file=found_in(root, images, f"{key}.jpg"),
            split=splits[key],
            captions=sentences(texts, key, file),
        )
        for key, texts in said.items()
        if key in splits
    )
    return Collection(root, tuple(pictures))


def sources(root: Path, given: Mapping[str, Any]) -> list[Path | str]:
    """What `read` reads; see `snakecap.provenance.identity.sources`."""
    lists = LISTS if given["lists"] is None else given["lists"]
    return [root / given["annotations"], *(root / name for name in lists.values())]
