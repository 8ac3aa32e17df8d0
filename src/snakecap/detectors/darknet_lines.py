"""OBJ2TEXT's own detections (`snakecap.formats.darknet_lines`), matched by the pictures' names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from snakecap.detectors.detector import Detector
from snakecap.formats.darknet_lines import Line, decode_boxes, read
from snakecap.formats.pictures import Picture
from snakecap.objects.boxes import Detections
from snakecap.objects.categories import NAMES


class DarknetLines(Detector):
    """The lines of a file; its paths are of its authors' machine, so only their last parts count.

    Boxes come from whole pixels of a 608 x 608 letterbox: they are rough by a pixel of that.
    """

    reads_images = False
    uses = "file"
    device = "cpu"

    def __init__(self, *, file: Path):
        """Read the file.

        Raises:
            ValueError: a line is not of this format; names the file and the line.
        """
        self.file = file
        self.categories = NAMES
        self._lines: dict[str, list[Line]] = {}
        for line in read(file):
            self._lines.setdefault(PurePosixPath(line.file).name, []).append(line)

    def match(self, pictures: Sequence[Picture]) -> list[tuple[str, str]]:
        """Nothing: lines of other pictures are left out. Every picture needs exactly one line."""
        seen: dict[str, str] = {}
        for picture in pictures:
            self.line(picture)
            other = seen.setdefault(PurePosixPath(picture.file).name, picture.file)
            if other != picture.file:
                raise ValueError(
                    f"{self.file} goes by names without folders, and two pictures have the same: "
                    f"{other} and {picture.file}"
                )
        return []

    def detect(
        self, pictures: Sequence[Picture], images: Sequence[NDArray[np.uint8]]
    ) -> list[Detections]:
        """What the picture's line says, each object with score 1."""
        return [self._objects(picture) for picture in pictures]

    def _objects(self, picture: Picture) -> Detections:
        line = self.line(picture)
        if not (picture.width and picture.height):
            raise ValueError(
                f"{picture.file}: neither pictures.json nor the image file says how large it is: "
                f"its boxes in {self.file} cannot be taken out of their letterbox"
            )
        boxes = decode_boxes(line.boxes, picture.width, picture.height)
        return Detections(boxes, line.categories, np.ones(len(boxes), np.float32))

    def line(self, picture: Picture) -> Line:
        """The only line of a picture.

        Raises:
            ValueError: there is none, or several.
        """
        name = PurePosixPath(picture.file).name
        lines = self._lines.get(name, [])
        if len(lines) == 1:
            return lines[0]
        some = ", ".join(line.file for line in lines[:3]) or "none"
        raise ValueError(f"{self.file} needs one line for the picture {name!r}, not {some}")
