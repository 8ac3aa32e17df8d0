"""What captions are asked for: photos, layouts, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakecap.formats import layouts as layout_files
from snakecap.objects.layout import Layout

Photo = str | bytes | Path


@dataclass(frozen=True)
class Request:
    """What a caption is asked for: a photo, its layout, or both.

    Attributes:
        photo: a path, or the bytes of an image file.
        layout: the objects in it; without one, models that read layouts need a detector.
    """

    photo: Photo | None = None
    layout: Layout | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        named = isinstance(self.photo, str | Path)
        return str(self.photo) if named else "the image" if self.photo else "the layout"


def as_request(given: Any) -> Request:
    """Anything that `Model.caption` takes.

    Raises:
        TypeError: something else.
    """
    if isinstance(given, Request):
        return given
    if isinstance(given, str | Path) and Path(given).suffix.lower() == ".json":
        records = layout_files.read_json_layouts(Path(given))
        if len(records) != 1:
            raise ValueError(f"{given} holds {len(records)} layouts: give them one by one")
        return Request(records[0].photo, records[0].layout)
    if isinstance(given, str | bytes | Path):
        return Request(photo=given)
    if isinstance(given, Layout):
        return Request(layout=given)
    if isinstance(given, Mapping):
        return Request(layout=layout_files.from_json(given))
    raise TypeError(
        "captions are asked for paths, the bytes of image files, layouts, or a list of them, not "
        f"for a {type(given).__name__}"
    )
