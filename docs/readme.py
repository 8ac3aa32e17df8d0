"""Put the demo's table and figure into the README: run after `make demo`."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from snakecap.report import tables

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "results" / "shapes" / "report" / "test"


def main() -> None:
    """Read the report, write README.md and docs/figure.webp."""
    whole = (REPORT / "table.md").read_text(encoding="utf-8")
    start = whole.index("|")
    tables.insert(ROOT / "README.md", whole[start : whole.index("\n\n", start)])
    with Image.open(REPORT / "figure.png") as figure:  # a third of the bytes
        figure.save(ROOT / "docs" / "figure.webp", quality=90)


if __name__ == "__main__":
    main()
