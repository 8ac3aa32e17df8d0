"""The report's tables as data frames: scores, captions, detectors; and all tables' texts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired

import numpy as np
import pandas as pd
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from snakecap.formats.atomic import read_as, read_text, write_text
from snakecap.metrics import diversity as varied
from snakecap.provenance import staleness
from snakecap.provenance.staleness import Problem
from snakecap.report.differences import averaged, bootstrap
from snakecap.report.entries import Entry, by_stage
from snakecap.report.page import Strong

METRICS = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr")
EXTRA = ("control", "minutes", "parameters")
PRECISIONS = ("AP", "AP50", "AP75")
DIVERSITY_FORMATS = {
    "words": ".1f",
    "distinct": ".3f",
    "vocabulary": ",.0f",
    "new": ".3f",
    "perplexity": ".2f",
    "Div_1": ".3f",
    "Div_2": ".3f",
    "mBLEU_4": ".3f",
}
DETECTOR_FORMATS = {**dict.fromkeys(PRECISIONS, ".3f"), "pictures": ",", "pictures/s": ",.1f"}
FACTS = ("system", "stage", "row", "seeds", "stale", "headline")
Row = dict[Any, Any]  # of a data frame, by column
MARK = "\N{DAGGER}"
NOTES = {
    "scores": "Square brackets: 95 % bootstrap interval over pictures, of the mean over seeds if "
    "there are several. ±: standard deviation over seeds. Control: CIDEr when each caption was "
    "made from another picture, which is what a system gets without seeing. Minutes: training time "
    "of the stage. Bold: best of the column.",
    "stale": f"{MARK}: not what this configuration, this code and these inputs make. "
    "snakecap info FILE says what a file was made from; to make it again, delete it.",
    "differences": "Each picture's CIDEr is averaged over a system's seeds; the interval is over "
    "pictures, not seeds. Bold: it leaves out zero.",
    "diversity": "words: mean length; distinct: share of captions that differ from all others'; "
    "vocabulary: different words used; new: share that is no caption of the training split; "
    "perplexity: of the model's own captions, END included; Div, mBLEU: of several captions a "
    "picture (decoding.n_best). Means over seeds.",
    "detectors": "AP: COCO's average precision over overlaps .50 to .95, against the data set's "
    "own objects; pictures/s: when it looked at the whole data set, decoding included.",
}
START, END = "<!-- snakecap:table -->", "<!-- /snakecap:table -->"


# Scores


def scores(entries: Sequence[Entry]) -> pd.DataFrame:
    """A row for each run in the entries' order; those of a system's seeds follow their mean.

    Columns: ``system``, ``stage``; ``row``: run, mean or, right after that, its sample deviation;
    ``seeds``; ``stale``: a list of problems; ``headline``: whether it competes for the column's
    best, a mean or a run without sister seeds; the metrics that some run has, the usual ones in
    their order, each with ``_low`` and ``_high`` of its 95 % interval where some run has one;
    ``control``, ``minutes``, ``parameters``. Of a mean only CIDEr has an interval.
    """
    rows: list[Row] = []
    for (family, _), runs in by_stage(entries).items():
        alone = len(runs) == 1
        lines = [_run(one, one.system if alone else family, headline=alone) for one in runs]
        rows += lines if alone else [*_mean(runs, lines), *lines]
    seen = dict.fromkeys(name for row in rows for name in row if name not in FACTS)
    metrics = [name for entry in entries for name in entry.scores]
    names = dict.fromkeys([*(name for name in METRICS if name in metrics), *metrics, *EXTRA])
    order = [n for name in names for n in (name, f"{name}_low", f"{name}_high") if n in seen]
    return pd.DataFrame(rows, columns=[*FACTS, *order], dtype=object)


def _run(entry: Entry, system: str, *, headline: bool) -> Row:
    extra = {name: value for name in EXTRA if (value := getattr(entry, name)) is not None}
    return {
        "system": system,
        "stage": entry.stage,
        "row": "run",
        "seeds": "" if entry.seed is None else str(entry.seed),
        "stale": entry.stale,
        "headline": headline,
        **entry.scores,
        **extra,
        **{f"{name}_low": low for name, (low, _) in entry.intervals.items()},
        **{f"{name}_high": high for name, (_, high) in entry.intervals.items()},
    }


def _mean(runs: Sequence[Entry], lines: Sequence[Row]) -> list[Row]:
    """The mean of a system's seeds, and their deviation."""
    facts = {
        "system": lines[0]["system"],
        "stage": lines[0]["stage"],
        "seeds": " ".join(line["seeds"] for line in lines if line["seeds"]),
        "stale": tuple(dict.fromkeys(one for line in lines for one in line["stale"])),
        "headline": True,
    }
    names = (*runs[0].scores, *EXTRA)
    shared = [name for name in names if all(name in line for line in lines)]
    values = {name: [float(line[name]) for line in lines] for name in shared}
    means = {name: float(np.mean(some)) for name, some in values.items()}
    spread = {name: float(np.std(some, ddof=1)) for name, some in values.items()}
    pictures = averaged([entry.per_picture for entry in runs])
    if pictures:
        means["CIDEr_low"], means["CIDEr_high"] = bootstrap(np.array(list(pictures.values())))
    return [facts | {"row": "mean"} | means, facts | {"row": "deviation"} | spread]


def numbers(table: pd.DataFrame) -> list[str]:
    """The columns of numbers but the intervals'."""
    ends = {f"{name}{end}" for name in table for end in ("_low", "_high")}
    return [str(name) for name in table if name not in FACTS and name not in ends]


def comma_separated(table: pd.DataFrame) -> str:
    """The scores as CSV, every digit kept."""
    flagged = any(table["stale"])
    text = table["stale"].map(lambda found: "; ".join(staleness.summary(found)))
    kept = table.assign(stale=text).drop(columns=["headline", *([] if flagged else ["stale"])])
    return kept.to_csv(index=False, lineterminator="\n")


def stale(table: pd.DataFrame) -> dict[str, str]:
    """A line for each thing that changed since, and the runs that it concerns."""
    causes: dict[str, tuple[list[Problem], dict[str, None]]] = {}
    for row in table[table["row"] == "run"].to_dict("records"):
        for problem in row["stale"]:
            problems, names = causes.setdefault(problem.cause, ([], {}))
            problems.append(problem)
            seed = f", seed {row['seeds']}" if row["seeds"] else ""
            names[f"{row['system']}/{row['stage']}{seed}"] = None
    found = causes.values()
    return {staleness.summary(problems)[0]: ", ".join(names) for problems, names in found}


def lines(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The scores as people see them.

    Returns:
        For each mean and each run ``system``, ``seeds``, ``stage``, ``mark``, ``headline``;
        ``cells``: by column [number, deviation, interval], the best of a metric `Strong`; and a
        ``bar``: CIDEr and its interval, or deviation, in percent of the table's highest.
    """
    names = numbers(table)
    competing = table[table["headline"] & (table["row"] != "deviation")]
    metrics = [name for name in names if name not in EXTRA and len(competing) > 1]
    best = {name: competing[name].max() for name in metrics}
    rows: list[Row] = table.to_dict("records")
    found = []
    for at, row in enumerate(rows):
        if row["row"] == "deviation":
            continue
        mean = row["row"] == "mean"
        spread = rows[at + 1] if mean else {}
        single = "" if row["headline"] else f"seed {row['seeds']}"
        found.append(
            {
                **{name: row[name] for name in ("system", "stage", "headline")},
                "seeds": f"{len(row['seeds'].split())} seeds" if mean else single,
                "mark": f" {MARK}" if row["stale"] else "",
                "cells": {name: _cell(name, row, spread, best) for name in names},
                "bar": _bar(row, spread),
            }
        )
    scale = max([1e-9, *(number for line in found for number in line["bar"])])
    for line in found:
        line["bar"] = [100 * min(1, max(0, number / scale)) for number in line["bar"]]
    return found


def _cell(name: str, row: Row, spread: Row, best: Mapping[str, float]) -> list[str]:
    value, beside = row[name], spread.get(name)
    if pd.isna(value):
        return ["", "", ""]
    number = show(name, value)
    strong = row["headline"] and value == best.get(name)
    varies = name not in ("minutes", "parameters") and not pd.isna(beside)
    # CIDEr's alone: the intervals of all metrics would bury the numbers.
    low, high = (row.get(f"CIDEr_{end}") if name == "CIDEr" else None for end in ("low", "high"))
    return [
        Strong(number) if strong else number,
        f"± {show(name, beside)}" if varies else "",
        "" if pd.isna(low) else f"[{low:.3f}, {high:.3f}]",
    ]


def _bar(row: Row, spread: Row) -> list[float]:
    value, deviation = row.get("CIDEr"), spread.get("CIDEr", 0.0)
    if pd.isna(value):
        return []
    low, high = row.get("CIDEr_low"), row.get("CIDEr_high")
    return [value, *((value - deviation, value + deviation) if pd.isna(low) else (low, high))]


def show(name: str, value: float) -> str:
    """A number for people: three decimals for a metric, one for minutes, M for parameters."""
    if name == "minutes":
        return f"{value:.1f}"
    if name == "parameters":
        return f"{value / 1e6:.2f} M" if value >= 1e5 else f"{value:,.0f}"
    return f"{value:.3f}"


# Detectors


class _Info(TypedDict):
    throughput: NotRequired[float | None]


class _Judged(TypedDict):
    AP: float
    AP50: float
    AP75: float
    pictures: int


_info, _judged = TypeAdapter(_Info), TypeAdapter(dict[str, _Judged])


def detectors(infos: Sequence[Path], scores: Sequence[Path], splits: Sequence[str]) -> pd.DataFrame:
    """How good the detectors are that the layouts come from, and how fast they were.

    Args:
        infos: ``detections/{name}_info.json``.
        scores: ``detections/{name}_scores.json`` of each; or empty.

    Returns:
        A row for each detector and split: ``detector``, ``split``, ``AP``, ``AP50``, ``AP75``,
        ``pictures`` that have objects, ``pictures/s``; None where nothing is known.

    Raises:
        ValueError: the lists differ in length, or a file is not what it should be.
    """
    if scores and len(scores) != len(infos):
        raise ValueError(f"{len(infos)} detectors, but {len(scores)} detector_scores")
    rows = []
    for at, info in enumerate(infos):
        speed = read_as(info, _info, "about a detector").get("throughput")
        known = read_as(scores[at], _judged, "scores of a detector") if scores else {}
        for split in splits:
            row: Row = {"detector": info.stem.removesuffix("_info"), "split": split}
            rows.append({**row, **known.get(split, {}), "pictures/s": speed})
    return pd.DataFrame(rows, columns=["detector", "split", *DETECTOR_FORMATS], dtype=object)


# What captions are like


def diversity(entries: Sequence[Entry], training: Collection[str] = ()) -> pd.DataFrame:
    """How varied and how sure the captions are; of several seeds the means.

    Args:
        training: captions that models learnt from.

    Returns:
        A row for each system and stage: ``system``, ``stage``, and what `metrics.diversity` says.
    """
    known = {varied.words(caption) for caption in training}
    rows: list[Row] = []
    for (family, stage), runs in by_stage(entries).items():
        each = pd.DataFrame([_varied(entry, known) for entry in runs])
        rows.append({"system": family, "stage": stage, **each.mean()})
    found = pd.DataFrame(rows)
    return found[[name for name in ("system", "stage", *DIVERSITY_FORMATS) if name in found]]


def _varied(entry: Entry, known: Collection[varied.Words]) -> dict[str, float]:
    said = entry.captions.values()
    best = [varied.words(one.caption) for one in said]
    several = [[varied.words(row["caption"]) for row in one.n_best] for one in said]
    found = {**varied.of_captions(best, known), **varied.of_several(several)}
    chances = [(one.log_prob, len(words) + 1) for one, words in zip(said, best, strict=True)]
    finite = [(chance, n) for chance, n in chances if chance is not None and np.isfinite(chance)]
    if finite:
        total, words = map(sum, zip(*finite, strict=True))
        found["perplexity"] = float(np.exp(-total / words))
    return found


# Texts


def texts(
    scores: pd.DataFrame,
    differences: pd.DataFrame,
    detectors: pd.DataFrame,
    diversity: pd.DataFrame,
) -> dict[str, Any]:
    """What the templates show, all numbers rounded."""
    detectors, diversity = (
        _rounded(detectors, DETECTOR_FORMATS),
        _rounded(diversity, DIVERSITY_FORMATS),
    )
    return {
        "names": numbers(scores),
        "staged": scores["stage"].nunique() > 1,  # else its column would say nothing
        "lines": lines(scores),
        "stale": stale(scores),
        "differences": [_change(*row) for row in differences.itertuples(index=False)],
        "detectors": detectors.values.tolist(),
        "diversity": diversity.values.tolist() if diversity.shape[1] > 2 else [],
        "heads": {
            "differences": ["from", "to", "CIDEr", "95 % interval", "pictures"],
            "detectors": list(detectors),
            "diversity": list(diversity),
        },
        "notes": NOTES,
    }


def _rounded(table: pd.DataFrame, formats: Mapping[str, str]) -> pd.DataFrame:
    shown = {
        name: ["" if pd.isna(value) else f"{value:{formats[name]}}" for value in table[name]]
        for name in formats
        if name in table
    }
    return table.assign(**shown)


def _change(first: str, second: str, mean: float, low: float, high: float, n: int) -> list[str]:
    change = f"{mean:+.3f}"
    clear = Strong(change) if low > 0 or high < 0 else change
    return [first, second, clear, f"[{low:+.3f}, {high:+.3f}]", str(n)]


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
