"""``snakecap results``: all results of some folders in one table, with what they differ in."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
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

    Args:
        folders: searched with all that is in them; results by default.
        format: a table to read, or all columns for other programs.
        sort: a column, the largest value first; by default in the order of the folders.

    Raises:
        ValueError: nothing was found, or there is no such column.
    """
    places = folders or [Path("results")]
    rows = [row for place in places for row in _rows(place)]
    if not rows:
        raise ValueError(f"no scored results in {', '.join(map(str, places))}")
    table = pd.DataFrame([row for row, _ in rows])
    if sort is not None:
        if sort not in table:
            raise ValueError(f"no column {sort!r}; there are {', '.join(map(str, table))}")
        order = table[sort].sort_values(ascending=False, kind="stable").index
        rows, table = [rows[place] for place in order], table.loc[order].reset_index(drop=True)
    different = _different([settings for _, settings in rows])
    if format == "table":
        table["settings"] = [", ".join(f"{k}={v}" for k, v in row.items()) for row in different]
        minutes = {"minutes": "{:.1f}".format}
        print(table.to_string(index=False, float_format="{:.3f}".format, formatters=minutes))
        return
    wide = pd.concat([table, pd.DataFrame(different)], axis=1)
    if format == "csv":
        wide.to_csv(sys.stdout, index=False)
    else:
        print(wide.to_json(orient="records", indent=1, force_ascii=False))


def _rows(folder: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The facts and the settings of each scored result, in the order of their paths."""
    for path in sorted(folder.rglob("scores/*.json")):
        if path.name.count(".") > 1 or path.stem.endswith(CONTROL):  # a record; a control
            continue
        try:
            made = lineage.trace(path)
            yield _facts(path, made), made.settings
        except ValueError as error:  # not ours, or half written
            logger.warning("left out: %s", error)


def _facts(path: Path, made: lineage.Lineage) -> dict[str, Any]:
    values = read_json(path)
    training = [record for name, record in made.records.items() if name.startswith("train ")]
    last = training[0] if training else next(iter(made.records.values()))
    control = path.with_stem(path.stem + CONTROL)
    scores = {name: value for name, value in values.items() if isinstance(value, float)}
    return {
        "result": str(path.parent.parent),
        "split": path.stem,
        **scores,
        "control": read_json(control)["CIDEr"] if control.is_file() else None,
        "minutes": round(sum(record["seconds"] for record in training) / 60, 1),
        "made": last["started"][:16].replace("T", " "),
        "code": lineage.code_of(last),
        "data": made.data,
    }


def _different(settings: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Of each result the settings that are not the same for all, by names as short as can be."""
    places = dict.fromkeys(place for row in settings for place in row)
    chosen = [p for p in places if len({repr(row.get(p)) for row in settings}) > 1]
    names = dict(zip(chosen, _short(chosen), strict=True))
    return [{names[p]: _text(row[p]) for p in chosen if p in row} for row in settings]


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
