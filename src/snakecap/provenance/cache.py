"""Results that several working copies and users share: a common folder, keyed by content.

The key of a result is a hash of its job's identity, the kind of device and the *contents* of the
photos, so that other paths do not matter and a result
that was changed by hand cannot pass for what its settings say. (Snakemake's own ``cache:`` hashes
how inputs were to be made, not what they are: one hand edit would reach everybody, docs/caches.md.)

``FOLDER/STEP/KEY/`` holds the outputs and ``entry.json``. It is made under another name and
renamed, so an entry is whole or absent; who wants the same one meanwhile waits for the lock, and
where there are no locks the first to finish wins. The working copy's output becomes a link.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from snakecap import log
from snakecap.formats import atomic
from snakecap.provenance import outputs as made_once
from snakecap.provenance import sidecar

VARIABLE = "SNAKECAP_CACHE"
Outputs = Mapping[str, Path]


def use(folder: str | None) -> None:
    """Let all jobs share in `folder` (the setting `cache`); without one the variable decides."""
    if folder:
        os.environ[VARIABLE] = str(Path(folder).expanduser().absolute())


def folder_for(step: str) -> Path | None:
    """Where results of a step are shared, or None."""
    root = os.environ.get(VARIABLE)
    return Path(root).expanduser().absolute() / step if root else None


def obtain(
    place: Path,
    outputs: Outputs,
    make: Callable[[], None],
    record: Callable[[], dict[str, Any]],
) -> dict[str, Any] | None:
    """Link the outputs to an entry; make them first when there is none, and share them.

    Args:
        outputs: by name; they are links afterwards, or plain files where nothing can be shared.
        record: what is known of their making, once they are made.

    Returns:
        ``entry.json``; None when nothing is shared.
    """
    try:
        _make_folder(place.parent)
    except OSError as error:
        log.logger.warning("nothing is shared in %s: %s", place.parent, error)
        make()
        return None
    with _turn(place):
        entry = _entry(place)
        if entry is None:
            make()
            entry = _share(place, outputs, record)
        else:
            log.logger.info("taken from the shared folder, not made again: %s", place)
        if entry is not None:
            for name, path in outputs.items():
                _link(place / entry["outputs"][name]["file"], path)
        return entry


def _entry(place: Path) -> dict[str, Any] | None:
    """An entry whose files are all there as they were shared.

    A damaged one is removed; where that is forbidden, it is not used.
    """
    if not place.is_dir():
        return None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        entry: dict[str, Any] = atomic.read_json(place / "entry.json")
        if all(_as_shared(place / row["file"], row) for row in entry["outputs"].values()):
            return entry
    log.logger.warning("%s cannot be used, it is made anew", place)
    shutil.rmtree(place, ignore_errors=True)
    return None


def _as_shared(path: Path, row: Mapping[str, Any]) -> bool:
    status = path.stat()
    with path.open("rb"):  # it may be another user's
        return bool(status.st_size == row["size"] and status.st_mtime_ns == row["modified_ns"])


def _share(
    place: Path, outputs: Outputs, record: Callable[[], dict[str, Any]]
) -> dict[str, Any] | None:
    """Put outputs into the folder: whole, or not at all."""
    staging = place.with_name(f".{place.name}.{os.uname().nodename}.{os.getpid()}.tmp")
    try:
        staging.mkdir()
        rows = {name: _put(path, staging, name) for name, path in outputs.items()}
        entry = {"outputs": rows, "record": record()}
        atomic.write_json(staging / "entry.json", entry, indent=1)
        _open_to_others(staging)
        if place.is_dir():  # where there are no locks, another was first
            return _entry(place)
        staging.rename(place)
        return entry
    except OSError as error:
        log.logger.warning("%s is not shared: %s", place, error)
        return _entry(place) if place.is_dir() else None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _put(path: Path, folder: Path, name: str) -> dict[str, Any]:
    """A second name for a file, or a copy on another disk; its row of ``entry.json``."""
    target = folder / (name + path.suffix)
    digest = sidecar.digest(path)
    try:
        os.link(path, target)
    except OSError:
        shutil.copy2(path, target)
        with target.open("rb") as file:
            os.fsync(file.fileno())
    status = target.stat()
    return {
        "file": target.name,
        "sha256": digest,
        "size": status.st_size,
        "modified_ns": status.st_mtime_ns,
    }


def _link(target: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(path)


@contextlib.contextmanager
def _turn(place: Path) -> Iterator[None]:
    """Wait for whoever makes the same entry; where locks are impossible, do not."""
    path = place.with_name(f"{place.name}.lock")
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(made_once.lock(path, place))
        except OSError as error:  # another's folder, or no locks on this disk
            log.logger.info("no lock on %s: %s", path, error)
        with contextlib.suppress(OSError):  # those who may write in the folder may lock too
            path.chmod(path.parent.stat().st_mode & 0o666)
        for left in place.parent.glob(f".{place.name}.*.tmp"):  # of killed jobs
            shutil.rmtree(left, ignore_errors=True)
        yield


def _make_folder(folder: Path) -> None:
    """The folder of a step, as open as the one that holds it."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(folder.parent.stat().st_mode & 0o7777)


def _open_to_others(staging: Path) -> None:
    """As readable as the folder is; nobody writes through a link by mistake."""
    mode = staging.parent.stat().st_mode & 0o7777
    for path in staging.iterdir():
        path.chmod(0o400 | mode & 0o444)
    staging.chmod(mode | 0o700)
