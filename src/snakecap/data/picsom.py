"""A PicSOM database: labels, classes of labels, and texts; features stand for pictures.

Source: DeepCaption's PicSOMDataset and picsom/class_file.py. ``classes/NAME`` is a list of labels,
``#`` comments; with ``# METACLASSFILE`` first, a list of other classes. A line of the texts is
``label text # text # text``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from snakecap.data.sources import existing, sentences
from snakecap.formats.atomic import utf8_text
from snakecap.formats.pictures import Collection, Picture
from snakecap.log import logger

META = "# METACLASSFILE"


def read(
    root: Path,
    *,
    splits: dict[Literal["train", "val", "test", "extra"], str] | None = None,
    texts: str | None = "textdumps/gt-cooked.txt",
) -> Collection:
    """Read a PicSOM database; set `pixels: false`, and read features by its labels.txt.

    Labels without a text are left out.

    Args:
        root: the database's folder.
        splits: the class of each split; null: train, val and test.
        texts: the captions; null: none.

    Raises:
        FileNotFoundError: a file is missing; says what to set.
        ValueError: a label is in two splits, or a class lists itself; names it.
    """
    found: dict[str, str] = {}
    for split, name in (splits or {one: one for one in ("train", "val", "test")}).items():
        for label in _labels(root, name, ()):
            if found.setdefault(label, split) != split:
                raise ValueError(f"{root / 'classes' / name}: {label} is in {found[label]!r} too")
    if texts is None:
        return Collection(root, tuple(Picture(label, label, found[label]) for label in found))
    path = existing(root, texts, "texts")
    said = _texts(path)
    if silent := found.keys() - said.keys():
        logger.warning("%d of %d labels have no text in %s", len(silent), len(found), path)
    pictures = (
        Picture(label, label, split, sentences(said[label], label, path))
        for label, split in found.items()
        if label in said
    )
    return Collection(root, tuple(pictures))


def sources(root: Path, given: Mapping[str, Any]) -> list[Path | str]:
    """What `read` reads; see `snakecap.provenance.identity.sources`."""
    classes = [path for path in (root / "classes").iterdir() if path.is_file()]
    return [*classes, *([root / given["texts"]] if given["texts"] else [])]


def _texts(path: Path) -> dict[str, list[str]]:
    lines = utf8_text(path).splitlines()
    pairs = (line.strip().partition(" ") for line in lines if line.strip())
    return {label: text.split(" # ") for label, _, text in pairs}


def _labels(root: Path, name: str, above: tuple[str, ...]) -> Iterator[str]:
    if name in above:
        raise ValueError(f"{root / 'classes' / name} lists itself")
    lines = utf8_text(existing(root, f"classes/{name}", "splits")).splitlines()
    entries = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not lines or not lines[0].startswith(META):
        yield from entries
        return
    for entry in entries:
        yield from _labels(root, entry, (*above, name))
