"""What every detector is: pictures to the objects in them.

A detector is built from its row of `detectors`: its options (keyword arguments that have defaults)
and, by name, what it asks for of these (keyword arguments without a default): ``file``, a path to
its weights or results; ``categories``, the names of the data set's categories; ``ids``, names by
the ids that the data set has for them, if any; ``min_score``, ``overlap`` and ``limit`` of the row;
``place``, a torch device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from snakecap.formats.pictures import Picture
from snakecap.objects.boxes import Detections


class Detector:
    """Base class; the family's tests hold every detector to what is said here.

    Attributes:
        reads_images: whether `detect` looks at pixels.
        uses: ``weights`` (a file, or trained by `snakecap.steps.train_detector`), ``file``
            (weights or results that it cannot make), or ``nothing``.
        by_split: whether ``{split}`` in the name of its file may stand for several.
        device: where it computes, ``cpu`` or ``cuda``; None: at its `place`.
        categories: names; `Detections.categories` are places in it.
    """

    reads_images: ClassVar[bool] = True
    uses: ClassVar[Literal["weights", "file", "nothing"]] = "nothing"
    by_split: ClassVar[bool] = False
    device: str | None = None
    categories: tuple[str, ...]

    def detect(
        self, pictures: Sequence[Picture], images: Sequence[NDArray[np.uint8]]
    ) -> list[Detections]:
        """The objects of each picture, in the detector's own order.

        Args:
            pictures: their records; a size of 0 is not known.
            images: uint8 RGB of shape (3, H, W) each; empty when `reads_images` is false.

        Returns:
            One entry for each picture; it does not depend on the others of the batch. Boxes are in
            pixels of the images and inside them; of a detector that reads no images, in pixels of
            the records, and as they were written: `snakecap.inference.detector` clips them.
        """
        raise NotImplementedError

    def match(self, pictures: Sequence[Picture]) -> list[tuple[str, str]]:
        """Compare what the detector has read with all the pictures that it will be asked for.

        Returns:
            What is of none of them, as rows of ``rejected.tsv``.

        Raises:
            ValueError: its results are of other pictures.
        """
        return []
