"""``snakecap results``: all results of some folders in one table, with what they differ in."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from snakecap.formats.atomic import read_json
from snakecap.log import logger
from snakecap.provenance import lineage

CONTROL = "_shuffled"


def results(
    *,
    folders: list[Path] | None = None,
    format: Literal["table", "csv", "json"] = "table",
    sort: str | None = None,
) -> None:
    """List every scored result: its scores, time, code and data, and the settings that differ.

    The table shows settings that all results have; csv and json show all.

    Args:
        folders: searched with all that is in them; results by default.
        format: a table to read, or all columns for other programs.
        sort: a column, the largest value first; by default in the order of the folders.

    Raises:
        ValueError: nothing was found, or there is no such column.
    """
    places = folders or [Path("results")]
    paths = dict.fromkeys(path.resolve() for place in places for path in _found(place))
    rows = list(_rows(paths))
    if not rows:
        raise ValueError(f"no scored results in {', '.join(map(str, places))}")
    table = pd.DataFrame([row for row, _ in rows])
    if sort is not None:
        if sort not in table:
            raise ValueError(f"no column {sort!r}; there are {', '.join(map(str, table))}")
        order = table[sort].sort_values(ascending=False, kind="stable").index
        rows, table = [rows[place] for place in order], table.loc[order].reset_index(drop=True)
    settings = [one for _, one in rows]
    if format == "table":  # of all steps' settings lines would be endless
        shared = set.intersection(*map(set, settings))
        different = _different([{k: v for k, v in one.items() if k in shared} for one in settings])
        texts = [", ".join(f"{k}={_text(v)}" for k, v in row.items()) for row in different]
        table["settings"] = texts
        minutes = {"minutes": "{:.1f}".format}
        print(table.to_string(index=False, float_format="{:.3f}".format, formatters=minutes))
        return
    wide = pd.concat([table, pd.DataFrame(_different(settings), dtype=object)], axis=1)
    if format == "csv":
        wide.to_csv(sys.stdout, index=False)
    else:
        print(wide.to_json(orient="records", indent=1, force_ascii=False))


def _found(folder: Path) -> Iterator[Path]:
    """Scores in the order of their paths."""
    for path in sorted(folder.rglob("scores/*.json")):
        if path.name.count(".") == 1 and not path.stem.endswith(CONTROL):  # no record, no control
            yield path


def _rows(paths: Iterable[Path]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The facts and the settings of each scored result."""
    for path in paths:
        try:
            made = lineage.trace(path)
            yield _facts(path, made), made.settings
        except ValueError as error:  # not ours, or half written
            logger.warning("left out: %s", error)


def _facts(path: Path, made: lineage.Lineage) -> dict[str, Any]:
    values = read_json(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds no scores")
    training = [record for name, record in made.records.items() if name.startswith("train ")]
    last = training or list(made.records.values())[:1]  # of an ensemble, all of its members
    control = path.with_stem(path.stem + CONTROL)
    scores = {name: value for name, value in values.items() if isinstance(value, float)}
    return {
        "result": os.path.relpath(path.parent.parent),
        "split": path.stem,
        **scores,
        "control": read_json(control)["CIDEr"] if control.is_file() else None,
        "minutes": round(sum(record["seconds"] for record in training) / 60, 1),
        "made": max(record["started"] for record in last)[:16].replace("T", " "),
        "code": "+".join(dict.fromkeys(map(lineage.code_of, last))),
        "data": made.data,
    }


def _different(settings: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each result the settings that are not the same for all, by names as short as can be."""
    places = dict.fromkeys(place for row in settings for place in row)
    chosen = [p for p in places if len({repr(row.get(p)) for row in settings}) > 1]
    names = dict(zip(chosen, _short(chosen), strict=True))
    return [{names[p]: row[p] for p in chosen if p in row} for row in settings]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value).replace(" ", "")


def _short(places: Sequence[str]) -> list[str]:
    """The shortest endings by which places differ from one another."""
    found = []
    for place in places:
        words = place.split(".")
        endings = (".".join(words[-n:]) for n in range(1, len(words)))
        alone = (one for one in endings if sum(p.endswith(f".{one}") for p in places) == 1)
        found.append(next(alone, place))
    return found
