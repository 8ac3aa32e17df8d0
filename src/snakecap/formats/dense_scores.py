"""``scores.json`` of dense predictions: what they scored.

``{"mAP", "detmAP", "exact", "found", "AP": {"0.3": {"0": ..., "0.25": ...}, "0.7": ...}, "detAP":
{"0.3": ..., "0.7": ...}, "ranking", "images", "without_predictions", "regions", "merged",
"predictions"}`` and a stamp; ``METEOR`` too where the boxes were given. All scores are fractions.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from snakecap.formats.atomic import read_as, write_json


@dataclass(frozen=True, slots=True)
class DenseScores:
    """The scores of one set of predictions, 0..1.

    Attributes:
        mAP: the mean of `AP`, over overlaps and METEOR.
        detmAP: the mean of `detAP`, whatever the words.
        exact: share of the regions found whose caption is one of its phrases, word for word.
        found: share of the regions that a prediction has claimed with an IoU of .5 or more.
        AP: average precision by least IoU, then by the METEOR that has to be exceeded.
        detAP: average precision by least IoU.
        ranking: what the predictions were ranked by.
        without_predictions: images whose regions were all missed for that.
        regions: phrases with boxes; `merged` into as many that have to be found.
        METEOR: of given boxes, the mean over them against their own phrases.
    """

    mAP: float  # noqa: N815 - the field's name
    detmAP: float  # noqa: N815
    exact: float
    found: float
    AP: dict[str, dict[str, float]]
    detAP: dict[str, float]  # noqa: N815
    ranking: str
    images: int
    without_predictions: int
    regions: int
    merged: int
    predictions: int
    METEOR: float | None = None


_scores = TypeAdapter(DenseScores)


def write(path: Path, scores: DenseScores, **stamp: Any) -> None:
    """Write ``scores.json``; floats keep every digit."""
    known = {name: value for name, value in asdict(scores).items() if value is not None}
    write_json(path, {**known, **stamp}, indent=1)


def read(path: Path) -> DenseScores:
    """Read ``scores.json``.

    Raises:
        ValueError: the file is something else; names it.
    """
    return read_as(path, _scores, "a scores.json of dense predictions")
