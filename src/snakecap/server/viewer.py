"""`snakecap view`: open a report, or NeuralTalk2's ``vis.json``, in the browser."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import Any

from snakecap.formats import vis
from snakecap.formats.atomic import write_text
from snakecap.report import page as pages


def view(*, page: Path) -> None:
    """Print where a page is, and open it if there is a screen.

    Args:
        page: a report's index.html, a vis.json (a page is written beside it as captions.html),
            or the folder of either.
    """
    html = find(page)
    print(html)
    if screen():
        webbrowser.open(html.as_uri())


def find(page: Path) -> Path:
    """The HTML file to open; made first for a ``vis.json``.

    Raises:
        FileNotFoundError: there is no such file, or the folder holds neither.
        ValueError: a .json file is not a ``vis.json``, or it is neither page nor JSON.
    """
    if page.is_dir():
        candidates = [page / "vis.json", page / "index.html"]
        found = next((path for path in candidates if path.is_file()), None)
        if found is None:
            raise FileNotFoundError(f"{page} holds neither index.html nor vis.json")
        page = found
    if not page.is_file():
        raise FileNotFoundError(f"{page} does not exist: run snakemake to make the report")
    if page.suffix not in (".json", ".html", ".htm"):
        raise ValueError(f"{page} is neither a page (.html) nor a vis.json")
    return of_vis(page) if page.suffix == ".json" else page.resolve()


def of_vis(path: Path) -> Path:
    """Write ``captions.html`` beside a ``vis.json``: its captions, with the images by address."""
    rows = vis.read(path)
    pictures: list[dict[str, Any]] = [
        {
            "id": row.get("image_id", number),
            "file": row.get("file_name") or f"img{number}.jpg",
            "references": [],
            "captions": [[row["caption"], None, None]],
            "src": vis.image(number),
        }
        for number, row in enumerate(rows, start=1)
    ]
    system = {"system": path.name, "stage": "", "label": path.name}
    html = pages.build(
        title=f"Captions of {path.name}",
        subtitle=f"{len(rows):,} captions",
        data={"systems": [system], "pictures": pictures, "scored": False},
    )
    target = path.resolve().parent / "captions.html"
    write_text(target, html)
    return target


def screen() -> bool:
    """Whether a browser window could appear: not over SSH, where a text browser would."""
    if sys.platform in ("win32", "darwin"):
        return not os.environ.get("SSH_CONNECTION")
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
