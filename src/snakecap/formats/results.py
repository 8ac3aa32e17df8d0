"""COCO captions as files: results ``[{"image_id", "caption"}]`` and references.

References are COCO's annotations: ``{"images": [{"id"}], "annotations": [{"image_id",
"caption"}]}``. Ids are integers or strings; 17 and "17" are the same image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NotRequired

from pydantic import StrictStr, TypeAdapter
from typing_extensions import TypedDict

from snakecap.formats.atomic import Id, checked, json_text, read_as, write_text

SHOWN = 10  # ids in a message
RESULTS = 'COCO results: [{"image_id": ..., "caption": ...}]'
REFERENCES = (
    'a COCO captions file: {"images": [{"id": ...}], '
    '"annotations": [{"image_id": ..., "caption": ...}]}'
)


class _Caption(TypedDict):
    image_id: Id
    caption: StrictStr


class _Image(TypedDict):
    id: Id


class _References(TypedDict):
    annotations: list[_Caption]
    images: NotRequired[list[_Image]]


_results = TypeAdapter(list[_Caption])
_references = TypeAdapter(_References)


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write results, a line each; a row has at least ``image_id`` and ``caption``.

    Raises:
        ValueError: as `read_captions`, before anything is written.
    """
    content = [dict(row) for row in rows]
    _by_image(checked(content, _results, f"{path} is not {RESULTS}"), path)
    write_text(path, "[\n" + ",\n".join(map(json_text, content)) + "\n]\n")


def read_captions(path: Path) -> dict[str, str]:
    """Read results as one caption for each image id, in the file's order.

    Raises:
        ValueError: not a list of captions, a wrong type, or two captions of one image.
    """
    return _by_image(read_as(path, _results, RESULTS), path)


def _by_image(rows: list[_Caption], path: Path) -> dict[str, str]:
    _refuse_twice((row["image_id"] for row in rows), f"{path}: images with more than one caption")
    return {str(row["image_id"]): row["caption"] for row in rows}


def read_references(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the captions of each image, in the order of the file's images.

    Images without captions have an empty tuple. A file without ``images``, or with captions of
    images that are not among them, has those images at the end.

    Raises:
        ValueError: not a COCO captions file, a wrong type, or an image listed twice.
    """
    content = read_as(path, _references, REFERENCES)
    images = [image["id"] for image in content.get("images", [])]
    _refuse_twice(images, f"{path}: images listed more than once")
    found: dict[str, list[str]] = {str(key): [] for key in images}
    for row in content["annotations"]:
        found.setdefault(str(row["image_id"]), []).append(row["caption"])
    return {key: tuple(captions) for key, captions in found.items()}


def _refuse_twice(ids: Iterable[Id], complaint: str) -> None:
    if twice := [key for key, count in Counter(map(str, ids)).items() if count > 1]:
        raise ValueError(f"{complaint}: {_few(twice)}")


def match(
    captions: Mapping[str, str],
    references: Mapping[str, tuple[str, ...]],
    *,
    subset: bool = False,
    names: tuple[object, object] = ("results", "references"),
) -> dict[str, tuple[str, ...]]:
    """The references that captions are scored against, in the references' order.

    Args:
        subset: leave out images without a caption, as coco-caption does; else they are an error.

    Raises:
        ValueError: captions of unknown images or of images without references, or images
            with references and without a caption.
    """
    results, source = names
    unknown = [key for key in captions if key not in references]
    bare = [key for key in captions if key in references and not references[key]]
    missing = [key for key, row in references.items() if row and key not in captions]
    if not captions:
        raise ValueError(f"{results} has no captions")
    if unknown:
        raise ValueError(f"{results} has captions of images that {source} has not: {_few(unknown)}")
    if bare:
        raise ValueError(f"{source} has no references for images of {results}: {_few(bare)}")
    if missing and not subset:
        raise ValueError(
            f"{results} has no caption of images of {source}: {_few(missing)}; "
            "give --subset to score the others alone"
        )
    return {key: row for key, row in references.items() if key in captions}


def _few(ids: list[str]) -> str:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(ids[:SHOWN]) + more
