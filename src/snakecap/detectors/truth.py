"""The data set's own objects: what a perfect detector would see (OBJ2TEXT-GT)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from snakecap.detectors.detector import Detector
from snakecap.formats.pictures import Picture
from snakecap.objects.boxes import Detections
from snakecap.objects.categories import canonical


class Truth(Detector):
    """The objects of the pictures' records in the order of the annotations, without the crowds."""

    reads_images = False
    uses = "nothing"
    device = "cpu"

    def __init__(self, *, categories: Sequence[str]):
        """Build the detector.

        Args:
            categories: names of the data set's categories.
        """
        self.categories = tuple(categories)
        self._places = {name: place for place, name in enumerate(self.categories)}

    def detect(
        self, pictures: Sequence[Picture], images: Sequence[NDArray[np.uint8]]
    ) -> list[Detections]:
        """The annotated objects, each with score 1."""
        return [self._objects(picture) for picture in pictures]

    def _objects(self, picture: Picture) -> Detections:
        chosen = [row for row in picture.objects if not row.crowd]
        return Detections(
            np.array([row.box for row in chosen], np.float32).reshape(-1, 4),
            np.array([self._places[canonical(row.category)] for row in chosen], np.int64),
            np.ones(len(chosen), np.float32),
        )
