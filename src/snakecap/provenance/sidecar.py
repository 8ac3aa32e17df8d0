"""``NAME.provenance.json``: what the file NAME beside it was made from.

Written last, when NAME is complete, so that NAME's own bytes hold nothing that varies from run to
run:

- ``file``, ``sha256``, ``size``, ``modified_ns``: NAME as it was made;
- ``stage``, ``code``, ``lock``, ``settings``, ``planned``, ``arguments``, ``seeds``: what was run:
  the modules and the digest of their code, that of ``requirements.lock``, and that of the settings
  as the workflow planned them (empty when the stage was called by hand);
- ``inputs``: ``[{"argument", "path", "sha256", "size"}]``, paths relative to NAME's folder unless
  they were given whole; photos are one input with ``files``, their number, and ``signature``, a
  digest of their names, sizes and dates;
- ``device``, ``versions``, ``host``, ``started``, ``seconds``: where, with what and when;
- ``shared``: the folder of the shared cache that NAME is a link into, or null.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

from snakecap.formats.atomic import read_json, write_json
from snakecap.provenance.signatures import signature

ENDING = ".provenance.json"
Record = dict[str, Any]


def path_of(path: Path) -> Path:
    """Where the record of a file is."""
    return path.with_name(path.name + ENDING)


def write(path: Path, record: Record) -> None:
    """Write the record of a file that is complete; its checksum is taken now unless given."""
    facts = {"sha256": record.get("sha256") or digest(path), **_state(path)}
    write_json(path_of(path), {"file": path.name, **facts, **record}, indent=1)


def forget(path: Path) -> None:
    """Remove a record that will soon be of another file."""
    path_of(path).unlink(missing_ok=True)


def read(path: Path) -> Record | None:
    """The record of a file, or None.

    Raises:
        ValueError: what is beside the file is no such record; names it.
    """
    place = path_of(path)
    if not place.is_file():
        return None
    record = read_json(place)
    wanted = {"sha256": str, "size": int, "modified_ns": int, "inputs": list, "stage": str}
    if not isinstance(record, dict) or not all(
        isinstance(record.get(key), kind) for key, kind in wanted.items()
    ):
        raise ValueError(f"{place} is not a provenance.json of snakecap: delete it")
    return record


def digest(path: Path) -> str:
    """The sha256 of a file: as recorded when its size and date are the recorded ones."""
    state = _state(path)
    try:
        record = read(path)
    except ValueError:
        record = None
    if record is not None and all(record[key] == value for key, value in state.items()):
        return str(record["sha256"])
    return _hashed(str(path.absolute()), **state)


def relative(path: Path, folder: Path) -> str:
    """A path for the record of a file in `folder`: results may move as a whole."""
    return str(path) if path.is_absolute() else os.path.relpath(path, folder)


def resolve(text: str, folder: Path) -> Path:
    """The path that `relative` wrote."""
    return Path(os.path.normpath(folder / text))


def photos(root: Path, names: Iterable[str], known: Iterable[Record] = ()) -> Record:
    """The state of many files as one: those that are there, by name and content.

    Args:
        root: their folder.
        names: relative to it.
        known: earlier answers; one with the same signature is not computed again.
    """
    state, present = signature(root, sorted(set(names)))
    facts = {"files": len(present), "signature": state}
    same = (row for row in known if {key: row.get(key) for key in facts} == facts)
    found = next((str(row["sha256"]) for row in same), None)
    return {**facts, "sha256": found or _content(root, present)}


def _content(root: Path, names: list[str]) -> str:
    total = hashlib.sha256()
    with ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as pool:  # hashing frees the lock
        for name, found in zip(names, pool.map(lambda n: _photo(root / n), names), strict=True):
            total.update(f"{name}\0{found}\n".encode(errors="replace"))
    return total.hexdigest()


def _photo(path: Path) -> str:
    """Its checksum, or why there is none: the stage says what it makes of that."""
    try:
        return _sha256(path)
    except OSError as error:
        return str(error.strerror)


def _state(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"size": status.st_size, "modified_ns": status.st_mtime_ns}


@lru_cache(maxsize=4096)
def _hashed(path: str, size: int, modified_ns: int) -> str:
    return _sha256(Path(path))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
