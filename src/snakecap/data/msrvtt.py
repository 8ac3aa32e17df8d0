"""MSR-VTT: video clips, of each one frame.

Source: Xu et al., "MSR-VTT", CVPR 2016: ``{"videos": [{"video_id": "video7", "split"}],
"sentences": [{"video_id", "caption"}]}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from snakecap.data.sources import existing, sentences
from snakecap.formats.atomic import read_as
from snakecap.formats.pictures import Collection, Picture


class _Video(TypedDict):
    video_id: Annotated[str, Field(pattern=r"^video\d+$")]
    split: Literal["train", "validate", "test"]


class _Sentence(TypedDict):
    video_id: str
    caption: str


class _File(TypedDict):
    videos: list[_Video]
    sentences: list[_Sentence]


def read(
    root: Path,
    *,
    annotations: str = "train_val_videodatainfo.json",
    images: str = "",
    frame: str = "{number:04d}:kf1.jpeg",
) -> Collection:
    """Read MSR-VTT; the id of ``video7`` is 7.

    Args:
        root: folder that the other names are relative to.
        annotations: the videos and sentences.
        images: the folder of frames.
        frame: the file of a video's frame; the default is DeepCaption's.

    Raises:
        FileNotFoundError: the file is missing; says what to set.
        ValueError: it is not of its form, or a video has no sentence; names it.
    """
    file = existing(root, annotations, "annotations")
    content = read_as(file, TypeAdapter(_File), "MSR-VTT's videodatainfo")
    said: dict[str, list[str]] = {}
    for row in content["sentences"]:
        said.setdefault(row["video_id"], []).append(row["caption"])
    pictures = []
    for video in content["videos"]:
        name = video["video_id"]
        number = int(name.removeprefix("video"))
        path = "/".join(part for part in (images.rstrip("/"), _filled(frame, number)) if part)
        split = "val" if video["split"] == "validate" else video["split"]
        pictures.append(Picture(number, path, split, sentences(said.get(name, []), name, file)))
    return Collection(root, tuple(pictures))


def _filled(frame: str, number: int) -> str:
    try:
        return frame.format(number=number)
    except (LookupError, ValueError, AttributeError, TypeError):
        raise ValueError(f"the option frame is {frame!r}: {{number}} alone is filled in") from None


def sources(root: Path, given: Mapping[str, Any]) -> list[Path | str]:
    """What `read` reads; see `snakecap.provenance.identity.sources`."""
    return [root / given["annotations"]]
