"""``rejected.tsv``: the pictures that could not be read, and why.

Tab-separated, with the header ``file<tab>reason``; one line a picture, none when all were read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from snakecap.formats.atomic import read_text, write_text

HEADER = "file\treason"
# A tab or a line break in a file's name would break the table.
ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
PLAIN = {escaped: chr(code) for code, escaped in ESCAPES.items()}


def write(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    """Write (file, reason) pairs in the order given."""
    lines = [HEADER, *(f"{escape(file)}\t{escape(reason)}" for file, reason in rows)]
    write_text(path, "\n".join(lines) + "\n")


def read(path: Path) -> list[tuple[str, str]]:
    """Read what `write` wrote.

    Raises:
        ValueError: not such a table; names the file and the line.
    """
    lines = read_text(path).split("\n")
    if lines[0] != HEADER:
        raise ValueError(f"{path} is not a rejected.tsv: its first line is {lines[0]!r}")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if len(cells) == 2:
            rows.append((_plain(cells[0]), _plain(cells[1])))
        elif line:
            raise ValueError(f"{path}:{number}: {len(cells)} columns instead of 2")
    return rows


def escape(text: str) -> str:
    """Text as a cell of a table: without tabs and line breaks."""
    return text.translate(ESCAPES)


def _plain(text: str) -> str:
    return re.sub(r"\\.", lambda found: PLAIN.get(found[0], ""), text)
