"""``pictures.json``: one record type for every data set.

A *picture* is a record; an *image* is pixels. The file is ``{"counts", "root", "categories",
"pictures"}`` and a stamp; a record is ``{"id", "file", "split", "captions", "objects", "regions",
"width", "height"}``:

- ``counts``: ``{"pictures", "captions"}``; it comes first, for who plans a job's memory;
- ``root``: folder that every ``file`` is relative to;
- ``categories``: names by id, where the source numbers its objects' categories;
- ``id``: an integer where the source has one, else text; ``split``: train, val, test or extra;
- ``captions``: sentences as written, not tokenised;
- ``objects``: ``[{"category", "box", "crowd"}]``; ``regions``: ``[{"phrase", "box"}]``;
- ``width``, ``height``: pixels of the original image; 0 when the source does not say.

Boxes are [x, y, width, height] in pixels of the original image, top-left origin.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, StrictInt, StrictStr, TypeAdapter

from snakecap.formats.atomic import Id, checked, read_as, write_json
from snakecap.objects.object import Box, Object

ROOT = re.compile(rb'"root": ("(?:[^"\\]|\\.)*")')
FILE = re.compile(rb'"file": ("(?:[^"\\]|\\.)*")')
COUNTS = re.compile(rb'\{"counts": \{"pictures": (\d+), "captions": (\d+)\}')
SPLITS = ("train", "val", "test", "extra")


def _named(file: str) -> str:
    if not file:  # pydantic's own check of a length refuses names that are not UTF-8
        raise ValueError("a file has a name")
    return file


Pixels = Annotated[StrictInt, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Region:
    """One described region: a phrase and its box."""

    phrase: str
    box: Box


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a data set.

    Attributes:
        id, file: unique in the data set.
    """

    __pydantic_config__ = ConfigDict(revalidate_instances="always")

    id: Id
    file: Annotated[StrictStr, AfterValidator(_named)]
    split: Annotated[str, Field(pattern=f"^({'|'.join(SPLITS)})$")]
    captions: tuple[str, ...] = ()
    objects: tuple[Object, ...] = ()
    regions: tuple[Region, ...] = ()
    width: Pixels = 0
    height: Pixels = 0


@dataclass(frozen=True, slots=True)
class _File:
    root: str
    pictures: tuple[Picture, ...]
    categories: dict[int, str] = field(default_factory=dict)


_pictures, _file = TypeAdapter(tuple[Picture, ...]), TypeAdapter(_File)


def sized(picture: Picture, sizes: Mapping[str, tuple[int, int]]) -> Picture:
    """A picture with its width and height, from `sizes` by id where the record has none."""
    if picture.width and picture.height:
        return picture
    width, height = sizes.get(str(picture.id), (0, 0))
    return replace(picture, width=width, height=height)


@dataclass(frozen=True, slots=True)
class Collection:
    """A data set.

    Attributes:
        pictures: in the data set's order.
    """

    root: Path
    pictures: tuple[Picture, ...]
    categories: Mapping[int, str] = field(default_factory=dict)

    def split(self, *names: str) -> tuple[Picture, ...]:
        return tuple(picture for picture in self.pictures if picture.split in names)


def check(pictures: Sequence[Picture], source: str) -> None:
    """Check what every later step relies on.

    Raises:
        ValueError: an id, file or size that is none, repeated ids or files, or an unknown split;
            names the picture and `source`.
    """
    checked(pictures, _pictures, f"{source}: a picture is wrong")
    for attribute in ("id", "file"):
        values = Counter(str(getattr(picture, attribute)) for picture in pictures)
        if twice := next((value for value, count in values.items() if count > 1), None):
            raise ValueError(f"{source}: two pictures have the {attribute} {twice!r}")


def write(path: Path, collection: Collection, **stamp: Any) -> None:
    """Write ``pictures.json`` after checking it."""
    check(collection.pictures, str(path))
    said = sum(len(picture.captions) for picture in collection.pictures)
    counts = {"pictures": len(collection.pictures), "captions": said}
    head = {"counts": counts, "root": str(collection.root)}
    ids = {str(number): name for number, name in collection.categories.items()}
    # Of annotations a score would say nothing.
    unsaid: Any = {"__all__": {"objects": {"__all__": {"score"}}}}
    records = _pictures.dump_python(collection.pictures, exclude=unsaid)
    write_json(path, {**head, **stamp, "categories": ids, "pictures": records})


def counts(path: Path) -> tuple[int, int] | None:
    """How many pictures and captions a ``pictures.json`` holds, from its first bytes; or None."""
    with path.open("rb") as file:
        found = COUNTS.match(file.read(100))
    return (int(found[1]), int(found[2])) if found else None


def listed(path: Path) -> tuple[str, list[str]]:
    """The root and the pictures' files of a ``pictures.json``, by a tenth of the work of `read`.

    In a string of JSON no quotation mark stands without a backslash: nothing else looks like these.
    """
    text = path.read_bytes()
    [root] = ROOT.findall(text)
    return json.loads(root), json.loads(b"[%s]" % b",".join(FILE.findall(text)))


def read(path: Path, root: Path | None = None) -> Collection:
    """Read ``pictures.json``.

    Args:
        root: where the photos are now; null: where they were when it was written.

    Raises:
        ValueError: the file is not a ``pictures.json``; names it.
    """
    value = read_as(path, _file, "a pictures.json of snakecap")
    return Collection(root or Path(value.root), value.pictures, value.categories)


def references(pictures: Iterable[Picture]) -> dict[str, Any]:
    """COCO captions JSON of some pictures: what every scorer accepts."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for picture in pictures:
        images.append({"id": picture.id, "file_name": picture.file})
        for caption in picture.captions:
            number = len(annotations) + 1
            annotations.append({"id": number, "image_id": picture.id, "caption": caption})
    return {"images": images, "annotations": annotations}
