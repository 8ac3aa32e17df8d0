"""Visual Genome's own files, of version 1.0 (``id``) and of 1.2 (``image_id``).

Source: Krishna et al., "Visual Genome", 2016. ``region_descriptions.json`` is ``[{"id", "regions":
[{"phrase", "x", "y", "width", "height"}]}]``, ``image_data.json`` ``[{"id", "width", "height"}]``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AliasChoices, BaseModel, Field, StrictStr, TypeAdapter

from snakecap.formats.atomic import Id, read_as
from snakecap.formats.pictures import Region

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _Numbered(BaseModel):
    image: Id = Field(validation_alias=AliasChoices("id", "image_id"))


class _Region(BaseModel):
    phrase: StrictStr
    x: Number
    y: Number
    width: Number
    height: Number


class _Described(_Numbered):
    regions: list[_Region]


class _Sized(_Numbered):
    width: int
    height: int


_described, _sized = TypeAdapter(list[_Described]), TypeAdapter(list[_Sized])
Row = TypeVar("Row", bound=_Numbered)


def regions(path: Path) -> dict[str, tuple[Region, ...]]:
    """The regions of each image, as the file has them, by its id.

    Raises:
        ValueError: no such file, or an image twice; names the file and the entry.
    """
    rows = read_as(path, _described, "Visual Genome's region descriptions")
    return {
        str(row.image): tuple(
            Region(one.phrase, (one.x, one.y, one.width, one.height)) for one in row.regions
        )
        for row in _once(rows, path)
    }


def sizes(path: Path) -> dict[str, tuple[int, int]]:
    """Width and height in pixels of each image, by its id.

    Raises:
        ValueError: no such file, or an image twice; names the file and the entry.
    """
    rows = read_as(path, _sized, "Visual Genome's image data")
    return {str(row.image): (row.width, row.height) for row in _once(rows, path)}


def _once(rows: Sequence[Row], path: Path) -> Sequence[Row]:
    counts = Counter(str(row.image) for row in rows)
    if twice := [key for key, count in counts.items() if count > 1]:
        raise ValueError(f"{path} has the image {twice[0]} more than once")
    return rows
