"""``vis.json`` and ``imgs/img<N>.jpg``: what NeuralTalk2's eval.lua leaves for its web page.

Known deviation: eval.lua copied pictures with a shell command that broke on quotes in a name.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, with_config
from typing_extensions import TypedDict

from snakecap.formats.atomic import read_as, write_json


@with_config(ConfigDict(extra="allow"))
class _Entry(TypedDict):
    caption: str


def image(number: int) -> str:
    """Where the image of entry `number`, from 1, is; a .jpg name whatever the format."""
    return f"imgs/img{number}.jpg"


def write(
    folder: Path,
    results: Sequence[Mapping[str, Any]],
    *,
    root: Path | None = None,
    captions: bool = True,
    images: bool = True,
    file_names: bool = False,
) -> None:
    """Write ``vis.json`` and copy the pictures, as `snakecap vis` explains.

    Raises:
        ValueError: an entry lacks what is needed; names the entry.
        FileNotFoundError: a picture is missing; names it.
    """
    needed = ["image_id", "caption", *(["file_name"] if images or file_names else [])]
    for number, row in enumerate(results, start=1):
        missing = [name for name in needed if name not in row]
        if missing:
            raise ValueError(f"entry {number} of the results has no {' or '.join(missing)}")
    if images:
        (folder / "imgs").mkdir(parents=True, exist_ok=True)
        for number, row in enumerate(results, start=1):
            shutil.copyfile((root or Path()) / row["file_name"], folder / image(number))
    if captions:
        kept = ("image_id", "caption", *(["file_name"] if file_names else []))
        write_json(folder / "vis.json", [{name: row[name] for name in kept} for row in results])


def read(path: Path) -> list[Any]:
    """Read ``vis.json``, NeuralTalk2's or ours, or any results JSON.

    Raises:
        ValueError: not a list of objects with a caption; names the file.
    """
    return read_as(path, TypeAdapter(list[_Entry]), "a list of objects with image_id and caption")
