"""Loss and CIDEr while training, as one SVG that is the same bytes for the same numbers."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from snakecap.report.entries import Entry

# Petroff (2021), "Accessible color sequences for data visualization": ten colours that people
# with any colour vision tell apart; the markers say the same without colour.
COLOURS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
MARKERS = "os^DvPX<>*"
WIDTH = 10  # inches
INK = "#010203"  # replaced by currentColor: the page's text colour, black when the SVG is alone


@dataclass(slots=True)
class Line:
    """One run's training over all its stages; iterations go on from stage to stage."""

    family: str
    loss: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    cider: list[tuple[int, float]] = field(default_factory=list)
    ends: list[tuple[int, str]] = field(default_factory=list)


def lines(entries: Sequence[Entry]) -> list[Line]:
    """Join each system's stages end to end."""
    found: dict[str, Line] = {}
    for entry in entries:
        if not entry.history:
            continue
        line = found.setdefault(entry.system, Line(entry.family))
        offset = line.ends[-1][0] if line.ends else 0
        for target, values in zip(
            (line.loss, line.validation, line.cider), entry.series, strict=True
        ):
            target += [(offset + at, value) for at, value in values]
        last = max((at for values in entry.series for at, _ in values), default=0)
        line.ends.append((offset + int(entry.history.get("iteration") or last), entry.stage))
    return list(found.values())


def colours(entries: Sequence[Entry]) -> dict[str, str]:
    """A colour for each system; its seeds share it. The same on the page and in the plots."""
    families = dict.fromkeys(entry.family for entry in entries)
    return {family: COLOURS[at % len(COLOURS)] for at, family in enumerate(families)}


def draw(entries: Sequence[Entry]) -> str:
    """Losses (thin: training; thick: validation) beside validation CIDEr, as SVG text."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: Any = {
        "svg.hashsalt": "snakecap",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        **dict.fromkeys(
            ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK
        ),
    }
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the reader's own font has it
        chosen = colours(entries)
        legend_rows = math.ceil(len(chosen) / _columns(chosen))
        figure = Figure(figsize=(WIDTH, 3.9 + 0.25 * legend_rows), layout="constrained")
        FigureCanvasSVG(figure)
        left, right = figure.subplots(1, 2)
        drawn = lines(entries)
        for line in drawn:
            style = _marks(line, drawn, chosen)
            left.plot(*_axes(line.loss), color=style["color"], linewidth=0.7, alpha=0.55)
            left.plot(*_axes(line.validation), **style)
            right.plot(*_axes(line.cider), **style)
        _finish(left, drawn, chosen, "Loss: thin training, thick validation", "nats per word")
        _finish(right, drawn, chosen, "CIDEr on validation pictures", "CIDEr")
        right.set_ylim(bottom=0)
        _legend(figure, drawn, chosen)
        text = io.StringIO()
        empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=empty)
    # It takes the reader's text colour, and names no address but its own format's.
    svg = text.getvalue().replace(INK, "currentColor")
    return re.sub(r"<metadata>.*?</metadata>\s*", "", svg[svg.index("<svg") :], flags=re.DOTALL)


def _axes(pairs: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [at for at, _ in pairs], [value for _, value in pairs]


def _marks(line: Line, drawn: Sequence[Line], chosen: dict[str, str]) -> dict[str, Any]:
    """A system's marker, at most a dozen on a line; several seeds are drawn thinner."""
    alone = [other.family for other in drawn].count(line.family) == 1
    points = max(len(line.validation), len(line.cider), 1)
    return {
        "color": chosen[line.family],
        "marker": MARKERS[list(chosen).index(line.family) % len(MARKERS)],
        "markersize": 4.5 if alone else 3,
        "markevery": max(1, points // 12),
        "linewidth": 2 if alone else 1.2,
    }


def _finish(
    axes: Any, drawn: Sequence[Line], chosen: dict[str, str], title: str, unit: str
) -> None:
    axes.set_title(title)
    axes.set_xlabel("iteration; dotted: a stage ends and the next begins")
    axes.set_ylabel(unit)
    axes.grid(color="#808080", alpha=0.25, linewidth=0.6)
    for line in drawn:
        for at, _ in line.ends[:-1]:
            axes.axvline(at, color=chosen[line.family], linestyle=":", linewidth=1)
    if not any(artist.get_xdata().size for artist in axes.lines):
        axes.text(0.5, 0.5, "not recorded", ha="center", va="center", transform=axes.transAxes)


def _columns(names: Iterable[str]) -> int:
    """How many columns the legend has room for."""
    widest = 0.6 + 0.085 * max(map(len, names), default=0)  # inches, with its line
    return max(1, min(4, int(WIDTH / widest)))


def _legend(figure: Any, drawn: Sequence[Line], chosen: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    shown = dict.fromkeys(line.family for line in drawn)
    handles = [
        Line2D([], [], color=chosen[family], linewidth=2, marker=MARKERS[at % len(MARKERS)])
        for at, family in enumerate(chosen)
        if family in shown
    ]
    names = [family for family in chosen if family in shown]
    columns = _columns(chosen)
    legend = figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a $ in a name is a dollar
