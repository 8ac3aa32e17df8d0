"""The report's tables as GitHub's Markdown: numbers rounded, names escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from snakecap.report import detectors, differences, tables
from snakecap.report.detectors import Judged
from snakecap.report.differences import Difference
from snakecap.report.tables import Row


def document(rows: Sequence[Row], judged: Sequence[Judged], found: Sequence[Difference]) -> str:
    """All tables: who compares systems first, single seeds last."""
    single = [row for row in rows if not row.headline]
    stale = tables.stale(rows)
    parts = {
        "Changed since": _stale(stale) if stale else "",
        "Detectors": _detectors(judged) if judged else "",
        "Paired differences": _differences(found) if found else "",
        "Every seed": f"{_scores(single)}\n" if single else "",
    }
    more = (f"\n## {title}\n\n{text}" for title, text in parts.items() if text)
    return scores(rows) + "".join(more)


def scores(rows: Sequence[Row]) -> str:
    """The score table's headline rows, a note under them."""
    return f"{_scores([row for row in rows if row.headline])}\n\n{tables.NOTE}\n"


def _scores(rows: Sequence[Row]) -> str:
    names, top = tables.columns(rows), tables.best(rows)
    stages = ["stage"] if tables.staged(rows) else []
    body = []
    for row in rows:
        seeds = tables.seeds(row)
        name = f"{row.system} ({seeds})" if seeds else row.system
        texts = [f"{name}{row.mark}", row.stage][: 1 + len(stages)]
        body.append([*texts, *(_cell(row, name, top.get(name)) for name in names)])
    return _table(["system", *stages], names, body)


def _cell(row: Row, name: str, best: float | None) -> str:
    if name not in row.values:
        return ""
    number = tables.show(name, row.values[name])
    strong = _strong(number, row.headline and row.values[name] == best)
    beside = tables.deviation(row, name), tables.interval(row, name)
    return " ".join(filter(None, (strong, *beside)))


def _detectors(judged: Sequence[Judged]) -> str:
    names = detectors.COLUMNS
    table = _table(names[:2], names[2:], [row.cells() for row in judged])
    return f"{table}\n\n{detectors.NOTE}\n"


def _stale(found: Mapping[str, Sequence[str]]) -> str:
    lines = [f"- {_text(text)} ({_text(', '.join(names))})" for text, names in found.items()]
    return "\n".join([tables.STALE, "", *lines, ""])


def _differences(found: Sequence[Difference]) -> str:
    names = differences.COLUMNS
    body = [
        [
            item.first,
            item.second,
            _strong(item.change, item.clear),
            item.interval,
            str(item.pictures),
        ]
        for item in found
    ]
    return f"{_table(names[:2], names[2:], body)}\n\n{differences.NOTE}\n"


def _strong(text: str, strong: bool) -> str:
    return f"**{text}**" if strong else text


def _table(texts: Sequence[str], numbers: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table whose first columns are texts, which are escaped, and the others numbers."""
    lines = [[*texts, *numbers], ["---"] * len(texts) + ["---:"] * len(numbers)]
    lines += [[*map(_text, row[: len(texts)]), *row[len(texts) :]] for row in body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
