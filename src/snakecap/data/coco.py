"""COCO: captions JSON, instances JSON when given, one folder of images a split.

Fits the official folders of 2014 and 2017 and any set in COCO's format. Source: Lin et al.,
"Microsoft COCO: Common Objects in Context" (2014), and Chen et al., "Microsoft COCO Captions:
Data Collection and Evaluation Server" (2015).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from snakecap import log
from snakecap.data import splits as choosing
from snakecap.data.sources import existing, sentences
from snakecap.formats.atomic import read_json
from snakecap.formats.pictures import Collection, Picture
from snakecap.objects.categories import unambiguous
from snakecap.objects.object import Object

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
        splits: for each split, the publisher's name for it, ``{name}`` below; null: COCO 2014.
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
    pictures: list[Picture] = []
    categories: list[dict[int, str]] = []
    for split, name in sorted((splits or COCO_2014).items(), key=lambda item: ORDER.index(item[0])):
        folder = _filled(images, name, "images")
        said = _annotations(root, captions, name, "captions")
        seen = _annotations(root, instances, name, "instances")
        pictures += _pictures(split, folder, said, seen, uncaptioned)
        categories += [seen.numbered] if seen else []
    chosen = choosing.choose(
        root, pictures, ids=ids, karpathy=karpathy, num_val=num_val, num_test=num_test, seed=seed
    )
    return Collection(root, chosen, unambiguous(categories))


def sources(root: Path, given: Mapping[str, Any]) -> list[Path | str]:
    """What `read` reads; see `snakecap.provenance.identity.sources`."""
    names = (given["splits"] or COCO_2014).values()
    patterns = [(given[option], option) for option in ("captions", "instances") if given[option]]
    files = [
        root / _filled(pattern, name, option) for pattern, option in patterns for name in names
    ]
    return [*files, *choosing.sources(root, given)]


def _annotations(root: Path, pattern: str | None, name: str, option: str) -> _Annotations | None:
    return _Annotations(existing(root, _filled(pattern, name, option), option)) if pattern else None


def _filled(pattern: str, name: str, option: str) -> str:
    """The name of a split's file or folder."""
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
        texts = [_get(first.path, row, "caption") for row in captions.of(key)] if captions else []
        if not texts and captions and uncaptioned == "drop":
            continue
        silent = not texts and (captions is None or uncaptioned == "keep")
        yield Picture(
            id=key,
            file=f"{folder}/{_get(first.path, image, 'file_name')}".lstrip("/"),
            split=split,
            captions=() if silent else sentences(texts, key, first.path),
            objects=objects.get(key, ()),
            width=_whole(image.get("width") or 0),
            height=_whole(image.get("height") or 0),
        )


class _Annotations:
    """One annotation file: its images by id, and the annotations of each.

    Raises:
        ValueError: not COCO's format, a repeated image, or an annotation of an unknown image.
    """

    def __init__(self, path: Path):
        value = read_json(path)
        rows, images = _list(path, value, "annotations", []), _list(path, value, "images")
        self.path = path
        self.categories = {
            _key(path, row, "id"): _text(path, row, "name")
            for row in _list(path, value, "categories", [])
        }
        self.images: dict[Any, dict[str, Any]] = {}
        for image in images:
            if self.images.setdefault(_key(path, image, "id"), image) is not image:
                raise ValueError(f"{path}: two images have the id {image['id']!r}")
        self.rows: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            key = _key(path, row, "image_id")
            if key not in self.images:
                raise ValueError(
                    f"{path}: annotation {row.get('id')!r} is of the unknown image {key!r}"
                )
            self.rows[key].append(row)

    @property
    def numbered(self) -> dict[int, str]:
        """Names of the categories that have numbers, as results files give them."""
        return {key: name for key, name in self.categories.items() if isinstance(key, int)}

    def of(self, image: Any) -> list[dict[str, Any]]:
        """The annotations of one image, in the file's order."""
        return self.rows.get(image, [])


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


def _object(file: _Annotations, row: dict[str, Any]) -> Object:
    number, box = _key(file.path, row, "category_id"), _get(file.path, row, "bbox")
    if number not in file.categories:
        raise ValueError(f"{file.path}: annotation {row.get('id')!r} has no category {number!r}")
    numbers = isinstance(box, list) and all(type(edge) in (int, float) for edge in box)
    if not numbers or len(box) != 4:
        raise ValueError(f"{file.path}: annotation {row.get('id')!r} has the box {box!r}")
    x, y, width, height = map(float, box)
    crowd = bool(row.get("iscrowd", 0))
    return Object(file.categories[number], (x, y, width, height), crowd=crowd)


def _list(path: Path, value: Any, key: str, default: Any = None) -> list[Any]:
    found = _get(path, value, key, default)
    if not isinstance(found, list):
        raise ValueError(f"{path} is not in COCO's format: `{key}` is {str(found)[:80]}, no list")
    return found


def _key(path: Path, row: Any, key: str) -> Any:
    """An id, a whole number or text."""
    found = _whole(_get(path, row, key))
    if type(found) not in (int, str):
        raise ValueError(
            f"{path} is not in COCO's format: `{key}` is {str(found)[:80]} in {str(row)[:80]}"
        )
    return found


def _text(path: Path, row: Any, key: str) -> str:
    found = _get(path, row, key)
    if not isinstance(found, str):
        raise ValueError(f"{path} is not in COCO's format: `{key}` is {found!r}, no text")
    return found


def _whole(value: Any) -> Any:
    """7.0, as tables write numbers, is 7."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _get(path: Path, row: Any, key: str, default: Any = None) -> Any:
    """A field that COCO's format requires (unless it has a default)."""
    if not isinstance(row, dict) or (key not in row and default is None):
        shown = str(row)[:80]
        raise ValueError(f"{path} is not in COCO's format: no `{key}` in {shown}")
    return row.get(key, default)
