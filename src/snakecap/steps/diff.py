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
    found = {
        "settings": lineage.differences(one.settings, other.settings),
        "made of": lineage.differences(one.facts, other.facts),
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


def _text(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else javascript.dumps(value)
