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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from snakecap.formats.atomic import read_json, write_json
from snakecap.objects.object import Box, Object

ROOT = re.compile(rb'"root": ("(?:[^"\\]|\\.)*")')
FILE = re.compile(rb'"file": ("(?:[^"\\]|\\.)*")')
COUNTS = re.compile(rb'\{"counts": \{"pictures": (\d+), "captions": (\d+)\}')
SPLITS = ("train", "val", "test", "extra")


@dataclass(frozen=True, slots=True)
class Region:
    """One described region: a phrase and its box."""

    phrase: str
    box: Box


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a data set.

    Attributes:
        id: unique in the data set; an integer where the source has one.
        file: path of the image file, relative to the collection's root; unique in the data set.
        split: one of `SPLITS`.
        captions: sentences as written, not tokenised.
        width, height: pixels; 0 when the source does not say.
    """

    id: int | str
    file: str
    split: str
    captions: tuple[str, ...] = ()
    objects: tuple[Object, ...] = ()
    regions: tuple[Region, ...] = ()
    width: int = 0
    height: int = 0


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
        root: the folder that the pictures' files are in.
        pictures: in the data set's order.
        categories: names by the ids that the source has for them; empty when it has none.
    """

    root: Path
    pictures: tuple[Picture, ...]
    categories: Mapping[int, str] = field(default_factory=dict)

    def split(self, *names: str) -> tuple[Picture, ...]:
        """The pictures of some splits, in order."""
        return tuple(picture for picture in self.pictures if picture.split in names)


def check(pictures: Sequence[Picture], source: str) -> None:
    """Check what every later stage relies on.

    Raises:
        ValueError: an id, file or size that is none, repeated ids or files, or an unknown split;
            names the picture and `source`.
    """
    for picture in pictures:
        _check_types(picture, source)
    for attribute in ("id", "file"):
        seen: set[Any] = set()
        for picture in pictures:
            value = str(getattr(picture, attribute))
            if value in seen:
                raise ValueError(f"{source}: two pictures have the {attribute} {value!r}")
            seen.add(value)
    for picture in pictures:
        if picture.split not in SPLITS:
            raise ValueError(
                f"{source}: picture {picture.id} has split {picture.split!r}, not one of {SPLITS}"
            )


def _check_types(picture: Picture, source: str) -> None:
    sizes = picture.width, picture.height
    rules = {
        "id": (picture.id, type(picture.id) in (int, str), "a whole number or text"),
        "file": (picture.file, type(picture.file) is str and picture.file != "", "a file's name"),
        "size": (sizes, all(type(n) is int and n >= 0 for n in sizes), "in whole pixels"),
    }
    for name, (value, right, wanted) in rules.items():
        if not right:
            raise ValueError(
                f"{source}: the {name} of picture {picture.id!r} ({picture.file}), "
                f"{str(value)[:80]}, is not {wanted}"
            )


def write(path: Path, collection: Collection, **stamp: Any) -> None:
    """Write ``pictures.json`` after checking it."""
    check(collection.pictures, str(path))
    records = [asdict(picture) for picture in collection.pictures]
    for record in records:
        for row in record["objects"]:
            del row["score"]  # of annotations it would say nothing
    counts = {"pictures": len(records), "captions": sum(len(r["captions"]) for r in records)}
    head = {"counts": counts, "root": str(collection.root)}
    ids = {str(number): name for number, name in collection.categories.items()}
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
        path: of the file.
        root: where the photos are now; null: where they were when it was written.

    Raises:
        ValueError: the file is not a ``pictures.json``; names it.
    """
    value = read_json(path)
    try:
        records = tuple(_picture(record) for record in value["pictures"])
        ids = {int(number): name for number, name in value.get("categories", {}).items()}
        return Collection(root or Path(value["root"]), records, ids)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is not a pictures.json of snakecap: {error!r}") from None


def _picture(record: dict[str, Any]) -> Picture:
    objects = tuple(
        Object(o["category"], tuple(o["box"]), crowd=o["crowd"]) for o in record["objects"]
    )
    regions = tuple(Region(r["phrase"], tuple(r["box"])) for r in record["regions"])
    captions = tuple(record["captions"])
    return Picture(**{**record, "captions": captions, "objects": objects, "regions": regions})


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
