"""Detections that another program made, as COCO's results JSON (`snakecap.formats.detections`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snakecap import log
from snakecap.config.detection import files_by_split
from snakecap.detectors.detector import Detector
from snakecap.formats.detections import Entry, entries
from snakecap.formats.pictures import Picture
from snakecap.objects.boxes import Detections
from snakecap.objects.categories import COCO, IDS, canonical, ordered
from snakecap.objects.object import Object


class Results(Detector):
    """The entries of a file, or of one file a split, in their order.

    Categories go by ``category``, the name, where an entry has one, else by ``category_id``, as the
    data set's own annotations number them; COCO's ids where those say nothing and all of the data
    set's categories are COCO's.
    """

    reads_images = False
    uses = "file"
    by_split = True
    device = "cpu"

    def __init__(
        self,
        *,
        file: Path,
        categories: Sequence[str],
        ids: Mapping[int, str],
        empty_splits: tuple[Literal["train", "val", "test", "extra"], ...] = (),
    ):
        """Read the file.

        Args:
            file: COCO results JSON; with ``{split}`` in its name, one for each split.
            empty_splits: splits of which nothing was detected on purpose; in any other, a picture
                at least needs an entry.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: an entry is wrong, or of an unknown category; names the file and the entry.
        """
        self.file, self.empty_splits = file, empty_splits
        found = [
            (entry, f"{path}: entry {number}")
            for path in files_by_split(str(file))
            for number, entry in enumerate(entries(path), start=1)
        ]
        self.categories = _categories(found, categories)
        objects: dict[str, list[Object]] = {}
        for (entry, _), one in zip(found, _named(found, self.categories, ids), strict=True):
            objects.setdefault(str(entry.image_id), []).append(one)
        places = {name: place for place, name in enumerate(self.categories)}
        self._found = {key: Detections.of(some, places) for key, some in objects.items()}

    def match(self, pictures: Sequence[Picture]) -> list[tuple[str, str]]:
        """Entries of other pictures; an error when all are, or when a split has none at all."""
        wanted = {str(picture.id): None for picture in pictures}
        odd = [key for key in self._found if key not in wanted]
        if odd and len(odd) == len(self._found):
            raise ValueError(
                f"{self.file} is of other pictures: its image_ids are {', '.join(odd[:5])}, ...; "
                f"the data set's are {', '.join(list(wanted)[:5])}, ..."
            )
        self._check_splits(pictures)
        self._compare_categories(pictures)
        reason = f"entries of {self.file.name}: no such picture"
        return [(key, f"image_id of {len(self._found[key])} {reason}") for key in odd]

    def _compare_categories(self, pictures: Sequence[Picture]) -> None:
        annotated = {canonical(one.category) for picture in pictures for one in picture.objects}
        if annotated and annotated.isdisjoint(self.categories):
            log.logger.warning(
                "%s has none of the categories of the data set's own objects (%s): it names %s; "
                "if they are spelt differently there, correct them",
                self.file,
                ", ".join(sorted(annotated)[:5]),
                ", ".join(self.categories[:5]),
            )

    def _check_splits(self, pictures: Sequence[Picture]) -> None:
        number = Counter(picture.split for picture in pictures)
        seen = {picture.split for picture in pictures if str(picture.id) in self._found}
        bare = [split for split in number if split not in {*seen, *self.empty_splits}]
        if bare:
            raise ValueError(
                f"{self.file} has no entry of any of the {number[bare[0]]} pictures of the split "
                f"{bare[0]}: give a file of all splits, or one for each, with {{split}} in the "
                "name (detections_{split}.json); if there is nothing to see in them, set the "
                f"detector's option empty_splits: [{', '.join(bare)}]"
            )

    def detect(
        self, pictures: Sequence[Picture], images: Sequence[NDArray[np.uint8]]
    ) -> list[Detections]:
        return [self._found.get(str(picture.id), Detections.none()) for picture in pictures]


def _categories(found: Sequence[tuple[Entry, str]], known: Sequence[str]) -> tuple[str, ...]:
    """The data set's categories, or the entries' own when they name others."""
    own = {canonical(entry.category): place for entry, place in found if entry.category}
    new = [name for name in own if name not in known]
    if not new:
        return tuple(known)
    if len(new) < len(own):
        log.logger.warning(
            "%s has the category %r, which is not one of the %d known ones: if it is misspelt, "
            "correct it; the file's own %d categories are used",
            own[new[0]],
            new[0],
            len(known),
            len(own),
        )
    unnamed = next((place for entry, place in found if not entry.category), None)
    if unnamed is not None:
        raise ValueError(
            f"{own[new[0]]} has the category {new[0]!r}, which the data set does not have, and "
            f"{unnamed} has a category_id alone: give all entries names, or use the data set's"
        )
    return ordered(own)


def _named(
    found: Iterable[tuple[Entry, str]], categories: Sequence[str], ids: Mapping[int, str]
) -> Iterator[Object]:
    """The entries' objects, all with their category."""
    numbered = ids or (COCO if set(categories) <= IDS.keys() else {})
    names = {key: name for key, name in numbered.items() if canonical(name) in categories}
    for entry, place in found:
        if entry.category:
            yield entry.object(entry.category)
        elif entry.category_id in names:
            yield entry.object(names[entry.category_id])
        else:
            known = ", ".join(f"{key} {canonical(name)}" for key, name in names.items()) or "none"
            raise ValueError(
                f"{place} has the unknown category_id {entry.category_id}; known: {known}; each "
                "entry can have the name too, as `category`"
            )
