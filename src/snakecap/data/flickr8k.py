"""Flickr8k and Flickr30k, in the layouts they are passed around in.

Captions: ``Flickr8k.token.txt`` and ``results_20130124.token`` (``name#0<tab>caption``), Kaggle's
``captions.txt`` (CSV with a header) and ``results.csv`` (``name| 0| caption``). Splits: Flickr8k's
three lists, or Karpathy's file, which holds Flickr30k's too. Source: Hodosh, Young and
Hockenmaier (2013); Young et al. (2014).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from snakecap.data import splits as choosing
from snakecap.data.sources import existing, sentences
from snakecap.formats.pictures import Collection, Picture

CAPTIONS = tuple(
    folder + name
    for name in ("Flickr8k.token.txt", "captions.txt", "results_20130124.token", "results.csv")
    for folder in ("", "Flickr8k_text/", "flickr30k_images/", "flickr30k/")
)
# The publisher's own archive is spelt "Flicker8k"; the longest match first.
IMAGES = (
    *("Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k_images/flickr30k_images"),
    *("flickr30k-images", "flickr30k_images", "Images", "images"),
)
# A line break, and what looks like the name of the next image.
SWALLOWED = re.compile(r"\n[^,\n]+\.\w{3,4},")
# By its mark: a line's image and caption, and what a line that is no such one lacks. One line of
# Kaggle's Flickr30k lacks the second bar.
LINES = {
    "\t": (re.compile(r"(.*?)(?:#[^#\t]*)?\t(.*)"), "tab"),
    "|": (re.compile(r"([^|]*)\|\s*\d+\s*\|?\s*(.*)"), "number"),
}
LISTS = {"train": "trainImages", "val": "devImages", "test": "testImages"}


def read(
    root: Path,
    *,
    captions: str | None = None,
    images: str | None = None,
    lists: dict[Literal["train", "val", "test", "extra"], str] | None = None,
    ids: str | None = None,
    karpathy: str | None = None,
    num_val: Annotated[int, Field(ge=0)] = 0,
    num_test: Annotated[int, Field(ge=0)] = 0,
    seed: int = 123,
) -> Collection:
    """Read Flickr8k or Flickr30k; a picture's id is the rank of its file name.

    Args:
        root: folder that the other names are relative to.
        captions: the captions file; null: the first of the usual names.
        images: the folder of image files; null: the first of the usual names.
        lists: for each split, a file with one image name a line; null: Flickr8k's
            ``Flickr_8k.trainImages.txt``, ``devImages``, ``testImages``, when no other split is
            asked for. Pictures in none of them become "extra".
        ids: file of ``{split: [ids]}`` instead.
        karpathy: his ``dataset_flickr8k.json`` or ``dataset_flickr30k.json`` instead.
        num_val: pictures for validation in NeuralTalk2's random split, instead of the lists.
        num_test: pictures for testing in it; the rest is for training.
        seed: of it.

    Raises:
        FileNotFoundError: a file or folder is missing; says what to set.
        ValueError: a line cannot be read, or there is no split; names the file.
    """
    file = existing(root, captions or CAPTIONS, "captions")
    folder = existing(root, images or IMAGES, "images")
    prefix = "" if folder == root else folder.relative_to(root).as_posix() + "/"
    texts = _by_image(file)
    pictures: choosing.Pictures = tuple(
        Picture(id=rank, file=prefix + name, split="extra", captions=sentences(said, name, file))
        for rank, (name, said) in enumerate(sorted(texts.items()), start=1)
    )
    if lists is not None or not (ids or karpathy or num_val or num_test):
        pictures = _by_lists(pictures, _lists(root, file, lists))
    chosen = choosing.choose(
        root, pictures, ids=ids, karpathy=karpathy, num_val=num_val, num_test=num_test, seed=seed
    )
    return Collection(root, chosen)


def sources(root: Path, given: Mapping[str, Any]) -> list[Path | str]:
    """What `read` reads; see `snakecap.provenance.identity.sources`."""
    names = [given["captions"]] if given["captions"] else CAPTIONS
    captions = [root / name for name in names if (root / name).is_file()][:1]
    lists = [root / name for name in (given["lists"] or {}).values()]
    if not any(given[name] for name in ("lists", "ids", "karpathy", "num_val", "num_test")):
        lists = [path.with_name(f"Flickr_8k.{n}.txt") for path in captions for n in LISTS.values()]
    return [*captions, *lists, *choosing.sources(root, given)]


def _by_image(file: Path) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    try:
        for name, caption in _rows(file):
            texts.setdefault(name, []).append(caption)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not in UTF-8 ({error.reason}): save it so") from None
    if not texts:
        raise ValueError(f"{file} holds no captions")
    return texts


def _rows(file: Path) -> Iterator[tuple[str, str]]:
    """Image name and caption of each line, whatever the layout."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        start = lines.readline()
        lines.seek(0)
        layout = next((LINES[mark] for mark in LINES if mark in start), None)
        yield from _lines(file, lines, *layout) if layout else _commas(file, lines)


def _lines(
    file: Path, lines: Iterator[str], line: re.Pattern[str], lacking: str
) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(lines, start=1):
        if found := line.fullmatch(text.rstrip("\r\n")):
            yield found[1].strip(), found[2].rstrip()
        elif text.strip() and not text.startswith("image_name"):
            raise ValueError(f"{file}, line {number}: no {lacking} in {text.strip()[:80]!r}")


def _commas(file: Path, lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Kaggle's CSV; a caption with commas may lack its quotes."""
    for number, row in enumerate(_cells(list(lines)), start=1):
        if number == 1 and row[:1] == ["image"]:
            continue
        if len(row) > 1:
            yield row[0], ",".join(row[1:])
        elif row:
            raise ValueError(f"{file}, line {number}: no comma in {row[0][:80]!r}")


def _cells(lines: list[str]) -> list[list[str]]:
    """The rows of a CSV; line by line, where an unclosed quote would swallow those that follow."""
    try:
        rows = list(csv.reader(lines, strict=True))
    except csv.Error:
        rows = []
    if rows and not any(SWALLOWED.search(cell) for row in rows for cell in row[1:]):
        return rows
    return [row for line in lines for row in csv.reader([line])]


def _by_lists(pictures: choosing.Pictures, lists: Mapping[str, Path]) -> choosing.Pictures:
    pairs = [
        (name, split)
        for split, path in lists.items()
        for name in path.read_text(encoding="utf-8-sig").split()
    ]
    files = ", ".join(map(str, lists.values()))
    return choosing.assign(pictures, pairs, "name", files, rest="extra")


def _lists(root: Path, captions: Path, lists: Mapping[Any, str] | None) -> dict[str, Path]:
    if lists is not None:
        return {split: existing(root, name, "lists") for split, name in lists.items()}
    found = {s: captions.with_name(f"Flickr_8k.{name}.txt") for s, name in LISTS.items()}
    missing = [path.name for path in found.values() if not path.exists()]
    if missing:
        raise FileNotFoundError(
            f"{captions.parent} lacks {', '.join(missing)}: set the data set's option `lists`, or "
            "`karpathy`, or `num_val` and `num_test` for a random split"
        )
    return found
