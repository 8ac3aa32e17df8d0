"""``scores.json``: what a set of captions scored.

``{"Bleu_1": ..., "CIDEr": ..., "intervals": {"CIDEr": [low, high]}, "pictures": N,
"per_image": {id: {"Bleu_1": ...}}, "statistics": {"Bleu": [[...], ...]}}`` and a stamp. Values
have coco-caption's names and no factor of 100. Statistics are what each metric adds up over the
images, a row for each in the order of ``per_image``; intervals and comparisons come of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from snakecap.formats.atomic import read_as, write_json


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one set of captions.

    Attributes:
        statistics: by metric (a name in registry.METRICS), a row for each image.
        intervals: 95 % bootstrap intervals of the values, low and high.
    """

    values: dict[str, float]
    per_image: dict[str, dict[str, float]]
    statistics: dict[str, list[list[float]]]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)


@with_config(ConfigDict(extra="allow"))
class _File(TypedDict):
    per_image: Annotated[dict[str, dict[str, float]], Field(min_length=1)]
    statistics: dict[str, list[list[float]]]
    intervals: dict[str, tuple[float, float]]


def write(path: Path, scores: Scores, **stamp: Any) -> None:
    """Write ``scores.json``; floats keep every digit."""
    content = {
        **scores.values,
        "intervals": scores.intervals,
        "pictures": len(scores.per_image),
        **stamp,
        "per_image": scores.per_image,
        "statistics": {
            name: [[_short(value) for value in row] for row in rows]
            for name, rows in scores.statistics.items()
        },
    }
    write_json(path, content)


def read(path: Path) -> Scores:
    """Read ``scores.json``.

    Raises:
        ValueError: the file is something else; names it.
    """
    content: Any = read_as(path, TypeAdapter(_File), "a scores.json of snakecap")
    names = next(iter(content["per_image"].values()))
    values = {name: value for name, value in content.items() if name in names}
    return Scores(values, content["per_image"], content["statistics"], content["intervals"])


def _short(value: float) -> float:
    return int(value) if value.is_integer() else value
