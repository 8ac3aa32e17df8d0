"""What a job reads: files that arguments or settings name, and the photos of pictures.json."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from snakecap.config import options
from snakecap.config.data import Dataset
from snakecap.provenance import code, sidecar

SEES_PHOTOS = ("resize", "train_detector", "detect")  # those that pictures.json lists
Values = dict[str, Any]


def files(
    stage: str, values: Values, writes: Iterable[str], settings: Any
) -> Iterator[tuple[str, Path]]:
    """The files that a stage reads, and which argument names them; `writes` names its outputs."""
    written = {*writes, "readme"}
    for name, value in values.items():
        for path in value if isinstance(value, list) else [value]:
            if name not in written and isinstance(path, Path) and path.is_file():
                yield name, path
    for path in named(settings):
        yield "settings", path
    if stage == "annotations":
        yield from (("settings", path) for path in sources(values["settings"]))


def named(settings: Any) -> Iterator[Path]:
    """Files that settings name: weights, results, lists of categories."""
    if isinstance(settings, dict | list):
        for item in settings.values() if isinstance(settings, dict) else settings:
            yield from named(item)
    elif (path := _file(settings)) is not None:
        yield path


def _file(value: Any) -> Path | None:
    if not isinstance(value, str) or not ("." in value or "/" in value) or len(value) > 4096:
        return None
    path = Path(value).expanduser()
    return path if path.is_file() else None


def portable(settings: Any) -> Any:
    """Settings in which files are named by their content."""
    if isinstance(settings, dict):
        return {key: portable(item) for key, item in settings.items()}
    if isinstance(settings, list):
        return [portable(item) for item in settings]
    path = _file(settings)
    return settings if path is None else f"sha256:{sidecar.digest(path)}"


def content(stage: str, name: str, path: Path) -> str:
    """An input's checksum; of pictures.json not the root, for which `photos` stands."""
    if stage in SEES_PHOTOS and name == "pictures":
        from snakecap.formats.atomic import read_json

        value = read_json(path)
        rows = [value["pictures"], value.get("categories")]
        return hashlib.sha256(code.canonical(rows).encode(errors="replace")).hexdigest()
    return sidecar.digest(path)


def photos(values: Values, read: list[tuple[str, Path]]) -> dict[str, Any] | None:
    """The photos that a stage looks at, as one input."""
    from snakecap.formats import pictures

    collection = pictures.read(values["pictures"])
    looks = getattr(values["settings"], "reads_images", True)
    if not looks and all(one.width and one.height for one in collection.pictures):
        return None
    earlier = [sidecar.read(path) or {} for _, path in read]
    known = [row for one in earlier for row in one.get("inputs", []) if row["argument"] == "photos"]
    names = (picture.file for picture in collection.pictures)
    state = sidecar.photos(collection.root, names, known)
    return {"argument": "photos", "path": str(collection.root), **state}


def sources(row: Dataset) -> list[Path]:
    """The files in a data set's `root` that its options name; the photos themselves not."""
    if row.root is None:
        return []
    root = Path(row.root).expanduser()
    chosen = options.model("dataset", row.reader)(**row.options).model_dump()
    names = [name for name in chosen.values() if isinstance(name, str) and name]
    # "captions_{name}.json" stands for captions_train.json and others.
    patterns = [re.sub(r"\{\w*\}", "*", glob.escape(str(root / name))) for name in names]
    # Not Path.glob, which takes neither an absolute pattern nor ".".
    found = {Path(path) for pattern in patterns for path in glob.glob(pattern)}  # noqa: PTH207
    return sorted(path for path in found if path.is_file())
