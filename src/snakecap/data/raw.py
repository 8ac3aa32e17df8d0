"""NeuralTalk2's raw JSON: ``[{"file_path", "captions", "id"?}]`` (coco_preprocess.ipynb)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from snakecap.data import splits
from snakecap.data.sources import existing, sentences
from snakecap.formats.atomic import Id, read_as
from snakecap.formats.pictures import Collection, Picture

NAMES = ("coco_raw.json", "raw.json")


class _Entry(TypedDict):
    file_path: str
    captions: NotRequired[list[str]]
    id: NotRequired[Id]


def read(
    root: Path,
    *,
    annotations: str | None = None,
    images: str = "",
    ids: str | None = None,
    karpathy: str | None = None,
    num_val: Annotated[int, Field(ge=0)] = 5000,
    num_test: Annotated[int, Field(ge=0)] = 5000,
    seed: int = 123,
    by_path: bool = False,
) -> Collection:
    """Read NeuralTalk2's raw JSON and split it as its prepro.py did.

    Args:
        root: folder that the other names are relative to.
        annotations: the JSON file; null: coco_raw.json or raw.json.
        images: folder that each ``file_path`` is relative to (prepro.py's --images_root).
        ids: file of ``{split: [ids]}`` instead of the random split.
        karpathy: his ``dataset_*.json`` instead of the random split.
        num_val: pictures for validation; NeuralTalk2's README took 5,000 of COCO.
        num_test: pictures for testing; the rest is for training.
        seed: of the random split; prepro.py's was 123.
        by_path: OBJ2TEXT's split (prepro_obj2text.py) instead of the random one: val2014 in the
            path is for validation, test2014 for testing, all else for training.

    Raises:
        FileNotFoundError: the file is missing; says what to set.
        ValueError: it is not of this form, or a picture has no captions; names it.
    """
    file = existing(root, annotations or NAMES, "annotations")
    entries = read_as(file, TypeAdapter(list[_Entry]), "NeuralTalk2's raw JSON")
    pictures = [_picture(file, entry, at, images) for at, entry in enumerate(entries, start=1)]
    if ids or karpathy or by_path:
        num_val = num_test = 0
    if by_path:
        pictures = [replace(picture, split=_split(picture.file)) for picture in pictures]
    chosen = splits.choose(
        root, pictures, ids=ids, karpathy=karpathy, num_val=num_val, num_test=num_test, seed=seed
    )
    return Collection(root, chosen)


def sources(root: Path, given: Mapping[str, Any]) -> list[Path | str]:
    """What `read` reads; see `snakecap.provenance.identity.sources`."""
    names = [given["annotations"]] if given["annotations"] else NAMES
    found = [root / name for name in names if (root / name).is_file()][:1]
    return [*found, *splits.sources(root, given)]


def _split(path: str) -> str:
    return "val" if "val2014" in path else "test" if "test2014" in path else "train"


def _picture(file: Path, entry: _Entry, position: int, images: str) -> Picture:
    path = entry["file_path"]
    return Picture(
        id=entry.get("id", position),
        file=f"{images}/{path}" if images else path,
        split="train",
        captions=sentences(entry.get("captions", []), path, file),
    )


def rows(pictures: Iterable[Picture]) -> list[dict[str, Any]]:
    """NeuralTalk2's raw JSON: validation pictures first, then training, as its notebook."""
    order = ("val", "train", "test", "extra")
    return [
        {"file_path": picture.file, "id": picture.id, "captions": list(picture.captions)}
        for picture in sorted(pictures, key=lambda picture: order.index(picture.split))
    ]
