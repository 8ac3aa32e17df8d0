"""Put the demo's table and figure into the README: run after `make demo`."""

from __future__ import annotations

import shutil
from pathlib import Path

from snakecap.report import tables

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "results" / "shapes" / "report" / "test"


def main() -> None:
    """Read the report, write README.md and docs/figure.png."""
    whole = (REPORT / "table.md").read_text(encoding="utf-8")
    start = whole.index("|")
    tables.insert(ROOT / "README.md", whole[start : whole.index("\n\n", start)])
    shutil.copyfile(REPORT / "figure.png", ROOT / "docs" / "figure.png")


if __name__ == "__main__":
    main()
