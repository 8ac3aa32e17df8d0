"""Results as what NeuralTalk2's eval.lua left for its web page, for old tooling."""

from __future__ import annotations

from pathlib import Path

from snakecap.formats import pictures as records
from snakecap.formats import vis as files


def vis(
    *,
    results: Path,
    folder: Path,
    root: Path | None = None,
    pictures: Path | None = None,
    captions: bool = True,
    images: bool = True,
    file_names: bool = False,
) -> None:
    """Write vis.json, and copy the pictures to imgs/img1.jpg, imgs/img2.jpg, ...

    Args:
        results: COCO results JSON with file_name, as `snakecap caption` writes.
        folder: where they go; `snakecap view` opens it.
        root: folder that the file names are relative to (eval.lua's -image_root).
        pictures: pictures.json of the data set, which knows that folder, instead.
        captions: write vis.json (-dump_json).
        images: copy the pictures (-dump_images).
        file_names: keep file_name in vis.json (-dump_path).

    Raises:
        ValueError: an entry lacks what is needed.
        FileNotFoundError: a picture is missing.
    """
    found = files.read(results)
    if pictures is not None:
        root = records.read(pictures).root
    files.write(folder, found, root=root, captions=captions, images=images, file_names=file_names)
