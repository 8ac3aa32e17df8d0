"""Karpathy's ``dataset_coco.json``, ``dataset_flickr8k.json`` and ``dataset_flickr30k.json``.

Source: Karpathy and Fei-Fei, "Deep Visual-Semantic Alignments" (2015): captions and splits in
one file. His COCO split keeps 5,000 + 5,000 of the official validation pictures for val and test;
the 30,504 others are "restval", which everybody since has trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from snakecap.data.sources import existing, sentences
from snakecap.formats.atomic import read_json
from snakecap.formats.pictures import SPLITS, Collection, Picture


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
    try:
        rows = read_json(file)["images"]
        pictures = [_picture(file, row, images, restval) for row in rows]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{file} is not one of Karpathy's dataset_*.json: {error!r}") from None
    return Collection(root, tuple(p for p in pictures if p.split != "drop"))


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


def _picture(file: Path, row: dict[str, Any], images: str, restval: str) -> Picture:
    split = restval if row["split"] == "restval" else row["split"]
    if split not in (*SPLITS, "drop"):
        raise ValueError(f"{file}: picture {row['filename']!r} has the split {split!r}")
    parts = (images, row.get("filepath", ""), row["filename"])
    texts = [sentence["raw"] for sentence in row["sentences"]]
    return Picture(
        id=row.get("cocoid", row["imgid"]),
        file="/".join(part for part in parts if part),
        split=split,
        captions=sentences(texts, row["filename"], file),
    )
