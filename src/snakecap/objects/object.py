"""One object in a picture: what it is, where, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, StrictFloat


def _listed(box: Any) -> Any:
    return box.tolist() if hasattr(box, "tolist") else box  # arrays and tensors


# [x, y, width, height], the top-left corner first.
Box = Annotated[tuple[StrictFloat, StrictFloat, StrictFloat, StrictFloat], BeforeValidator(_listed)]


@dataclass(frozen=True, slots=True)
class Object:
    """One object.

    Attributes:
        box: in pixels of the picture; of a layout, in 0..1 of it.
        score: how sure a detector is, 0..1.
        crowd: whether it is annotated as a group, neither a hit nor a miss for detectors.
    """

    category: str
    box: Box
    score: float = 1.0
    crowd: bool = False

    def divided(self, width: float, height: float) -> Object:
        """An object of a picture of this size in pixels, its box in 0..1 of the picture."""
        x, y, w, h = self.box
        box = (x / width, y / height, w / width, h / height)
        return Object(self.category, box, self.score, self.crowd)

    def as_json(self) -> dict[str, Any]:
        """``{"category", "box", "score"}``."""
        return {"category": self.category, "box": self.box, "score": self.score}
