"""``NAME.provenance.json``: what the file NAME beside it was made from.

Written last, when NAME is complete, so that NAME's own bytes hold nothing that varies from run to
run:

- ``file``, ``sha256``, ``size``, ``modified_ns``: NAME as it was made;
- ``step``, ``code``, ``lock``, ``settings``, ``configuration``, ``arguments``, ``seeds``: what was
  run: the modules and the digest of their code, that of ``requirements.lock``, and that of the
  settings as the configuration had them (empty when the step was called by hand);
- ``inputs``: ``[{"argument", "path", "sha256", "size"}]``, paths relative to NAME's folder unless
  they were given whole; photos are one input with ``files``, their number, and digests of their
  names and sizes (``sizes``) and times (``signature``), and what Snakemake ``compared`` of them;
- ``device``, ``versions``, ``host``, ``started``, ``seconds``: where, with what and when;
- ``shared``: the folder of the shared cache that NAME is a link into, or null.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from snakecap.formats.atomic import read_json, write_json
from snakecap.log import logger
from snakecap.provenance.code import file_digest

ENDING = ".provenance.json"
SMALL = 1_000_000  # bytes: not worth remembering
Record = dict[str, Any]


def path_of(path: Path) -> Path:
    """Where the record of a file is."""
    return path.with_name(path.name + ENDING)


def write(path: Path, record: Record) -> None:
    """Write the record of a file that is complete; its checksum is taken now unless given."""
    facts = {"sha256": record.get("sha256") or digest(path), **_state(path)}
    write_json(path_of(path), {"file": path.name, **facts, **record}, indent=1)


def restore_times(folder: Path) -> None:
    """Give results that were copied the times of their records, where their contents are the same.

    Snakemake goes by the order of times, which ``cp -r`` shuffles.
    """
    for path, record in _retimed(folder):
        with contextlib.suppress(OSError):  # as somebody else's
            os.utime(path, ns=(path.stat().st_atime_ns, record["modified_ns"]))


def accept_times(folder: Path) -> None:
    """Let the records of results say their present times, as ``snakemake --touch`` wants them."""
    for path, record in _retimed(folder):
        write_json(path_of(path), {**record, **_state(path)}, indent=1)


def _retimed(folder: Path) -> Iterator[tuple[Path, Record]]:
    """Results in a folder whose contents are the recorded ones, and whose times are not."""
    for place in folder.rglob(f"*{ENDING}"):
        path = place.with_name(place.name.removesuffix(ENDING))
        with contextlib.suppress(OSError, ValueError):  # as of a job at work
            record, status = read(path), path.lstat()
            if record is None or status.st_mtime_ns == record["modified_ns"]:
                continue
            same = stat.S_ISREG(status.st_mode) and status.st_size == record["size"]
            if same and _hashed(path) == record["sha256"]:
                yield path, record


def remove_orphans(folder: Path) -> None:
    """Remove the records of results that are gone."""
    for place in folder.rglob(f"*{ENDING}"):
        if not os.path.lexists(place.with_name(place.name.removesuffix(ENDING))):
            place.unlink()


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
    wanted = {"sha256": str, "size": int, "modified_ns": int, "inputs": list, "step": str}
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
    return _hashed(path)


def relative(path: Path, folder: Path) -> str:
    """A path for the record of a file in `folder`: results may move as a whole."""
    return str(path) if path.is_absolute() else os.path.relpath(path, folder)


def resolve(text: str, folder: Path) -> Path:
    """The path that `relative` wrote."""
    return Path(os.path.normpath(folder / text))


class Photos(NamedTuple):
    """The state of many files that are there, without a look into them: 100,000 take a second.

    Attributes:
        names: of those that are there, sorted.
        sizes: the sha256 of names and sizes.
        signature: the sha256 of names, sizes and times.
    """

    names: list[str]
    sizes: str
    signature: str


def look(root: Path, names: Iterable[str]) -> Photos:
    """The state of files in a folder, `names` relative to it."""
    present, sizes, times = [], hashlib.sha256(), hashlib.sha256()
    for name in sorted(set(names)):
        try:
            status = (root / name).stat()
        except (OSError, ValueError):
            continue
        if not stat.S_ISREG(status.st_mode):  # to read a pipe would wait for ever
            continue
        present.append(name)
        sizes.update(f"{name}\0{status.st_size}\n".encode(errors="replace"))
        times.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="replace"))
    return Photos(present, sizes.hexdigest(), times.hexdigest())


def photos(root: Path, names: Iterable[str], known: Iterable[Record] = ()) -> Record:
    """The state of many files as one: those that are there, by name and content.

    Args:
        names: relative to `root`.
        known: earlier answers; one with the same signature is not computed again.
    """
    state = look(root, names)
    facts = {"files": len(state.names), "sizes": state.sizes, "signature": state.signature}
    same = (row for row in known if {key: row.get(key) for key in facts} == facts)
    found = next((str(row["sha256"]) for row in same), None)
    return {**facts, "sha256": found or _content(root, state.names)}


def photos_since(
    root: Path, names: Iterable[str], record: Record | None, *, contents: bool = False
) -> str:
    """What Snakemake compares of photos: as it was for a record, if they are those of the record.

    Other times alone are no other photos (``cp -r``): then the contents decide, once. A folder that
    is not there cannot be compared.

    Args:
        contents: look at every byte, whatever the times.
    """
    rows = record["inputs"] if record else []
    before: Record = next((row for row in rows if row["argument"] == "photos"), {})
    compared = str(before.get("compared", before.get("signature")))
    if before and not root.is_dir():
        return compared
    if contents:
        found = str(photos(root, names)["sha256"])
        return compared if found == before.get("sha256") else found
    state = look(root, names)
    if state.signature == before.get("signature"):
        return compared
    if state.sizes == before.get("sizes"):
        place = f"photos of {root.absolute()}"
        if _memory.get(place, [None])[1:2] != [state.signature]:
            logger.warning("photos in %s have other times: comparing their contents", root)
            _remember(place, [SMALL, state.signature, _content(root, state.names)])
        if _memory[place][2] == before["sha256"]:
            return compared
    return state.signature


def _content(root: Path, names: list[str]) -> str:
    total = hashlib.sha256()
    with ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as pool:  # hashing frees the lock
        for name, found in zip(names, pool.map(lambda n: _photo(root / n), names), strict=True):
            total.update(f"{name}\0{found}\n".encode(errors="replace"))
    return total.hexdigest()


def _photo(path: Path) -> str:
    """Its checksum, or why there is none: the step says what it makes of that."""
    try:
        return file_digest(path)
    except OSError as error:
        return str(error.strerror)


def _state(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"size": status.st_size, "modified_ns": status.st_mtime_ns}


_memory: dict[str, Any] = {}  # by path: the state of a large file, and its checksum
_kept: list[Path] = []  # where that is kept from run to run


def remember_in(place: Path) -> None:
    """Keep checksums of large files from run to run, as JSON, by their sizes and times."""
    _kept[:] = [place]
    with contextlib.suppress(OSError, ValueError):
        _memory.update(read_json(place))


def _hashed(path: Path) -> str:
    status = path.stat()
    state = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    known = _memory.get(str(path.absolute()))
    if known is not None and known[:-1] == state:
        return str(known[-1])
    found = file_digest(path)
    _remember(str(path.absolute()), [*state, found])
    return found


def _remember(name: str, row: list[Any]) -> None:
    _memory[name] = row
    if _kept and row[0] >= SMALL:
        large = {name: row for name, row in _memory.items() if row[0] >= SMALL}
        with contextlib.suppress(OSError):  # a look at somebody else's results
            write_json(_kept[0], large)
