"""What a job makes: by one process at a time, resumed after a kill, and never made twice.

Snakemake's lock is its controller's. After ``kill -9`` of a controller its jobs run on, and the
next controller deletes what they make and starts them again. So every job holds a lock of its own
on its output; the second waits for the first, and takes over what that made instead of computing
it again. The locks are the kernel's (flock): they end with their process, however it ends.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from snakecap.distributed import signals
from snakecap.formats import atomic
from snakecap.log import logger
from snakecap.provenance.code import canonical, hashed

POLL = 1.0  # seconds between two looks at a lock that another process holds
_held: set[Path] = set()  # locks of this process: it does not wait for itself


@contextlib.contextmanager
def lock(path: Path, what: object) -> Iterator[bool]:
    """Hold a lock file; while another process does, say who and wait, until a signal ends it.

    Args:
        path: the lock file; it stays, for to remove it would let two hold it.

    Yields:
        False where this process held it already.
    """
    import filelock

    path = path.absolute()
    if path in _held:
        yield False
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    held = filelock.FileLock(path, poll_interval=POLL, fallback_to_soft=False)
    try:
        held.acquire(timeout=0)
    except filelock.Timeout:
        holder = path.read_text(encoding="utf-8").strip() or "unknown"
        logger.warning("%s is being made by another process (%s): waiting for it", what, holder)
        held.acquire()
    except (OSError, NotImplementedError) as error:
        raise OSError(
            f"{path}: no lock ({error}), so that two jobs could write {what} at once; mount the "
            "file system with locks (Lustre: -o flock), or put `pathvars: results` elsewhere"
        ) from None
    _held.add(path)
    try:
        with atomic.room(path):
            path.write_text(f"host {socket.gethostname()}, pid {os.getpid()}\n", encoding="utf-8")
        yield True
    finally:
        _held.discard(path)
        held.release()


@contextlib.contextmanager
def work_folder(output: Path, *key: Any) -> Iterator[Path]:
    """A folder for resumable state beside `output`, private to one job and its exact inputs.

    It is named by a hash of `key`, the job's identity, so that a forced or changed rerun never
    resumes from another run's state; `output` is locked; removed after success only, as is what
    runs with other settings left.
    """
    folder = _root(output) / f"{output.name}-{hashed([output.name, *key])[:16]}"
    with lock(_lock(output), output) as alone:
        _remove_work(output, but=folder)
        folder.mkdir(exist_ok=True)
        signals.resumable()
        yield folder
        if alone:  # else `once` does, when the outputs are safe
            shutil.rmtree(folder)


def once(made: Sequence[Path], identity: Callable[[], Any], make: Callable[[], None]) -> None:
    """Make files, or take them over from the process that made the same ones before.

    What was made stays linked in ``.work`` (which takes no room while the files are there), since
    a controller that starts again deletes the files before it starts the job; `forget` removes the
    links when a controller ends in good order.

    Args:
        identity: what they are a function of, a JSON value; asked when nobody else makes them.
        make: writes each of them whole, or raises.
    """
    first = made[0]
    kept = _kept(first)
    with lock(_lock(first), first):
        for path in made:
            atomic.remove_litter(path.parent, glob.escape(path.name))
        key = json.loads(canonical(identity()))
        if _taken_over(kept, made, key):
            logger.info("%s was made by the process before: nothing to do", first)
            _remove_work(first)
            return
        shutil.rmtree(kept, ignore_errors=True)
        make()
        _keep(kept, made, key)
        if all(path.exists() for path in made):
            _remove_work(first)


def forget(folder: Path) -> None:
    """Remove the links to what jobs made, in all folders below one."""
    for root, _, _ in os.walk(folder):  # not glob, which fails when a job removes a folder
        if Path(root).name == ".work":
            for kept in Path(root).glob("*.made"):
                shutil.rmtree(kept, ignore_errors=True)


def forget_made(first: Path) -> None:
    """Remove the links to what one job made, by its first output: `once` will make it again."""
    shutil.rmtree(_kept(first), ignore_errors=True)


def _root(output: Path) -> Path:
    return output.parent / ".work"


def _kept(first: Path) -> Path:
    return _root(first) / f"{first.name}.made"


def _lock(output: Path) -> Path:
    return _root(output) / f"{output.name}.lock"


def _remove_work(output: Path, *, but: Path | None = None) -> None:
    """Remove the state of runs that made this output; its lock is held."""
    for folder in _root(output).glob(f"{glob.escape(output.name)}-*/"):
        if folder != but:
            shutil.rmtree(folder)


def _keep(kept: Path, made: Sequence[Path], key: Any) -> None:
    """Link what was made; `key.json` comes last and says that all is there."""
    kept.mkdir(parents=True, exist_ok=True)
    try:
        for number, path in enumerate(made):
            (kept / str(number)).hardlink_to(path)
        sizes = [path.stat().st_size for path in made]
        atomic.write_json(kept / "key.json", {"key": key, "sizes": sizes})
    except OSError:  # folders, other disks, file systems without links: made again if need be
        shutil.rmtree(kept, ignore_errors=True)  # or another controller's `forget` was here


def _taken_over(kept: Path, made: Sequence[Path], key: Any) -> bool:
    """Put what was kept under the same key in its places; False when there is no such thing."""
    try:
        record = atomic.read_json(kept / "key.json")
        links = [kept / str(number) for number in range(len(made))]
        if record["key"] != key or record["sizes"] != [link.stat().st_size for link in links]:
            return False
    except (OSError, ValueError, KeyError, TypeError):
        return False
    for link, path in zip(links, made, strict=True):
        if not (path.exists() and path.samefile(link)):
            with atomic.writing(path) as temporary:
                temporary.hardlink_to(link)
    return True
