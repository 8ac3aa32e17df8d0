"""``snakecap diff``: what two results were made from differently."""

from __future__ import annotations

import json as javascript
from pathlib import Path
from typing import Any

from snakecap.provenance import lineage


def diff(*, a: Path, b: Path, json: bool = False) -> None:
    """Print what two results were made from differently, through all steps behind them.

    Args:
        a: any file that snakecap made: scores, captions, a model.
        b: the other one.
        json: for programs.

    Raises:
        ValueError: one of them has no record beside it.
    """
    one, other = lineage.trace(a), lineage.trace(b)
    alone = one.records.keys() ^ other.records.keys()  # steps that only one of them has
    found = {
        "steps": {name: (name in one.records, name in other.records) for name in sorted(alone)},
        "settings": _between(one.settings, other.settings, alone),
        "made of": _between(one.facts, other.facts, alone),
    }
    if json:
        print(javascript.dumps({"a": str(a), "b": str(b), **found}, indent=1))
        return
    print(f"a: {a}\nb: {b}")
    for kind, rows in found.items():
        print(f"{kind}: the same" if not rows else f"{kind}:")
        width = max(map(len, rows), default=0)
        for place, (left, right) in rows.items():
            print(f"  {place:<{width}}  {_text(left)} -> {_text(right)}")


def _between(one: dict[str, Any], other: dict[str, Any], alone: set[str]) -> dict[str, Any]:
    """The differences, but those of steps that only one side has."""
    rows = lineage.differences(one, other)
    return {k: v for k, v in rows.items() if k.partition(".")[0] not in alone}


def _text(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else javascript.dumps(value)
