"""A folder of images without captions (NeuralTalk2's DataLoaderRaw), for captioning only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from snakecap.data.coco import IMAGES
from snakecap.data.sources import existing
from snakecap.formats.atomic import read_as
from snakecap.formats.decode import SUFFIXES, is_image
from snakecap.formats.pictures import Collection, Picture


def read(
    root: Path,
    *,
    images: str = "",
    recursive: bool = False,
    coco_json: str | None = None,
    split: Literal["train", "val", "test", "extra"] = "test",
) -> Collection:
    """Read a folder of images, sorted by name, with the ids 1, 2, ...

    Args:
        root: folder that the other names are relative to.
        images: the folder; "" for `root` itself.
        recursive: look into its subfolders too.
        coco_json: file with ``images: [{file_name, id}]``, which gives the list, its order and
            the ids (COCO's image_info_test2014.json).
        split: of all pictures.

    Raises:
        FileNotFoundError: the folder or file is missing, or holds no image.
        ValueError: `coco_json` is not of its form.
    """
    folder = existing(root, images, "images")
    if coco_json is not None:
        file = existing(root, coco_json, "coco_json")
        listed = read_as(file, IMAGES, "a list of images, {images: [{file_name, id}]}")["images"]
        rows = [(image["id"], image["file_name"]) for image in listed]
    else:
        rows = [*enumerate(_names(folder, recursive=recursive), start=1)]
    if not rows:
        raise FileNotFoundError(f"{folder} holds no image ({', '.join(sorted(SUFFIXES))})")
    prefix = f"{images}/" if images else ""
    pictures = (Picture(id=key, file=prefix + name, split=split) for key, name in rows)
    return Collection(root, tuple(pictures))


def sources(root: Path, given: Mapping[str, Any]) -> list[Path | str]:
    """What `read` reads; see `snakecap.provenance.identity.sources`."""
    if given["coco_json"] is not None:
        return [root / given["coco_json"]]
    return [*_names(root / given["images"], recursive=given["recursive"])]


def _names(folder: Path, *, recursive: bool) -> list[str]:
    paths = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(path.relative_to(folder).as_posix() for path in paths if is_image(path))
