"""The static page: one HTML file that holds its data, pictures, style and script.

It opens from disk and reaches no network: its content security policy allows only its own
script, by hash, so that a caption that escaped the escaping still could not run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from snakecap.report import detectors, differences, tables
from snakecap.report.detectors import Judged
from snakecap.report.differences import Difference
from snakecap.report.tables import Row

HERE = Path(__file__).parent
CURVES = (
    "<details open><summary>Training curves</summary>"
    '<div class="wide" tabindex="0" role="region" aria-label="Curves">{}</div></details>'
)
# One script, in this order.
SCRIPTS = ("model.js", "layouts.js", "cards.js", "state.js", "vis.js", "keys.js")


def build(
    *,
    title: str,
    subtitle: str,
    data: Mapping[str, Any],
    thumbnails: Sequence[str] = (),
    scores: str = "",
    curves: str = "",
) -> str:
    """The page as ASCII HTML.

    Args:
        title: heading and window title, plain text.
        subtitle: the line under it, plain text.
        data: `systems` [{system, stage, label, colour, shown, layout?}] and `pictures` [{id, file,
            references, captions, image | src}], where `captions` runs parallel to `systems` with
            [caption, CIDEr | null, log-probability | null, attention?] or null, `image` is an
            index into `thumbnails` and `src` an address relative to the page; `scored` false when
            no caption has a score. With layouts also `layouts` (their names; a system's `layout`
            is a place in it), `categories` [[name, colour]], and each picture's `ratio` of width
            to height and `layouts` [objects | null] as `layouts.record` has them; a caption's
            words are then separated by single spaces, and its attention is `layouts.attention`.
        thumbnails: base64 of JPEG files.
        scores: HTML of the tables.
        curves: SVG.
    """
    script = "".join(_read(name) for name in SCRIPTS)
    parts = {
        "title": escape(title),
        "subtitle": escape(subtitle),
        "style": _read("page.css"),
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "scores": scores,
        "curves": CURVES.format(curves) if curves else "",
        "data": embedded(data),
        "thumbnails": "\n".join(thumbnails),
    }
    # One pass, so that a caption that says {{script}} stays a caption.
    whole = re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _read("page.html"))
    return whole.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _read(name: str) -> str:
    text = (HERE / name).read_text(encoding="utf-8")
    if name.endswith((".js", ".css")) and not text.isascii():
        raise ValueError(f"{name} must be ASCII: character references do not work in it")
    return text


def embedded(data: Any) -> str:
    """JSON that can stand inside a <script> element: ASCII, and no character that ends one.

    Raises:
        ValueError: a number is not finite; JSON has no word for it.
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def scores_html(
    rows: Sequence[Row], found: Sequence[Difference], judged: Sequence[Judged] = ()
) -> str:
    """The score table, and under it the detectors and the paired differences."""
    # What the systems are chosen by comes first: a phone shows only the first columns.
    names = sorted(tables.columns(rows), key=lambda name: name not in ("CIDEr", "control"))
    names = ["stage", *names] if tables.staged(rows) else names
    top = tables.best(rows)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ["system", *names])
    scale = max(
        [1e-9, *(high for row in rows for _, high in [row.intervals.get("CIDEr", (0, 0))])]
        + [row.values.get("CIDEr", 0) + row.deviation.get("CIDEr", 0) for row in rows]
    )
    body = "".join(_row(row, names, top, scale) for row in rows)
    seeds = any(not row.headline for row in rows)
    toggle = (
        '<label class="toggle"><input type="checkbox" id="seeds"> show every seed</label>'
        if seeds
        else ""
    )
    note = f'<p class="note">{escape(tables.NOTE)} {toggle}</p>'
    table = f'<table class="scores"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="Scores">{table}</div>{note}'
        + _stale(tables.stale(rows))
        + (_detectors(judged) if judged else "")
        + (_differences(found) if found else "")
    )


def _row(row: Row, names: Sequence[str], top: Mapping[str, float], scale: float) -> str:
    seeds = tables.seeds(row)
    small = f"<small>{escape(seeds)}</small>" if seeds else ""
    cells = "".join(_cell(row, name, top, scale) for name in names)
    hidden = "" if row.headline else ' class="seed"'
    name = escape(row.system).replace("_", "_<wbr>")
    return f'<tr{hidden}><th scope="row">{name}{row.mark}{small}</th>{cells}</tr>'


def _cell(row: Row, name: str, top: Mapping[str, float], scale: float) -> str:
    if name == "stage":
        return f'<td class="text">{escape(row.stage)}</td>'
    if name not in row.values:
        return "<td></td>"
    number = escape(tables.show(name, row.values[name]))
    best = row.headline and row.values[name] == top.get(name)
    spread = f"<small>{tables.deviation(row, name)}</small>"
    if name == "CIDEr":
        spread = f"<small>{tables.interval(row, name)}</small><br>{_range(row, scale)}{spread}"
    return f"<td>{_strong(number, best)}{spread}</td>"


def _range(row: Row, scale: float) -> str:
    """CIDEr and its interval (or deviation) as a mark on a line from 0 to the table's highest."""
    value = row.values["CIDEr"]
    spread = row.deviation.get("CIDEr", 0.0)
    low, high = row.intervals.get("CIDEr", (value - spread, value + spread))
    at, left, right = (100 * min(1, max(0, number / scale)) for number in (value, low, high))
    style = f"--at:{at:.1f}%;--low:{left:.1f}%;--wide:{right - left:.1f}%"
    return f'<span class="range" style="{style}" aria-hidden="true"></span>'


def _stale(found: Mapping[str, Sequence[str]]) -> str:
    """A warning, when something changed since the rows were made."""
    if not found:
        return ""
    items = (
        f"<li>{escape(text)} <small>({escape(', '.join(names))})</small></li>"
        for text, names in found.items()
    )
    note = escape(tables.STALE)
    return f'<div class="stale" role="note"><p>{note}</p><ul>{"".join(items)}</ul></div>'


def _detectors(judged: Sequence[Judged]) -> str:
    body = [[escape(cell) for cell in row.cells()] for row in judged]
    return _folded("Detectors", detectors.COLUMNS, body, detectors.NOTE, " open")


def _differences(found: Sequence[Difference]) -> str:
    body = [
        [
            escape(item.first),
            escape(item.second),
            _strong(item.change, item.clear),
            item.interval,
            str(item.pictures),
        ]
        for item in found
    ]
    title = "Paired differences on the same pictures"
    return _folded(title, differences.COLUMNS, body, differences.NOTE)


def _folded(
    title: str, head: Sequence[str], body: Sequence[Sequence[str]], note: str, attributes: str = ""
) -> str:
    """A table that folds into its title; two columns of text, then numbers; cells are HTML."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    rows = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for first, *cells in body
    )
    return (
        f"<details{attributes}><summary>{title}</summary>"
        f'<div class="wide" tabindex="0" role="region" aria-label="{title}">'
        f'<table class="more"><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table>'
        f'</div><p class="note">{note}</p></details>'
    )


def _strong(text: str, strong: bool) -> str:
    return f"<strong>{text}</strong>" if strong else text
