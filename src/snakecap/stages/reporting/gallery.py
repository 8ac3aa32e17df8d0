"""What the page and the figure show: pictures, references and every system's captions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from snakecap.files import pictures as picture_files
from snakecap.files.atomic import read_json
from snakecap.files.pictures import Picture
from snakecap.stages.reporting import thumbnails
from snakecap.stages.reporting.curves import colours
from snakecap.stages.reporting.entries import Entry
from snakecap.stages.reporting.figure import Panel

Item = TypeVar("Item")


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


def subtitle(chosen: Sequence[Subject]) -> str:
    """Such as "1,000 pictures of the test split"."""
    splits = " and ".join(dict.fromkeys(subject.picture.split for subject in chosen))
    noun = "picture" if len(chosen) == 1 else "pictures"
    return f"{len(chosen):,} {noun} of the {splits} split" if chosen else "no pictures"


def data(
    entries: Sequence[Entry], shown: Sequence[Subject], images: Path | None, side: int
) -> tuple[dict[str, Any], list[str]]:
    """The page's data (see `page.build`) and thumbnails of at most `side` pixels."""
    small = [thumbnails.jpeg(image, side) for image in _images(shown, images)]
    pictures = [_record(subject, entries) for subject in shown]
    if small:
        pictures = [record | {"image": at} for at, record in enumerate(pictures)]
    chosen = colours(entries)
    first = {entry.family: entry.seed for entry in reversed(entries)}
    systems = [
        {
            "system": entry.system,
            "stage": entry.stage,
            "label": entry.label,
            "colour": chosen[entry.family],
            "shown": entry.seed == first[entry.family],  # one seed of each, until asked for more
        }
        for entry in entries
    ]
    return {"systems": systems, "pictures": pictures}, small


def _record(subject: Subject, entries: Sequence[Entry]) -> dict[str, Any]:
    key = subject.key
    return {
        "id": subject.picture.id,
        "file": subject.picture.file,
        "references": subject.references,
        "captions": [_caption(entry, key) for entry in entries],
    }


def _caption(entry: Entry, key: str) -> list[Any] | None:
    said = entry.captions.get(key)
    if said is None:
        return None
    cider = entry.per_picture.get(key)
    log_prob = None if said.log_prob is None else round(said.log_prob, 3)
    return [said.caption, None if cider is None else round(cider, 4), log_prob]


def _images(shown: Sequence[Subject], images: Path | None) -> Iterable[Image.Image]:
    return thumbnails.images(images, [subject.picture for subject in shown]) if images else ()


def panels(entries: Sequence[Entry], shown: Sequence[Subject], images: Path) -> list[Panel]:
    """The figure's panels: the last stage of each system (its first seed), then a reference."""
    chosen = colours(entries)
    first = {entry.family: entry.system for entry in reversed(entries)}
    # A later stage replaces an earlier one; other seeds do not count.
    final = {entry.family: entry for entry in entries if entry.system == first[entry.family]}
    found = []
    for subject, image in zip(shown, _images(shown, images), strict=True):
        lines = [
            (entry.label, chosen[family], entry.captions[subject.key].caption)
            for family, entry in final.items()
            if subject.key in entry.captions
        ]
        person = [("reference", "#b6bcc4", text) for text in subject.references[:1]]
        found.append(Panel(image, [*lines, *person]))
    return found
