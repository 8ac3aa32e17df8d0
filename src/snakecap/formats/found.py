"""What a detector has seen so far, growing in LMDB while it works; killed runs go on from it.

Key: the picture's row, counted from 0. Value: JSON ``{"boxes", "categories", "scores", "notes",
"size"}``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakecap.formats.store import Store
from snakecap.objects.boxes import Detections


@dataclass(frozen=True)
class Sighting:
    """One picture's.

    Attributes:
        found: the objects.
        notes: a line for each object that was clipped or dropped.
        size: the picture's width and height; 0 when not known.
    """

    found: Detections
    notes: tuple[str, ...]
    size: tuple[int, int]


class Sightings:
    """The sightings of pictures by row.

    Args:
        path: the file; made when missing.
    """

    def __init__(self, path: Path):
        self.store = Store(path)

    def has(self, rows: Sequence[int]) -> bool:
        """Whether all of these are stored."""
        return all(self.store.holds(map(_key, rows)))

    def get(self, row: int) -> Sighting | None:
        """One of them, or None."""
        text = self.store.get(_key(row))
        if text is None:
            return None
        value = json.loads(text)
        found = Detections(
            np.array(value["boxes"], np.float32).reshape(-1, 4),
            np.array(value["categories"], np.int64),
            np.array(value["scores"], np.float32),
        )
        width, height = value["size"]
        return Sighting(found, tuple(value["notes"]), (width, height))

    def save(self, rows: Sequence[int], seen: Sequence[Sighting]) -> None:
        """Store some, all or none of them."""
        self.store.save([(_key(row), _text(one)) for row, one in zip(rows, seen, strict=True)])

    def close(self) -> None:
        """Flush to disk and close."""
        self.store.close()


def _key(row: int) -> bytes:
    return b"%d" % row


def _text(seen: Sighting) -> bytes:
    value = {
        "boxes": seen.found.boxes.tolist(),
        "categories": seen.found.categories.tolist(),
        "scores": seen.found.scores.tolist(),
        "notes": seen.notes,
        "size": seen.size,
    }
    return json.dumps(value).encode()
