"""The static page: one HTML file that holds its data, pictures, style and script.

It opens from disk and reaches no network: its content security policy allows only its own
script, by hash, so that a caption that escaped the escaping still could not run.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

HERE = Path(__file__).parent
# One script, in this order.
SCRIPTS = ("model.js", "grid.js", "layouts.js", "cards.js", "state.js", "vis.js", "keys.js")


class Strong(str):
    """A text of a table that stands out."""


def render(template: str, **values: Any) -> str:
    """One of the templates beside this module; in HTML all text is escaped."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    html = template.endswith(".html")
    environment.filters |= {
        "strong": _strong_html if html else _strong_markdown,
        "breakable": _breakable,
        "cell": _cell,
    }
    return environment.get_template(template).render(values)


def _strong_html(text: str) -> str:
    return Markup("<strong>{}</strong>").format(text) if isinstance(text, Strong) else text


def _strong_markdown(text: str) -> str:
    return f"**{text}**" if isinstance(text, Strong) else text


def _breakable(name: str) -> Markup:
    """HTML of a name that may go on on a new line after each underscore."""
    return escape(name).replace("_", Markup("_<wbr>"))


def _cell(text: str) -> str:
    """Any text in a table of GitHub's Markdown."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def build(
    *,
    title: str,
    subtitle: str,
    data: Mapping[str, Any],
    thumbnails: Sequence[str] = (),
    tables: Mapping[str, Any] | None = None,
    curves: str = "",
) -> str:
    """The page as ASCII HTML.

    Args:
        title: heading and window title, plain text.
        subtitle: the line under it, plain text.
        data: `systems` [{system, stage, label, colour, shown, layout?}] and `pictures` [{id, file,
            references, captions, image | src}], where `captions` runs parallel to `systems` with
            [caption, CIDEr | null, log-probability | null, {objects?, grid?}?] or null, `image` is
            an index into `thumbnails`, `src` an address relative to the page and `ratio` that of
            width to height; `scored` false when no caption has a score. With layouts also
            `layouts` (their names; a system's `layout` is a place in it), `categories` [[name,
            colour]], and each picture's `layouts` [objects | null] as `layouts.embed` has them.
            Where words look at `objects` (`layouts.attention`) or the `grid` (`attention.embed`;
            the system's `covers`), a caption's words are separated by single spaces.
        thumbnails: base64 of JPEG files.
        tables: `tables.texts`.
        curves: SVG.
    """
    script = "".join(map(_read, SCRIPTS))
    whole = render(
        "page.html",
        title=title,
        subtitle=subtitle,
        style=Markup(_read("page.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        tables=tables,
        curves=Markup(curves),
        data=Markup(embedded(data)),
        thumbnails=Markup("\n".join(thumbnails)),
    )
    return whole.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _read(name: str) -> str:
    text = (HERE / name).read_text(encoding="utf-8")
    if not text.isascii():
        raise ValueError(f"{name} must be ASCII: character references do not work in it")
    return text


def embedded(data: Any) -> str:
    """JSON that can stand inside a <script> element: ASCII, and no character that ends one.

    Raises:
        ValueError: a number is not finite; JSON has no word for it.
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
