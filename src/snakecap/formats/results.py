"""COCO captions as files: results ``[{"image_id", "caption"}]`` and references.

References are COCO's annotations: ``{"images": [{"id"}], "annotations": [{"image_id",
"caption"}]}``. Ids are integers or strings; 17 and "17" are the same image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from snakecap.formats.atomic import json_text, read_json, write_text

SHOWN = 10  # ids in a message


class CaptionsError(ValueError):
    """A file of captions is not what it should be; the message names it and the ids."""


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write results, a line each; a row has at least ``image_id`` and ``caption``.

    Raises:
        CaptionsError: as `read_captions`, before anything is written.
    """
    content = [dict(row) for row in rows]
    _captions(content, path)
    write_text(path, "[\n" + ",\n".join(map(json_text, content)) + "\n]\n")


def read_captions(path: Path) -> dict[str, str]:
    """Read results as one caption for each image id, in the file's order.

    Raises:
        CaptionsError: not a list of captions, a wrong type, or two captions of one image.
    """
    return _captions(read_json(path), path)


def read_references(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the captions of each image, in the order of the file's images.

    Images without captions have an empty tuple. A file without ``images``, or with captions of
    images that are not among them, has those images at the end.

    Raises:
        CaptionsError: not a COCO captions file, a wrong type, or an image listed twice.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise CaptionsError(
            f'{path} is not a COCO captions file: it needs {{"images": [{{"id": ...}}], '
            '"annotations": [{"image_id": ..., "caption": ...}]}'
        )
    images = content.get("images", [])
    rows: dict[str, list[str]] = {}
    for image in images if isinstance(images, list) else [images]:
        rows.setdefault(_id(image, "id", path), [])
    if len(rows) != len(images):
        _refuse_twice((_id(image, "id", path) for image in images), path, "listed")
    for annotation in content["annotations"]:
        caption = _text(annotation, path)
        rows.setdefault(_id(annotation, "image_id", path), []).append(caption)
    return {key: tuple(captions) for key, captions in rows.items()}


def match(
    captions: Mapping[str, str],
    references: Mapping[str, tuple[str, ...]],
    *,
    subset: bool = False,
    names: tuple[object, object] = ("results", "references"),
) -> dict[str, tuple[str, ...]]:
    """The references that captions are scored against, in the references' order.

    Args:
        captions: one for each image id.
        references: of each image id.
        subset: leave out images without a caption, as coco-caption does; else they are an error.
        names: of the two files, for messages.

    Raises:
        CaptionsError: captions of unknown images or of images without references, or images
            with references and without a caption.
    """
    results, source = names
    unknown = [key for key in captions if key not in references]
    bare = [key for key in captions if key in references and not references[key]]
    missing = [key for key, row in references.items() if row and key not in captions]
    if not captions:
        raise CaptionsError(f"{results} has no captions")
    if unknown:
        raise CaptionsError(
            f"{results} has captions of images that {source} has not: {_few(unknown)}"
        )
    if bare:
        raise CaptionsError(f"{source} has no references for images of {results}: {_few(bare)}")
    if missing and not subset:
        raise CaptionsError(
            f"{results} has no caption of images of {source}: {_few(missing)}; "
            "give --subset to score the others alone"
        )
    return {key: row for key, row in references.items() if key in captions}


def _captions(content: Any, path: Path) -> dict[str, str]:
    if not isinstance(content, list):
        raise CaptionsError(
            f'{path} is not COCO results: it needs [{{"image_id": ..., "caption": ...}}], '
            f"and is a {type(content).__name__}"
        )
    rows = {_id(row, "image_id", path): _text(row, path) for row in content}
    if len(rows) != len(content):
        _refuse_twice((_id(row, "image_id", path) for row in content), path, "captioned")
    return rows


def _id(row: Any, key: str, path: Path) -> str:
    value = row.get(key) if isinstance(row, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise CaptionsError(f"{path}: {key} must be an integer or a string in {_shown(row)}")
    return str(value)


def _text(row: Any, path: Path) -> str:
    value = row.get("caption") if isinstance(row, dict) else None
    if not isinstance(value, str):
        raise CaptionsError(f"{path}: caption must be a string in {_shown(row)}")
    return value


def _refuse_twice(ids: Iterable[str], path: Path, verb: str) -> None:
    seen: set[str] = set()
    twice = [key for key in ids if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
    raise CaptionsError(f"{path}: images {verb} more than once: {_few(twice)}")


def _few(ids: list[str]) -> str:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(ids[:SHOWN]) + more


def _shown(row: Any) -> str:
    text = repr(row)
    return text if len(text) <= 200 else text[:200] + "..."
