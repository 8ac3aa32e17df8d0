"""COCO: captions JSON, instances JSON when given, one folder of images a split.

Fits the official folders of 2014 and 2017 and any set in COCO's format. Source: Lin et al.,
"Microsoft COCO: Common Objects in Context" (2014), and Chen et al., "Microsoft COCO Captions:
Data Collection and Evaluation Server" (2015).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from snakecap import log
from snakecap.data import splits as choosing
from snakecap.data.sources import existing, sentences
from snakecap.formats.atomic import Id, read_as
from snakecap.formats.pictures import Collection, Picture
from snakecap.objects.categories import unambiguous
from snakecap.objects.object import Box, Object

COCO_2014 = {"train": "train2014", "val": "val2014"}
ORDER = ("val", "train", "test", "extra")


def read(
    root: Path,
    *,
    splits: dict[Literal["train", "val", "test", "extra"], str] | None = None,
    captions: str | None = "annotations/captions_{name}.json",
    instances: str | None = None,
    images: str = "{name}",
    uncaptioned: Literal["error", "keep", "drop"] = "error",
    ids: str | None = None,
    karpathy: str | None = None,
    num_val: Annotated[int, Field(ge=0)] = 0,
    num_test: Annotated[int, Field(ge=0)] = 0,
    seed: int = 123,
) -> Collection:
    """Read a data set in COCO's format.

    Args:
        root: folder that the other names are relative to.
        splits: for each split, the publisher's name for it, ``{name}`` below; null: COCO 2014, or
            one file of all pictures, when no annotation file's name has a ``{name}``.
            Validation pictures are read first: NeuralTalk2's random split depends on that.
        captions: the captions file of a split; null: no captions, objects only.
        instances: the instances file of a split; null: no objects.
        images: the folder of a split's image files; "" when they are in `root` itself.
        uncaptioned: what to do with a picture of the captions file that has no caption.
        ids: file of ``{split: [ids]}`` that chooses pictures and their splits.
        karpathy: his ``dataset_coco.json``, for his split instead of the official one.
        num_val: pictures for validation in NeuralTalk2's random split, instead of the official one.
        num_test: pictures for testing in it; the rest is for training.
        seed: of it.

    Raises:
        FileNotFoundError: a file or folder is missing; says what to set.
        ValueError: a file is not in COCO's format; names it and the place.
    """
    if captions is None and instances is None:
        raise ValueError("coco: give `captions`, `instances`, or both")
    names: Mapping[Any, str] = splits or _names(captions, instances)
    pictures: list[Picture] = []
    categories: list[dict[int | str, str]] = []
    for split, name in sorted(names.items(), key=lambda item: ORDER.index(item[0])):
        folder = _filled(images, name, "images")
        said = _annotations(root, captions, name, "captions")
        seen = _annotations(root, instances, name, "instances")
        pictures += _pictures(split, folder, said, seen, uncaptioned)
        categories += [seen.categories] if seen else []
    chosen = choosing.choose(
        root, pictures, ids=ids, karpathy=karpathy, num_val=num_val, num_test=num_test, seed=seed
    )
    # Those that have numbers, as results files give them.
    numbered = [
        {key: name for key, name in one.items() if isinstance(key, int)} for one in categories
    ]
    return Collection(root, chosen, unambiguous(numbered))


def _names(*patterns: str | None) -> Mapping[str, str]:
    """COCO 2014's; a file that is for all pictures is read once, and split afterwards."""
    return COCO_2014 if any(pattern and "{" in pattern for pattern in patterns) else {"train": ""}


def sources(root: Path, given: Mapping[str, Any]) -> list[Path | str]:
    """What `read` reads; see `snakecap.provenance.identity.sources`."""
    names = (given["splits"] or _names(given["captions"], given["instances"])).values()
    patterns = [(given[option], option) for option in ("captions", "instances") if given[option]]
    files = [
        root / _filled(pattern, name, option) for pattern, option in patterns for name in names
    ]
    return [*files, *choosing.sources(root, given)]


def _annotations(root: Path, pattern: str | None, name: str, option: str) -> _Annotations | None:
    if not pattern:
        return None
    return _Annotations(existing(root, _filled(pattern, name, option), option), FILES[option])


def _filled(pattern: str, name: str, option: str) -> str:
    try:
        return pattern.format(name=name)
    except (LookupError, ValueError, AttributeError, TypeError):
        raise ValueError(
            f"the option {option} is {pattern!r}: {{name}} alone is filled in"
        ) from None


def _pictures(
    split: str,
    folder: str,
    captions: _Annotations | None,
    instances: _Annotations | None,
    uncaptioned: str,
) -> Iterator[Picture]:
    """The pictures of one split, in the order of the captions (else the instances) file."""
    objects = _objects(instances) if instances else {}
    first = captions or instances
    assert first is not None, "read() asks for at least one"
    if captions and instances:
        _check_same(captions, instances)
    for key, image in first.images.items():
        texts = [row["caption"] for row in captions.rows.get(key, ())] if captions else []
        if not texts and captions and uncaptioned == "drop":
            continue
        silent = not texts and (captions is None or uncaptioned == "keep")
        yield Picture(
            id=key,
            file=f"{folder}/{image['file_name']}".lstrip("/"),
            split=split,
            captions=() if silent else sentences(texts, key, first.path),
            objects=objects.get(key, ()),
            width=image.get("width") or 0,
            height=image.get("height") or 0,
        )


class _Image(TypedDict):
    id: Id
    file_name: str
    width: NotRequired[int | None]
    height: NotRequired[int | None]


class _Category(TypedDict):
    id: Id
    name: str


class _Caption(TypedDict):
    image_id: Id
    caption: str
    id: NotRequired[Any]


class _Instance(TypedDict):
    image_id: Id
    category_id: Id
    bbox: Box
    iscrowd: NotRequired[bool]
    id: NotRequired[Any]


class _Images(TypedDict):
    images: list[_Image]


class _Captions(_Images):
    annotations: NotRequired[list[_Caption]]


class _Instances(_Images):
    annotations: NotRequired[list[_Instance]]
    categories: NotRequired[list[_Category]]


IMAGES = TypeAdapter(_Images)
FILES: dict[str, TypeAdapter[Any]] = {
    "captions": TypeAdapter(_Captions),
    "instances": TypeAdapter(_Instances),
}


class _Annotations:
    """One annotation file: its images by id, and the annotations of each.

    Raises:
        ValueError: not COCO's format, a repeated image, or an annotation of an unknown image.
    """

    def __init__(self, path: Path, kind: TypeAdapter[Any]):
        self.path, content = path, read_as(path, kind, "in COCO's format")
        self.categories = {row["id"]: row["name"] for row in content.get("categories", [])}
        self.images = {image["id"]: image for image in content["images"]}
        if len(self.images) < len(content["images"]):
            twice, _ = Counter(image["id"] for image in content["images"]).most_common(1)[0]
            raise ValueError(f"{path}: two images have the id {twice!r}")
        self.rows: dict[int | str, list[Any]] = defaultdict(list)
        for row in content.get("annotations", []):
            self.rows[row["image_id"]].append(row)
        if unknown := next((key for key in self.rows if key not in self.images), None):
            number = self.rows[unknown][0].get("id")
            raise ValueError(f"{path}: annotation {number!r} is of the unknown image {unknown!r}")


def _check_same(captions: _Annotations, instances: _Annotations) -> None:
    """Compare the pictures that have objects with those that have captions.

    Raises:
        ValueError: no picture is in both.
    """
    odd = [key for key in instances.rows if key not in captions.images]
    if not odd:
        return
    some = ", ".join(map(repr, odd[:5]))
    if len(odd) == len(instances.rows):
        raise ValueError(
            f"{instances.path} is of other pictures than {captions.path}: no image id is in both; "
            f"those with objects are {some}, ..."
        )
    log.logger.warning(
        "%s has objects of %d pictures that are not in %s (%s): they are left out",
        instances.path,
        len(odd),
        captions.path,
        some,
    )


def _objects(file: _Annotations) -> dict[Any, tuple[Object, ...]]:
    return {image: tuple(_object(file, row) for row in rows) for image, rows in file.rows.items()}


def _object(file: _Annotations, row: _Instance) -> Object:
    category = row["category_id"]
    if category not in file.categories:
        raise ValueError(f"{file.path}: annotation {row.get('id')!r} has no category {category!r}")
    return Object(file.categories[category], row["bbox"], crowd=row.get("iscrowd", False))
