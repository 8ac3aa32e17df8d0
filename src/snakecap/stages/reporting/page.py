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

from snakecap.stages.reporting import tables
from snakecap.stages.reporting.differences import Difference
from snakecap.stages.reporting.tables import Row

HERE = Path(__file__).parent
CURVES = (
    "<details open><summary>Training curves</summary>"
    '<div class="wide" tabindex="0" role="region" aria-label="Curves">{}</div></details>'
)
SCRIPTS = ("model.js", "cards.js", "state.js", "vis.js", "keys.js")  # one script, in this order


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
        data: `systems` [{system, stage, label, colour, shown}] and `pictures` [{id, file,
            references, captions, image | src}], where `captions` runs parallel to `systems` with
            [caption, CIDEr | null, log-probability | null] or null, `image` is an index into
            `thumbnails` and `src` an address relative to the page; `scored` false when no
            caption has a score.
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


def scores_html(rows: Sequence[Row], found: Sequence[Difference]) -> str:
    """The score table, and the paired differences under it."""
    # What the systems are chosen by comes first: a phone shows only the first columns.
    names = sorted(tables.columns(rows), key=lambda name: name not in ("CIDEr", "control"))
    top = tables.best(rows)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ["system", "stage", *names])
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
        + (_differences(found) if found else "")
    )


def _row(row: Row, names: Sequence[str], top: Mapping[str, float], scale: float) -> str:
    cells = [f'<th scope="row">{escape(tables.title(row))}</th><td>{escape(row.stage)}</td>']
    for name in names:
        if name not in row.values:
            cells.append("<td></td>")
            continue
        number = escape(tables.show(name, row.values[name]))
        if row.headline and row.values[name] == top.get(name):
            number = f"<strong>{number}</strong>"
        beside = tables.spread(row, name)
        more = f"<small>{escape(beside)}</small>" if beside else ""
        more += _range(row, scale) if name == "CIDEr" else ""
        main = ' class="main"' if name == "CIDEr" else ""
        cells.append(f"<td{main}>{number}{more}</td>")
    hidden = "" if row.headline else ' class="seed"'
    return f"<tr{hidden}>{''.join(cells)}</tr>"


def _range(row: Row, scale: float) -> str:
    """CIDEr and its interval (or deviation) as a mark on a line from 0 to the table's highest."""
    value = row.values["CIDEr"]
    spread = row.deviation.get("CIDEr", 0.0)
    low, high = row.intervals.get("CIDEr", (value - spread, value + spread))
    at, left, right = (100 * min(1, max(0, number / scale)) for number in (value, low, high))
    style = f"--at:{at:.1f}%;--low:{left:.1f}%;--wide:{right - left:.1f}%"
    return f'<span class="range" style="{style}" aria-hidden="true"></span>'


def _differences(found: Sequence[Difference]) -> str:
    body = "".join(
        f'<tr><th scope="row">{escape(item.first)}</th><td>{escape(item.second)}</td>'
        f"<td>{_strong(f'{item.mean:+.3f}', item.clear)}</td>"
        f"<td>[{item.low:+.3f}, {item.high:+.3f}]</td><td>{item.pictures}</td></tr>"
        for item in found
    )
    titles = ("from", "to", "CIDEr", "95 % interval", "pictures")
    head = "".join(f'<th scope="col">{name}</th>' for name in titles)
    return (
        "<details><summary>Paired differences on the same pictures</summary>"
        '<div class="wide" tabindex="0" role="region" aria-label="Differences">'
        f'<table class="differences"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        '</div><p class="note">Bold: the interval leaves out zero.</p></details>'
    )


def _strong(text: str, strong: bool) -> str:
    return f"<strong>{text}</strong>" if strong else text
