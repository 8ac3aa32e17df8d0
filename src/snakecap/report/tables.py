"""The score table: systems x stages x metrics, with intervals, seeds and controls."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from snakecap.formats.atomic import read_text, write_text
from snakecap.provenance import staleness
from snakecap.provenance.staleness import Problem
from snakecap.report.differences import averaged, bootstrap
from snakecap.report.entries import Entry

METRICS = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr")
MARK = "\N{DAGGER}"
STALE = (
    f"{MARK}: not what this configuration, this code and these inputs make. "
    "snakecap info FILE says what a file was made from; to make it again, delete it."
)
START, END = "<!-- snakecap:table -->", "<!-- /snakecap:table -->"
NOTE = (
    "Square brackets: 95 % bootstrap interval over pictures, of the mean over seeds if there are "
    "several. ±: standard deviation over seeds. Control: CIDEr when each caption was made from "
    "another picture, which is what a system gets without seeing. Minutes: training time of the "
    "stage. Bold: best of the column."
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes:
        kind: `run`: one training run; `mean`: over the seeds of a system, `deviation` beside it.
        values: metric, and `control`, `minutes`, `parameters`, to its value.
        intervals: metric to its 95 % interval; of a mean only CIDEr's.
        deviation: sample standard deviation over the seeds of what is in `values`; means only.
        stale: what its files, and those behind them, have against them.
        headline: competes for the column's best: a mean, or a run without sister seeds.
    """

    system: str
    stage: str
    kind: str
    seeds: tuple[int, ...]
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    deviation: dict[str, float] = field(default_factory=dict)
    headline: bool = True
    stale: tuple[Problem, ...] = ()

    @property
    def mark(self) -> str:
        """Behind the name of a row whose files are not what the configuration says now."""
        return f" {MARK}" if self.stale else ""


def rows(entries: Sequence[Entry]) -> list[Row]:
    """The table's lines in the entries' order; a system's seeds follow their mean."""
    found = []
    for family, stage in dict.fromkeys((entry.family, entry.stage) for entry in entries):
        runs = [e for e in entries if (e.family, e.stage) == (family, stage)]
        lines = [_run(entry, headline=len(runs) == 1) for entry in runs]
        found += [_mean(runs, lines), *lines] if len(runs) > 1 else lines
    return found


def _run(entry: Entry, *, headline: bool) -> Row:
    extra = {
        "control": entry.control,
        "minutes": entry.minutes,
        "parameters": entry.parameters,
    }
    values = entry.scores | {name: value for name, value in extra.items() if value is not None}
    numbers = () if entry.seed is None else (entry.seed,)
    system = entry.system if headline else entry.family
    intervals = dict(entry.intervals)
    return Row(
        *(system, entry.stage, "run", numbers, values, intervals),
        headline=headline,
        stale=entry.stale,
    )


def _mean(entries: Sequence[Entry], runs: Sequence[Row]) -> Row:
    shared = [name for name in runs[0].values if all(name in run.values for run in runs)]
    table = {name: [run.values[name] for run in runs] for name in shared}
    means = {name: float(np.mean(values)) for name, values in table.items()}
    spread = {name: float(np.std(values, ddof=1)) for name, values in table.items()}
    numbers = tuple(seed for run in runs for seed in run.seeds)
    pictures = averaged([entry.per_picture for entry in entries])
    intervals = {"CIDEr": bootstrap(np.array(list(pictures.values())))} if pictures else {}
    stale = tuple(dict.fromkeys(one for run in runs for one in run.stale))
    name, stage = entries[0].family, runs[0].stage
    return Row(name, stage, "mean", numbers, means, intervals, spread, stale=stale)


def metrics(table: Sequence[Row]) -> list[str]:
    """The metrics that some row has: the usual ones in their order, then any other."""
    extra = {"control", "minutes", "parameters"}
    seen = dict.fromkeys(name for row in table for name in row.values if name not in extra)
    return [name for name in METRICS if name in seen] + [n for n in seen if n not in METRICS]


def columns(table: Sequence[Row]) -> list[str]:
    """All columns of numbers that some row fills."""
    extra = ("control", "minutes", "parameters")
    return metrics(table) + [name for name in extra if any(name in row.values for row in table)]


def staged(table: Sequence[Row]) -> bool:
    """Whether rows have stages of different names; else their column would say nothing."""
    return len({row.stage for row in table}) > 1


def best(table: Sequence[Row]) -> dict[str, float]:
    """The best value of each metric among the headline rows, where there are two or more."""
    headlines = [row for row in table if row.headline]
    if len(headlines) < 2:
        return {}
    return {
        name: max(row.values[name] for row in headlines if name in row.values)
        for name in metrics(headlines)
    }


def show(name: str, value: float) -> str:
    """A number for people: three decimals for a metric, one for minutes, M for parameters."""
    if name == "minutes":
        return f"{value:.1f}"
    if name == "parameters":
        return f"{value / 1e6:.2f} M" if value >= 1e5 else f"{value:,.0f}"
    return f"{value:.3f}"


def deviation(row: Row, name: str) -> str:
    """The deviation over seeds, or nothing."""
    if name not in row.deviation or name in ("minutes", "parameters"):
        return ""
    return f"± {show(name, row.deviation[name])}"


def interval(row: Row, name: str) -> str:
    """CIDEr's interval, or nothing: those of all metrics would bury the numbers."""
    if name != "CIDEr" or name not in row.intervals:
        return ""
    low, high = row.intervals[name]
    return f"[{low:.3f}, {high:.3f}]"


def stale(table: Sequence[Row]) -> dict[str, list[str]]:
    """A line for each thing that changed since, and the rows that it concerns."""
    causes: dict[str, tuple[list[Problem], dict[str, None]]] = {}
    for row in table:
        for problem in row.stale if row.kind == "run" else ():
            seed = "".join(f", seed {number}" for number in row.seeds)
            problems, names = causes.setdefault(problem.cause, ([], {}))
            problems.append(problem)
            names[f"{row.system}/{row.stage}{seed}"] = None
    return {staleness.summary(problems)[0]: list(names) for problems, names in causes.values()}


def seeds(row: Row) -> str:
    """Which seeds a row is of, when its system has several."""
    if row.kind == "mean":
        return f"{len(row.seeds)} seeds"
    return "" if row.headline else f"seed {row.seeds[0]}"


def comma_separated(table: Sequence[Row]) -> str:
    """The table as CSV, every digit kept; a `deviation` row follows each `mean` row."""
    names = columns(table)
    ranged = [name for name in names if any(name in row.intervals for row in table)]
    flagged = any(row.stale for row in table)
    head = ["system", "stage", "row", "seeds", *(["stale"] if flagged else [])]
    for name in names:
        head += [name, f"{name}_low", f"{name}_high"] if name in ranged else [name]
    text = io.StringIO()
    writer = csv.DictWriter(text, head, restval="", lineterminator="\n")
    writer.writeheader()
    for row in table:
        facts = {"system": row.system, "stage": row.stage, "seeds": " ".join(map(str, row.seeds))}
        facts |= {"stale": "; ".join(staleness.summary(row.stale))} if flagged else {}
        values = {name: repr(value) for name, value in row.values.items()}
        for name, (low, high) in row.intervals.items():
            if name in ranged:
                values |= {f"{name}_low": repr(low), f"{name}_high": repr(high)}
        writer.writerow(facts | {"row": row.kind} | values)
        if row.kind == "mean":
            spread = {name: repr(value) for name, value in row.deviation.items()}
            writer.writerow(facts | {"row": "deviation"} | spread)
    return text.getvalue()


def insert(readme: Path, text: str) -> None:
    """Put `text` between the table's markers of a README.

    Raises:
        ValueError: the markers are missing, repeated or in the wrong order.
    """
    whole = read_text(readme)
    if whole.count(START) != 1 or whole.count(END) != 1 or whole.index(START) > whole.index(END):
        raise ValueError(f"{readme} needs one line {START} and below it one line {END}")
    before, _, rest = whole.partition(START)
    _, _, after = rest.partition(END)
    write_text(readme, f"{before}{START}\n{text.strip()}\n{END}{after}")
