"""What the report is about: one entry for each system and stage."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter

from snakecap.formats import alphas as alpha_files
from snakecap.formats.alphas import Alphas
from snakecap.formats.atomic import Id, read_as
from snakecap.provenance.staleness import Configuration, Known, Problem, problems

SEEDED = re.compile(r"(?P<family>.+)_seed(?P<seed>\d+)")  # how Settings.runs names a seed's run


Weight = Annotated[float, Field(ge=0, le=1.001, strict=True)]  # a float16's rounding above 1


@dataclass(frozen=True, slots=True)
class Said:
    """A row of the results; its log-probability, in nats, and its attention when it says them."""

    image_id: Id
    caption: str
    log_prob: float | None = None
    attention: list[list[Weight]] | None = None  # for each word, of each object
    grid: Annotated[float, Field(gt=0, le=1)] | None = None  # what the alphas' grid covers
    n_best: list[dict[str, Any]] = field(default_factory=list)  # further captions, the best first


class Scored(BaseModel, extra="allow"):
    """What the report needs of ``scores.json``, and further metrics."""

    CIDEr: float
    intervals: dict[str, tuple[float, float]] = {}
    per_image: dict[str, dict[str, float]] = {}

    def metrics(self) -> dict[str, float]:
        extra = {k: v for k, v in (self.model_extra or {}).items() if isinstance(v, float | int)}
        extra.pop("pictures", None)  # which are no metric
        return {"CIDEr": self.CIDEr, **extra}


_said, _history = TypeAdapter(list[Said]), TypeAdapter(dict[str, Any])
_scored = TypeAdapter(Scored)
SCORES = "scores with CIDEr, which the report needs among score.metrics"


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
        alphas: what each word looks at in the picture's grid, (T, R) by picture id as text.
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
    alphas: Mapping[str, Alphas] = field(default_factory=dict)
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
    def covers(self) -> float:
        """How much of a picture's sides the alphas' grid covers."""
        return next((one.grid for one in self.captions.values() if one.grid), 1.0)

    @property
    def label(self) -> str:
        return f"{self.system} / {self.stage}"

    @property
    def series(self) -> tuple[list[tuple[int, float]], ...]:
        """Loss, validation loss and validation CIDEr, each by iteration, where they are finite."""
        past = self.history
        rows = (past.get("val_lang_stats_history") or {}).items()
        ciders = {at: row.get("CIDEr") for at, row in rows if row}
        return tuple(map(_finite, (past.get("loss_history"), past.get("val_loss_history"), ciders)))

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


def _finite(values: Mapping[str, float | None] | None) -> list[tuple[int, float]]:
    known = ((int(at), value) for at, value in (values or {}).items() if value is not None)
    return sorted((at, float(value)) for at, value in known if math.isfinite(value))


def by_stage(entries: Sequence[Entry]) -> dict[tuple[str, str], list[Entry]]:
    """The runs of each system and stage, its seeds, in the entries' order."""
    found: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        found.setdefault((entry.family, entry.stage), []).append(entry)
    return found


def read(
    systems: Sequence[str],
    captions: Sequence[Path],
    scores: Sequence[Path],
    controls: Sequence[Path],
    histories: Sequence[Path],
    reads: Sequence[str] = (),
    trained: Sequence[str] = (),
    alphas: Sequence[Path] = (),
    wanted: Configuration | None = None,
) -> list[Entry]:
    """Read the files of every ``name/stage``, in that order; `reads` names layouts, or is ".".

    Histories are those of `trained`, or of all. With `wanted`, the settings of the workflow's jobs,
    they are held to those too.

    Raises:
        ValueError: the lists differ in length (but for captions and scores they may be empty), a
            name has no stage, or a file is not what it should be.
    """
    needed = {"captions": (captions, systems), "scores": (scores, systems)}
    optional = {
        "controls": (controls, systems),
        "histories": (histories, trained or systems),
        "reads": (reads, systems),
        "alphas": (alphas, systems),
    }
    for name, (given, of) in (needed | optional).items():
        if len(given) != len(of) and (given or name in needed):
            raise ValueError(f"{len(of)} systems, but {len(given)} {name}: give one for each")
    past = dict(zip(trained or systems, histories, strict=bool(histories)))
    if len(set(systems)) != len(systems):
        raise ValueError(f"a system is listed twice: {', '.join(systems)}")
    entries = []
    known: Known = {}
    for at, place in enumerate(systems):
        system, slash, stage = place.rpartition("/")
        if not slash or not system or not stage:
            raise ValueError(f"system {place!r} must be written as name/stage")
        history = past.get(place)
        files = [row[at] for row in (captions, scores, controls) if row]
        files += [history] if history else []
        found = dict.fromkeys(one for path in files for one in problems(path, wanted, known))
        said = read_as(captions[at], _said, "a list of image_id and caption")
        table = read_as(scores[at], _scored, SCORES)
        ciders = {key: row["CIDEr"] for key, row in table.per_image.items() if "CIDEr" in row}
        spoken = {str(one.image_id): one for one in said}
        looked = alpha_files.read(alphas[at], len(spoken)) if alphas else None
        entries.append(
            Entry(
                system,
                stage,
                captions=spoken,
                scores=table.metrics(),
                intervals=table.intervals,
                per_picture={key: value for key, value in ciders.items() if math.isfinite(value)},
                control=read_as(controls[at], _scored, SCORES).CIDEr if controls else None,
                history=read_as(history, _history, "a training history") if history else {},
                alphas={} if looked is None else dict(zip(spoken, looked, strict=True)),
                layout=reads[at] if reads and reads[at] != "." else None,
                stale=tuple(found),
            )
        )
    return entries
