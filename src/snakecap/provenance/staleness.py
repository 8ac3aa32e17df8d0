"""Whether a result is still what its record says (`sidecar`), and so is all it was made from.

Snakemake compares with what it remembers of its own runs; a file that was changed by hand, or
results that were copied from elsewhere, it takes as they are. Records show the difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from snakecap.formats import pictures
from snakecap.provenance import code as provenance
from snakecap.provenance import sidecar
from snakecap.provenance.sidecar import Record

Configuration = Mapping[Path, str]  # the digest of each result's settings


class Problem(NamedTuple):
    """What a file has against it."""

    path: Path
    cause: str

    def __str__(self) -> str:
        return f"{self.path}: {self.cause}"


def summary(found: Iterable[Problem]) -> list[str]:
    """A line for each cause, with the first file and the number of others."""
    causes: dict[str, dict[Path, None]] = {}
    for problem in found:
        causes.setdefault(problem.cause, {})[problem.path] = None
    return [
        f"{cause}: {paths[0]}" + (f" and {len(paths) - 1} more" if paths[1:] else "")
        for cause, paths in ((cause, list(paths)) for cause, paths in causes.items())
    ]


def read_configuration(words: list[str], folder: Path) -> Configuration:
    """The ``FILE=DIGEST`` words of `Plan.configuration`, of files relative to `folder`."""
    pairs = (word.rpartition("=") for word in words)
    return {sidecar.resolve(file, folder): digest for file, _, digest in pairs}


Known = dict[Path, tuple[Record | None, list[str]]]  # what was found out about a file


def problems(
    path: Path, wanted: Configuration | None = None, known: Known | None = None
) -> list[Problem]:
    """What a result and everything behind it have against them, nearest first.

    Args:
        wanted: the results of the workflow's jobs; with them, a result must have a record.
        known: what calls for other results of the same run found; files behind many results, and
            thousands of photos, are then looked at once.
    """
    known = {} if known is None else known
    found: list[Problem] = []
    seen, todo = {path}, [path]
    while todo:
        here = todo.pop(0)
        digest = None if wanted is None else wanted.get(here)
        if here not in known:
            found_here = _record(here)
            known[here] = found_here, _causes(here, found_here, digest) if found_here else []
        record, causes = known[here]
        if record is None:
            if digest is not None or (here == path and wanted is not None):
                found.append(Problem(here, "no record of its making"))
            continue
        found += [Problem(here, cause) for cause in causes]
        for source in _sources(here, record):
            if source not in seen:
                seen.add(source)
                todo.append(source)
    return found


def _causes(path: Path, record: Record, wanted: str | None) -> list[str]:
    found = [] if sidecar.digest(path) == record["sha256"] else ["changed by hand"]
    changed = (text for row in record["inputs"] if (text := _changed(path, row)))
    found += dict.fromkeys(f"made before {text} changed" for text in changed)
    names, _, code = str(record.get("code", "")).partition("=")
    if _digest(names) not in (code, None):
        found.append("made by other code")
    if record.get("lock") != (provenance.lock_digest() or record.get("lock")):
        found.append("made with another requirements.lock")
    if wanted is not None and record.get("configuration") != wanted:
        by_workflow = bool(record.get("configuration"))
        found.append("made with other settings" if by_workflow else "not made by the workflow")
    return found


def _changed(path: Path, row: Mapping[str, object]) -> str | None:
    """An input that is another than it was; one that is gone cannot be compared."""
    source = sidecar.resolve(str(row["path"]), path.parent)
    if row["argument"] == "photos":
        same = not source.is_dir() or _same_photos(source, path, row)
        return None if same else f"photos in {source}"
    same = not source.is_file() or sidecar.digest(source) == row["sha256"]
    return None if same else str(source)


def _same_photos(root: Path, path: Path, row: Mapping[str, object]) -> bool:
    """Whether the photos that pictures.json lists are as they were."""
    record = _record(path) or {}
    lists = [one["path"] for one in record["inputs"] if one["argument"] == "pictures"]
    place = sidecar.resolve(lists[0], path.parent) if lists else root
    if not place.is_file():
        return True
    names = (picture.file for picture in pictures.read(place).pictures)
    return bool(sidecar.photos(root, names, [dict(row)])["sha256"] == row["sha256"])


def _sources(path: Path, record: Record) -> list[Path]:
    places = (sidecar.resolve(row["path"], path.parent) for row in record["inputs"])
    return [place for place in places if place.is_file()]


def _record(path: Path) -> Record | None:
    return sidecar.read(path) if path.is_file() else None


@cache
def _digest(names: str) -> str | None:
    """The digest of modules as they are now; empty when one of them is gone.

    None where nothing can be compared: an installed package has no scripts of rules.
    """
    scripts = [name for name in names.split(",") if name.startswith(provenance.SCRIPTS)]
    if scripts and not (provenance.SOURCE.parent / "workflow/scripts").is_dir():
        return None
    try:
        return provenance.digest(*names.split(",")) if names else ""
    except ModuleNotFoundError:
        return ""
