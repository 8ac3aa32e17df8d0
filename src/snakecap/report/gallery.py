"""What the page and the figure show: pictures, references and every system's captions."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from snakecap.formats.images import Images
from snakecap.formats.pictures import Picture
from snakecap.formats.results import read_references
from snakecap.objects.object import Object
from snakecap.report import attention
from snakecap.report import layouts as layout_files
from snakecap.report.curves import colours
from snakecap.report.entries import Entry
from snakecap.report.figure import Outline, Panel
from snakecap.report.layouts import NamedLayouts

Item = TypeVar("Item")
PLAIN = 500  # pixels of the longer side of a picture without image
QUALITY = 80  # of 100, JPEG


def pictures_of(
    collection: Sequence[Picture], pictures: Path, references: Path, entries: Iterable[Entry]
) -> list[Picture]:
    """The pictures that some entry has a caption of, in the order of ``pictures.json``.

    Their own captions are the references.

    Args:
        collection: what the file `pictures` holds.

    Raises:
        ValueError: one of them is missing in either file; names the picture and the file.
    """
    known = {str(picture.id) for picture in collection}
    sentences = read_references(references)
    wanted = dict.fromkeys(key for entry in entries for key in entry.captions)
    for key in wanted:
        for place, path in ((known, pictures), (sentences, references)):
            if key not in place:
                raise ValueError(f"captions name picture {key}, which {path} does not have")
    chosen = (picture for picture in collection if str(picture.id) in wanted)
    return [replace(one, captions=sentences[str(one.id)]) for one in chosen]


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """`count` of the items at even distances, the first and last included; 0: all."""
    if count == 0 or count >= len(items):
        return list(items)
    return [items[round(at)] for at in np.linspace(0, len(items) - 1, count)]


def data(
    entries: Sequence[Entry],
    shown: Sequence[Picture],
    images: Path | None,
    side: int,
    layouts: Sequence[NamedLayouts] = (),
) -> tuple[dict[str, Any], list[str]]:
    """The page's data (see `page.build`) and thumbnails of at most `side` pixels.

    Raises:
        ValueError: a caption's attention is of another caption or layout; names the picture.
    """
    small = [jpeg(image, side) for image in stored(images, shown)] if images else []
    whole = _whole(images)
    records: list[dict[str, Any]] = [
        {
            "id": picture.id,
            "file": picture.file,
            "references": picture.captions,
            "ratio": _ratio(picture) if whole else 1,
            "captions": [_caption(entry, str(picture.id), layouts) for entry in entries],
            **({"image": at} if small else {}),
        }
        for at, picture in enumerate(shown)
    ]
    head = layout_files.embed(records, layouts, shown, whole=whole)
    return {"systems": _systems(entries, layouts), "pictures": records, **head}, small


def _systems(entries: Sequence[Entry], layouts: Sequence[NamedLayouts]) -> list[dict[str, Any]]:
    chosen = colours(entries)
    places = {layout.name: at for at, layout in enumerate(layouts)}
    first = {entry.family: entry.seed for entry in reversed(entries)}
    return [
        {
            "system": entry.system,
            "stage": entry.stage,
            "label": entry.label,
            "colour": chosen[entry.family],
            "shown": entry.seed == first[entry.family],  # one seed of each, until asked for more
            **({"layout": places[entry.layout]} if entry.layout else {}),
            **({"covers": entry.covers} if entry.alphas else {}),
        }
        for entry in entries
    ]


def _caption(entry: Entry, key: str, layouts: Sequence[NamedLayouts]) -> list[Any] | None:
    said = entry.captions.get(key)
    if said is None:
        return None
    numbers = [_rounded(entry.per_picture.get(key), 4), _rounded(said.log_prob, 3)]
    words = said.caption.split()
    objects = next((row.pictures.get(key) for row in layouts if row.name == entry.layout), None)
    more = {"objects": _by_object(entry, key, objects), "grid": _on_grid(entry, key)}
    if not words or not any(more.values()):
        return [said.caption, *numbers]
    return [" ".join(words), *numbers, {name: rows for name, rows in more.items() if rows}]


def _by_object(entry: Entry, key: str, objects: Sequence[Object] | None) -> list[list[int]]:
    """What each word looks at, of the objects of a picture."""
    said = entry.captions[key]
    if said.attention is None or objects is None:
        return []
    words = said.caption.split()
    if [len(row) for row in said.attention] != [len(objects)] * len(words):
        raise ValueError(
            f"{entry.label}: the attention of picture {key} needs a row for each of its "
            f"{len(words)} words, and in it a weight for each of the {len(objects)} objects"
        )
    return [layout_files.attention(row) for row in said.attention]


def _on_grid(entry: Entry, key: str) -> list[tuple[int, str]]:
    """The same of the picture's grid."""
    if key not in entry.alphas:
        return []
    words, alphas = entry.captions[key].caption.split(), entry.alphas[key]
    if len(words) > len(alphas):
        raise ValueError(
            f"{entry.label}: the caption of picture {key} has {len(words)} words, and its alphas "
            f"room for {len(alphas)}"
        )
    return attention.embed(alphas[: len(words)])


def _ratio(picture: Picture) -> float:
    known = picture.width and picture.height
    return round(picture.width / picture.height, 4) if known else 1


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)


# The figure


def panels(
    entries: Sequence[Entry],
    shown: Sequence[Picture],
    images: Path | None,
    layouts: Sequence[NamedLayouts] = (),
) -> list[Panel]:
    """The figure's panels: the last stage of each system (its first seed), then a reference.

    With the layout that the first system reads, on plain paper when there are no images; without
    either a panel has its file's name.
    """
    chosen = colours(entries)
    drawings = [_outlines(picture, entries, layouts, whole=_whole(images)) for picture in shown]
    blank = (_blank(picture, named=not layouts) for picture in shown)
    pixels = stored(images, shown) if images else blank
    first = {entry.family: entry.system for entry in reversed(entries)}
    # A later stage replaces an earlier one; other seeds do not count.
    final = {entry.family: entry for entry in entries if entry.system == first[entry.family]}
    many = len({entry.stage for entry in entries}) > 1
    found = []
    for picture, image, outlines in zip(shown, pixels, drawings, strict=True):
        key = str(picture.id)
        lines = [
            (entry.label if many else family, chosen[family], entry.captions[key].caption)
            for family, entry in final.items()
            if key in entry.captions
        ]
        person = [("reference", "#b6bcc4", text) for text in picture.captions[:1]]
        found.append(Panel(image, [*lines, *person], outlines))
    return found


def _outlines(
    picture: Picture, entries: Sequence[Entry], layouts: Sequence[NamedLayouts], *, whole: bool
) -> list[Outline]:
    read = next((row for row in layouts if row.name == entries[0].layout), None)
    objects = read.of(picture, whole=whole) if read else None
    chosen = layout_files.colours(layouts)
    found = [(one, chosen[one.category]) for one in objects or ()]
    return [Outline(o.category, colour, layout_files.ink(colour), o.box) for o, colour in found]


# Pixels


def stored(path: Path, pictures: Sequence[Picture]) -> Iterator[Image.Image]:
    """Each picture out of ``images.h5``; one that it lacks is a grey square."""
    store = Images(path)
    for picture in pictures:
        if picture.file not in store:
            yield Image.new("RGB", (64, 64), "#808080")
            continue
        pixels = store.read(store.rows([picture.file]))[0].transpose(1, 2, 0)
        image = Image.fromarray(np.ascontiguousarray(pixels))
        yield stretch(image, picture.width, picture.height) if store.mode == "squash" else image


def _whole(images: Path | None) -> bool:
    """Whether images are whole pictures made square; else they are their centre squares."""
    return images is None or Images(images).mode == "squash"


def _blank(picture: Picture, *, named: bool) -> Image.Image:
    square = Image.new("RGB", (PLAIN, PLAIN), "white")
    if named:
        font, middle = ImageFont.load_default(28), (PLAIN / 2, PLAIN / 2)
        ImageDraw.Draw(square).text(middle, Path(picture.file).name, "grey", font, anchor="mm")
    return stretch(square, picture.width, picture.height)


def stretch(image: Image.Image, width: int, height: int) -> Image.Image:
    """Undo squashing: `width` x `height` in pixels is the original's size, 0 if not known."""
    if width <= 0 or height <= 0 or width == height:
        return image
    side = max(image.size)
    longest = max(width, height)
    size = (max(1, round(side * width / longest)), max(1, round(side * height / longest)))
    return image.resize(size, Image.Resampling.LANCZOS)


def jpeg(image: Image.Image, side: int) -> str:
    """The image at most `side` pixels wide and high, as base64 of a JPEG."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=QUALITY, optimize=True)
    return base64.b64encode(data.getvalue()).decode("ascii")
