"""Detections that another program made, as COCO's results JSON (`snakecap.files.detections`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snakecap.boxes import Detections
from snakecap.categories import canonical, ids, ordered
from snakecap.detectors.detector import Detector
from snakecap.files.detections import Entry, entries
from snakecap.files.pictures import Picture


class Results(Detector):
    """The entries of a file, in its order.

    Categories go by ``category``, the name, where an entry has one, else by ``category_id``: COCO's
    ids when all of the data set's categories are COCO's, else their places from 1.
    """

    reads_images = False
    uses = "file"
    device = "cpu"

    def __init__(self, *, file: Path, categories: Sequence[str]):
        """Read the file.

        Args:
            file: COCO results JSON.
            categories: names of the data set's categories; the file's own, if it names others.

        Raises:
            ValueError: an entry is wrong, or of an unknown category; names the file and the entry.
        """
        self.file = file
        found = entries(file)
        named = {canonical(entry.category) for entry in found if entry.category is not None}
        self.categories = tuple(categories) if named <= {*categories} else ordered(named)
        places = self._places(found)
        rows: dict[str, list[tuple[Entry, int]]] = {}
        for entry, place in zip(found, places, strict=True):
            rows.setdefault(str(entry.image_id), []).append((entry, place))
        self._found = {key: _detections(row) for key, row in rows.items()}

    def _places(self, found: Iterable[Entry]) -> list[int]:
        """The place of each entry's category."""
        by_name = {name: place for place, name in enumerate(self.categories)}
        by_id = {number: place for place, number in enumerate(ids(self.categories))}
        places = []
        for number, entry in enumerate(found, start=1):
            if entry.category is not None:
                places.append(by_name[canonical(entry.category)])
            elif entry.category_id in by_id:
                places.append(by_id[entry.category_id])
            else:
                known = ", ".join(f"{key} {self.categories[at]}" for key, at in by_id.items())
                raise ValueError(
                    f"{self.file}: entry {number} has the unknown category_id {entry.category_id}; "
                    f"known: {known}"
                )
        return places

    def match(self, pictures: Sequence[Picture]) -> list[tuple[str, str]]:
        """Entries of other pictures; an error when all of them are."""
        wanted = {str(picture.id): None for picture in pictures}
        odd = [key for key in self._found if key not in wanted]
        if odd and len(odd) == len(self._found):
            raise ValueError(
                f"{self.file} is of other pictures: its image_ids are {', '.join(odd[:5])}, ...; "
                f"the data set's are {', '.join(list(wanted)[:5])}, ..."
            )
        return [
            (
                key,
                f"image_id of {len(self._found[key])} entries of {self.file.name}: no such picture",
            )
            for key in odd
        ]

    def detect(
        self, pictures: Sequence[Picture], images: Sequence[NDArray[np.uint8]]
    ) -> list[Detections]:
        """The entries of each picture."""
        return [self._found.get(str(picture.id), Detections.none()) for picture in pictures]


def _detections(rows: Sequence[tuple[Entry, int]]) -> Detections:
    return Detections(
        np.array([entry.box for entry, _ in rows], np.float32),
        np.array([place for _, place in rows], np.int64),
        np.array([entry.score for entry, _ in rows], np.float32),
    )
