"""The detectors that the layouts come from: how good they are, and how fast they were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakecap.formats.atomic import read_json

COLUMNS = ("detector", "split", "AP", "AP50", "AP75", "pictures", "pictures/s")
NOTE = (
    "AP: COCO's average precision over overlaps .50 to .95, against the data set's own objects; "
    "pictures/s: when it looked at the whole data set, decoding included."
)


@dataclass(frozen=True, slots=True)
class Judged:
    """A detector on a split; no numbers where the data set says nothing of its objects.

    Attributes:
        name: a row of `detectors`.
        precision: AP, AP50 and AP75.
        pictures: of the split that have objects.
        throughput: pictures a second.
    """

    name: str
    split: str
    precision: tuple[float, ...] = ()
    pictures: int | None = None
    throughput: float | None = None

    def cells(self) -> list[str]:
        """The numbers as text, one for each of `COLUMNS`."""
        numbers = [f"{value:.3f}" for value in self.precision] or [""] * 3
        pictures = "" if self.pictures is None else f"{self.pictures:,}"
        speed = "" if self.throughput is None else f"{self.throughput:,.1f}"
        return [self.name, self.split, *numbers, pictures, speed]


def read(infos: Sequence[Path], scores: Sequence[Path], splits: Iterable[str]) -> list[Judged]:
    """Every detector on every split of the report.

    Args:
        infos: ``detections/{name}_info.json``.
        scores: ``detections/{name}_scores.json`` of each; or empty.
        splits: that the report is about.

    Raises:
        ValueError: the lists differ in length, or a file is not what it should be.
    """
    if scores and len(scores) != len(infos):
        raise ValueError(f"{len(infos)} detectors, but {len(scores)} detector_scores")
    chosen = list(splits)
    return [
        _judged(info, scores[at] if scores else None, split)
        for at, info in enumerate(infos)
        for split in chosen
    ]


def _judged(info: Path, scores: Path | None, split: str) -> Judged:
    name = info.stem.removesuffix("_info")
    facts = _table(info)
    row = _table(scores).get(split) if scores else None
    try:
        speed = facts.get("throughput")
        throughput = None if speed is None else float(speed)
        if row is None:
            return Judged(name, split, throughput=throughput)
        precision = tuple(float(row[key]) for key in ("AP", "AP50", "AP75"))
        return Judged(name, split, precision, int(row["pictures"]), throughput)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{scores or info} does not judge a detector: {error!r}") from None


def _table(path: Path) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path} is not a table about a detector")
    return value
