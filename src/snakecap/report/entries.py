"""What the report is about: one entry for each system and stage."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snakecap.formats.atomic import read_json
from snakecap.provenance.staleness import Configuration, Known, Problem, problems

SEEDED = re.compile(r"(?P<family>.+)_seed(?P<seed>\d+)")  # how Settings.runs names a seed's run


@dataclass(frozen=True, slots=True)
class Said:
    """A caption; its log-probability, in nats, and its attention when the results say them."""

    caption: str
    log_prob: float | None = None
    attention: Any = None  # for each word, a weight for each object; as the file has it


@dataclass(frozen=True, slots=True)
class Entry:
    """One system after one training stage.

    Attributes:
        captions: caption by picture id, ids as text.
        scores: metric to value over all pictures.
        intervals: metric to its 95 % interval (low, high).
        per_picture: CIDEr by picture id, ids as text.
        control: CIDEr when every picture's caption was made from another picture's image.
        history: the training history, `history.json`.
        layout: the name of the layout that the system reads, if it reads one.
        stale: what its files, and those behind them, have against them.
    """

    system: str
    stage: str
    captions: dict[str, Said] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    per_picture: dict[str, float] = field(default_factory=dict)
    control: float | None = None
    history: dict[str, Any] = field(default_factory=dict)
    layout: str | None = None
    stale: tuple[Problem, ...] = ()

    @property
    def family(self) -> str:
        """The system's name without its seed."""
        match = SEEDED.fullmatch(self.system)
        return match["family"] if match else self.system

    @property
    def seed(self) -> int | None:
        match = SEEDED.fullmatch(self.system)
        return int(match["seed"]) if match else None

    @property
    def label(self) -> str:
        return f"{self.system} / {self.stage}"

    @property
    def minutes(self) -> float | None:
        """Training time of this stage alone."""
        seconds = self.history.get("seconds")
        return None if seconds is None else float(seconds) / 60

    @property
    def parameters(self) -> int | None:
        """Weights in the model, when the history says."""
        count = self.history.get("parameters")
        return int(count) if isinstance(count, int | float) else None


def read(
    systems: Sequence[str],
    captions: Sequence[Path],
    scores: Sequence[Path],
    controls: Sequence[Path],
    histories: Sequence[Path],
    reads: Sequence[str] = (),
    wanted: Configuration | None = None,
) -> list[Entry]:
    """Read the files of every ``name/stage``, in that order; `reads` names layouts, or is ".".

    With `wanted`, the settings of the workflow's jobs, they are held to those too.

    Raises:
        ValueError: the lists differ in length (but for captions and scores they may be empty), a
            name has no stage, or a file is not what it should be.
    """
    needed = {"captions": captions, "scores": scores}
    optional = {"controls": controls, "histories": histories, "reads": reads}
    for name, given in (needed | optional).items():
        if len(given) != len(systems) and (given or name in needed):
            raise ValueError(f"{len(systems)} systems, but {len(given)} {name}: give one for each")
    if len(set(systems)) != len(systems):
        raise ValueError(f"a system is listed twice: {', '.join(systems)}")
    entries = []
    known: Known = {}
    for at, place in enumerate(systems):
        system, slash, stage = place.rpartition("/")
        if not slash or not system or not stage:
            raise ValueError(f"system {place!r} must be written as name/stage")
        files = [row[at] for row in (captions, scores, controls, histories) if row]
        found = dict.fromkeys(one for path in files for one in problems(path, wanted, known))
        table = _scores(scores[at])
        entries.append(
            Entry(
                system,
                stage,
                captions=_captions(captions[at]),
                scores=_metrics(table),
                intervals={name: (low, high) for name, (low, high) in table["intervals"].items()},
                per_picture=_ciders(table),
                control=_scores(controls[at])["CIDEr"] if controls else None,
                history=_history(histories[at]) if histories else {},
                layout=reads[at] if reads and reads[at] != "." else None,
                stale=tuple(found),
            )
        )
    return entries


def _scores(path: Path) -> dict[str, Any]:
    table = read_json(path)
    if not isinstance(table, dict) or "CIDEr" not in table:
        raise ValueError(f"{path} holds no CIDEr: the report needs it among score.metrics")
    return {"intervals": {}, "per_image": {}, **table}


def _metrics(table: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in table.items()
        if isinstance(value, float | int) and name != "pictures"  # which are no metric
    }


def _ciders(table: Mapping[str, Any]) -> dict[str, float]:
    found = {key: row["CIDEr"] for key, row in table["per_image"].items() if "CIDEr" in row}
    return {str(key): float(value) for key, value in found.items() if math.isfinite(value)}


def _captions(path: Path) -> dict[str, Said]:
    rows = read_json(path)
    try:
        return {
            str(row["image_id"]): Said(row["caption"], _finite(row), row.get("attention"))
            for row in rows
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a list of image_id and caption: {error!r}") from None


def _finite(row: dict[str, Any]) -> float | None:
    value = row.get("log_prob")
    return value if isinstance(value, float | int) and math.isfinite(value) else None


def _history(path: Path) -> dict[str, Any]:
    history = read_json(path)
    if not isinstance(history, dict):
        raise ValueError(f"{path} is not a training history")
    return history
