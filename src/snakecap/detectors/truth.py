"""The data set's own objects: what a perfect detector would see (OBJ2TEXT-GT)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from snakecap.detectors.detector import Detector
from snakecap.formats.pictures import Picture
from snakecap.objects.boxes import Detections


class Truth(Detector):
    """The objects of the pictures' records in the order of the annotations, without the crowds."""

    reads_images = False
    uses = "nothing"
    device = "cpu"

    def __init__(self, *, categories: Sequence[str]):
        self.categories = tuple(categories)
        self._places = {name: place for place, name in enumerate(self.categories)}

    def detect(
        self, pictures: Sequence[Picture], images: Sequence[NDArray[np.uint8]]
    ) -> list[Detections]:
        """The annotated objects, each with score 1."""
        return [
            Detections.of([one for one in picture.objects if not one.crowd], self._places)
            for picture in pictures
        ]
