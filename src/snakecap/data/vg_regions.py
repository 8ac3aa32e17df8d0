"""Visual Genome's regions: phrases with boxes; each phrase is a caption of the whole picture too.

Source: Krishna et al., "Visual Genome", 2016: ``region_descriptions.json``, ``[{"id", "regions":
[{"phrase", "x", "y", "width", "height"}]}]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from snakecap.data import splits
from snakecap.data.sources import existing, found_in
from snakecap.formats.atomic import Id, read_as
from snakecap.formats.pictures import Collection, Picture, Region


class _Region(TypedDict):
    phrase: str
    x: float
    y: float
    width: float
    height: float


class _Image(TypedDict):
    regions: list[_Region]
    id: NotRequired[Id]
    image_id: NotRequired[Id]


def read(
    root: Path,
    *,
    annotations: str = "region_descriptions.json",
    images: tuple[str, ...] = ("VG_100K", "VG_100K_2"),
    ids: str | None = None,
    num_val: Annotated[int, Field(ge=0)] = 0,
    num_test: Annotated[int, Field(ge=0)] = 0,
    seed: int = 123,
) -> Collection:
    """Read Visual Genome's region descriptions; pictures without any are left out.

    Args:
        root: folder that the other names are relative to.
        annotations: the regions.
        images: folders of ``<id>.jpg``.
        ids: file of ``{split: [ids]}``, such as DenseCap's ``densecap_splits.json``.
        num_val: pictures for validation, at random, instead.
        num_test: pictures for testing; the rest is for training.
        seed: of the random split.

    Raises:
        FileNotFoundError: a file is missing; says what to set.
        ValueError: a file is not of its form; names it.
    """
    file = existing(root, annotations, "annotations")
    rows = read_as(file, TypeAdapter(list[_Image]), "Visual Genome's region descriptions")
    pictures = [_picture(root, file, row, images) for row in rows]
    chosen = splits.choose(root, pictures, ids=ids, num_val=num_val, num_test=num_test, seed=seed)
    return Collection(root, tuple(picture for picture in chosen if picture.captions))


def sources(root: Path, given: Mapping[str, Any]) -> list[Path | str]:
    """What `read` reads; see `snakecap.provenance.identity.sources`."""
    return [root / name for name in (given["annotations"], given["ids"]) if name]


def _picture(root: Path, file: Path, row: _Image, images: tuple[str, ...]) -> Picture:
    key = row.get("image_id", row.get("id"))
    if key is None:
        raise ValueError(f"{file}: a picture has neither id nor image_id")
    regions = tuple(
        Region(one["phrase"].strip(), (one["x"], one["y"], one["width"], one["height"]))
        for one in row["regions"]
        if one["phrase"].strip()
    )
    return Picture(
        id=key,
        file=found_in(root, images, f"{key}.jpg"),
        split="train",
        captions=tuple(region.phrase for region in regions),
        regions=regions,
    )
