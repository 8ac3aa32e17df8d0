"""One object in a picture: what it is, where, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

Box = tuple[float, float, float, float]  # [x, y, width, height], the top-left corner first


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

    @classmethod
    def from_json(cls, row: Any) -> Object:
        """What `as_json` gave, also without a score; boxes may be arrays and tensors.

        Raises:
            ValueError: not an object; says why.
        """
        try:
            category, box, score = row["category"], row["box"], row.get("score", 1.0)
            box = box.tolist() if hasattr(box, "tolist") else box
            if not isinstance(category, str):
                raise ValueError(f"the category {category!r} is not a name")
            if not isinstance(box, list | tuple) or not all(map(_is_number, box)) or len(box) != 4:
                raise ValueError(f"the box {box!r} is not [x, y, width, height]")
            x, y, width, height = map(float, box)
            return cls(category, (x, y, width, height), float(score))
        except KeyError as error:
            raise ValueError(f"no {error}") from None
        except (TypeError, AttributeError, OverflowError) as error:
            raise ValueError(str(error)) from None


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
