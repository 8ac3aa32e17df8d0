"""TRECVID's video-to-text task: frames ``<video>:<frame>.jpeg`` that nobody has described."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakecap.data.sources import existing
from snakecap.formats.pictures import Collection, Picture

FRAME = re.compile(r"(\d+):\d+\.jpe?g")


def read(root: Path, *, images: str = "") -> Collection:
    """Read a folder of frames, for captioning only; the id is the video's number.

    Args:
        root: folder that the other name is relative to.
        images: the folder.

    Raises:
        FileNotFoundError: the folder is missing, or holds no such frame.
        ValueError: a video has two frames.
    """
    folder = existing(root, images, "images")
    frames: dict[int, str] = {}
    for name in _names(folder):
        number = int(name.partition(":")[0])
        if frames.setdefault(number, name) != name:
            raise ValueError(f"{folder}: {frames[number]} and {name} are of one video: keep one")
    if not frames:
        raise FileNotFoundError(f"{folder} holds no image called VIDEO:FRAME.jpeg")
    prefix = f"{images.rstrip('/')}/" if images else ""
    pictures = (Picture(key, prefix + frames[key], "test") for key in sorted(frames))
    return Collection(root, tuple(pictures))


def sources(root: Path, given: Mapping[str, Any]) -> list[Path | str]:
    """What `read` reads; see `snakecap.provenance.identity.sources`."""
    return [*_names(root / given["images"])]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if FRAME.fullmatch(path.name))
