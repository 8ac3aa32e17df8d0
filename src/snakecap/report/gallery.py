"""What the page and the figure show: pictures, references and every system's captions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from snakecap.formats import pictures as picture_files
from snakecap.formats.atomic import read_json
from snakecap.formats.pictures import Picture
from snakecap.report import layouts as layout_files
from snakecap.report import thumbnails
from snakecap.report.curves import colours
from snakecap.report.entries import Entry
from snakecap.report.figure import Outline, Panel
from snakecap.report.layouts import Layouts

Item = TypeVar("Item")
PLAIN = 500  # pixels of the longer side of a picture without image


@dataclass(frozen=True, slots=True)
class Subject:
    """A captioned picture and the sentences that people wrote for it."""

    picture: Picture
    references: tuple[str, ...]

    @property
    def key(self) -> str:
        """Its id as text, the way score files write it."""
        return str(self.picture.id)


def subjects(pictures: Path, references: Path, entries: Iterable[Entry]) -> list[Subject]:
    """The pictures that some entry captions, in the order of ``pictures.json``.

    Raises:
        ValueError: a captioned picture is in neither file; names the picture and the file.
    """
    collection = picture_files.read(pictures).pictures
    known = {str(picture.id) for picture in collection}
    sentences = _sentences(references)
    captioned = dict.fromkeys(key for entry in entries for key in entry.captions)
    for key in captioned:
        for place, path in ((known, pictures), (sentences, references)):
            if key not in place:
                raise ValueError(f"captions name picture {key}, which {path} does not have")
    chosen = [picture for picture in collection if str(picture.id) in captioned]
    return [Subject(picture, tuple(sentences[str(picture.id)])) for picture in chosen]


def _sentences(references: Path) -> dict[str, list[str]]:
    value = read_json(references)
    try:
        found: dict[str, list[str]] = {str(image["id"]): [] for image in value["images"]}
        for annotation in value["annotations"]:
            found.setdefault(str(annotation["image_id"]), []).append(annotation["caption"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{references} is not COCO captions JSON: {error!r}") from None
    return found


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """`count` of the items at even distances, the first and last included; 0: all."""
    if count == 0 or count >= len(items):
        return list(items)
    return [items[round(at)] for at in np.linspace(0, len(items) - 1, count)]


def splits(chosen: Sequence[Subject]) -> list[str]:
    """The splits that the pictures are of."""
    return list(dict.fromkeys(subject.picture.split for subject in chosen))


def subtitle(chosen: Sequence[Subject]) -> str:
    """Such as "1,000 pictures of the test split"."""
    noun = "picture" if len(chosen) == 1 else "pictures"
    names = " and ".join(splits(chosen))
    return f"{len(chosen):,} {noun} of the {names} split" if chosen else "no pictures"


def data(
    entries: Sequence[Entry],
    shown: Sequence[Subject],
    images: Path | None,
    side: int,
    layouts: Sequence[Layouts] = (),
) -> tuple[dict[str, Any], list[str]]:
    """The page's data (see `page.build`) and thumbnails of at most `side` pixels.

    Raises:
        ValueError: a caption's attention is of another caption or layout; names the picture.
    """
    small = [thumbnails.jpeg(image, side) for image in _images(shown, images)]
    pictures = [_record(subject, entries, layouts) for subject in shown]
    if small:
        pictures = [record | {"image": at} for at, record in enumerate(pictures)]
    subjects = [subject.picture for subject in shown]
    head = layout_files.embed(pictures, layouts, subjects, whole=_whole(images))
    return {"systems": _systems(entries, layouts), "pictures": pictures, **head}, small


def _systems(entries: Sequence[Entry], layouts: Sequence[Layouts]) -> list[dict[str, Any]]:
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
        }
        for entry in entries
    ]


def _record(
    subject: Subject, entries: Sequence[Entry], layouts: Sequence[Layouts]
) -> dict[str, Any]:
    key = subject.key
    return {
        "id": subject.picture.id,
        "file": subject.picture.file,
        "references": subject.references,
        "captions": [_caption(entry, key, layouts) for entry in entries],
    }


def _caption(entry: Entry, key: str, layouts: Sequence[Layouts]) -> list[Any] | None:
    said = entry.captions.get(key)
    if said is None:
        return None
    cider = entry.per_picture.get(key)
    log_prob = None if said.log_prob is None else round(said.log_prob, 3)
    numbers = [None if cider is None else round(cider, 4), log_prob]
    things = next((row.pictures.get(key) for row in layouts if row.name == entry.layout), None)
    if said.attention is None or things is None:
        return [said.caption, *numbers]
    words = said.caption.split()
    try:
        rows = layout_files.attention(said.attention, len(words), len(things))
    except ValueError as error:
        raise ValueError(f"{entry.label}: the attention of picture {key} {error}") from None
    return [" ".join(words), *numbers, *([rows] if rows else [])]


def _images(shown: Sequence[Subject], images: Path | None) -> Iterable[Image.Image]:
    return thumbnails.images(images, [subject.picture for subject in shown]) if images else ()


def _whole(images: Path | None) -> bool:
    return images is None or thumbnails.squashed(images)


def panels(
    entries: Sequence[Entry],
    shown: Sequence[Subject],
    images: Path | None,
    layouts: Sequence[Layouts] = (),
) -> list[Panel]:
    """The figure's panels: the last stage of each system (its first seed), then a reference.

    With the layout that the first system reads, on plain paper when there are no images.
    """
    chosen = colours(entries)
    drawings = [_outlines(subject, entries, layouts, whole=_whole(images)) for subject in shown]
    pixels = _images(shown, images) if images else map(_blank, shown)
    first = {entry.family: entry.system for entry in reversed(entries)}
    # A later stage replaces an earlier one; other seeds do not count.
    final = {entry.family: entry for entry in entries if entry.system == first[entry.family]}
    many = len({entry.stage for entry in entries}) > 1
    found = []
    for subject, image, outlines in zip(shown, pixels, drawings, strict=True):
        lines = [
            (entry.label if many else family, chosen[family], entry.captions[subject.key].caption)
            for family, entry in final.items()
            if subject.key in entry.captions
        ]
        person = [("reference", "#b6bcc4", text) for text in subject.references[:1]]
        found.append(Panel(image, [*lines, *person], outlines))
    return found


def _blank(subject: Subject) -> Image.Image:
    square = Image.new("RGB", (PLAIN, PLAIN), "white")
    return thumbnails.stretch(square, subject.picture.width, subject.picture.height)


def _outlines(
    subject: Subject, entries: Sequence[Entry], layouts: Sequence[Layouts], *, whole: bool
) -> list[Outline]:
    read = next((row for row in layouts if row.name == entries[0].layout), None)
    things = read.of(subject.picture, whole=whole) if read else None
    chosen = layout_files.colours(layouts)
    found = [(thing, chosen[thing.category]) for thing in things or ()]
    return [Outline(t.category, colour, layout_files.ink(colour), t.box) for t, colour in found]
