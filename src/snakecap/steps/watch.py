"""``snakecap watch``: losses and scores of all training under a folder, while it runs."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from snakecap.formats.atomic import read_json, write_text
from snakecap.log import logger
from snakecap.provenance import sidecar
from snakecap.report import curves
from snakecap.report.entries import Entry

if TYPE_CHECKING:
    from rich.table import Table

# What a row shows, and from which width of the terminal on, in characters.
COLUMNS = {
    "training": 0,
    "state": 0,
    "step": 0,
    "loss": 0,
    "its curve": 130,
    "val loss": 100,
    "CIDEr": 0,
    "best": 0,
    "its curve ": 130,
    "a second": 100,
}
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 12  # characters of a curve
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<title>snakecap: training</title><style>
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
svg { max-width: 100%; height: auto; }
td, th { padding: 0 .6rem; text-align: right; white-space: nowrap; }
td:nth-child(-n + 2), th:nth-child(-n + 2) { text-align: left; }
</style></head><body><h1>Training</h1>{{ svg | safe }}<table>
<tr>{% for name in columns %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></body></html>
"""


def watch(
    *,
    folder: Path = Path("results"),
    page: Path | None = None,
    tensorboard: Path | None = None,
    every: Annotated[float, Field(gt=0)] = 1.0,
    once: bool = False,
) -> None:
    """Show the losses and scores of running and finished training; Ctrl-C ends it.

    Args:
        folder: searched with all that is in it.
        page: an HTML file that is kept up to date beside the terminal, and reloads itself.
        tensorboard: a folder for TensorBoard's event files; needs the extra `tensorboard`.
        every: seconds between looks at the files.
        once: look once, as it does where there is no terminal.

    Raises:
        ValueError: there is no such folder.
        RuntimeError: the package for TensorBoard is missing.
    """
    from rich.console import Console
    from rich.live import Live

    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: give the one that holds results")
    if page is not None and page.is_dir():
        raise ValueError(f"{page} is a folder: give the page a name")
    with contextlib.ExitStack() as ended:
        events = ended.enter_context(Events(tensorboard)) if tensorboard else None
        seen: dict[Path, tuple[int, bool]] = {}
        entries: list[tuple[Entry, Path]] = []

        def look() -> Table:
            nonlocal seen, entries
            found = [one for one in folder.rglob("history.json") if ".work" not in one.parts]
            paths = sorted(found, key=lambda one: (sidecar.path_of(one).is_file(), one))
            now = {one: (one.stat().st_mtime_ns, sidecar.path_of(one).is_file()) for one in paths}
            if now != seen:
                seen, entries = now, list(_entries(paths))
                if page is not None:
                    _write(page, [one for one, _ in entries], [_row(*one) for one in entries])
                if events is not None:
                    events.write(one for one, _ in entries)
            return _table((_row(*one) for one in entries), console.width)

        terminal = sys.stdout.isatty()
        console = Console(width=None if terminal else 200)
        if once or not terminal:
            console.print(look())
            return
        with Live(look(), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(every)
                live.update(look(), refresh=True)


def _entries(paths: Iterable[Path]) -> Iterator[tuple[Entry, Path]]:
    """Histories that are ours, those of running training first, and their files."""
    for path in paths:
        try:
            past = read_json(path)
            if not isinstance(past, dict) or not {"iteration", "loss_history"} <= past.keys():
                raise ValueError(f"{path} is not a training history")
        except ValueError as error:
            logger.warning("left out: %s", error)
            continue
        *above, stage = path.parent.resolve().parts[-3:]
        yield Entry("/".join(above), stage, history=past), path


def _row(entry: Entry, path: Path) -> tuple[str, ...]:
    """The cells of `COLUMNS` for a stage."""
    past = entry.history
    loss, validation, ciders = ([value for _, value in values] for values in entry.series)
    return (
        f"{entry.system}/{entry.stage}",
        _state(past, path),
        f"{past['iteration']:,}",
        f"{loss[-1]:.3f}" if loss else "",
        _curve(loss),
        f"{validation[-1]:.3f}" if validation else "",
        f"{ciders[-1]:.3f}" if ciders else "",
        f"{max(ciders):.3f}" if ciders else "",
        _curve(ciders),
        f"{past.get('throughput', 0):,.0f}",
    )


def _state(past: dict[str, Any], path: Path) -> str:
    if past.get("stopped"):
        return "stopped early"
    if sidecar.path_of(path).is_file():
        return f"done in {past['seconds'] / 60:.1f} min"
    return time.strftime("written %H:%M:%S", time.localtime(path.stat().st_mtime))


def _curve(values: Sequence[float]) -> str:
    """Values as a line of bars, the lowest to the highest; of many, means of neighbours."""
    if not values:
        return ""
    count = min(WIDTH, len(values))
    edges = [at * len(values) // count for at in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, span = min(means), max(means) - min(means)
    return "".join(BARS[round((value - low) / span * 7) if span else 0] for value in means)


def _table(rows: Iterable[Sequence[str]], width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    shown = [place for place, least in enumerate(COLUMNS.values()) if width >= least]
    for place in shown:
        table.add_column(list(COLUMNS)[place], justify="left" if place < 2 else "right")
    for row in rows:
        table.add_row(*(Text(row[place]) for place in shown))
    return table


def _write(page: Path, entries: Sequence[Entry], rows: Sequence[Sequence[str]]) -> None:
    from jinja2 import Environment

    template = Environment(autoescape=True).from_string(PAGE)
    write_text(page, template.render(svg=curves.draw(entries), columns=COLUMNS, rows=rows))


class Events:
    """Histories as TensorBoard's event files, a folder for each stage; complete when closed.

    Raises:
        RuntimeError: tensorboardX is not installed.
    """

    def __init__(self, folder: Path):
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise RuntimeError(
                "event files need the package tensorboardX: pip install 'snakecap[tensorboard]'"
            ) from error
        self.folder, self.make = folder, SummaryWriter
        self.writers: dict[str, Any] = {}
        self.written: set[tuple[str, str, int]] = set()

    def write(self, entries: Iterable[Entry]) -> None:
        """Add what has grown."""
        for entry in entries:
            name = f"{entry.system}/{entry.stage}"
            if name not in self.writers:
                self.writers[name] = self.make(str(self.folder / name), flush_secs=1)
            for tag, at, value in _scalars(entry.history):
                if (name, tag, at) not in self.written:
                    self.written.add((name, tag, at))
                    self.writers[name].add_scalar(tag, value, at)

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self.writers.values():
            writer.close()


def _scalars(past: dict[str, Any]) -> Iterable[tuple[str, int, float]]:
    for tag, name in (("loss/train", "loss_history"), ("loss/validation", "val_loss_history")):
        rows = past.get(name, {}).items()
        yield from ((tag, int(at), value) for at, value in rows if value is not None)
    for tag, name in (("score", "val_lang_stats_history"), ("objective", "objective_history")):
        for at, values in past.get(name, {}).items():
            yield from ((f"{tag}/{key}", int(at), value) for key, value in values.items())
