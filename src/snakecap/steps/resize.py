"""Image files to ``images.h5``, in parallel; unreadable ones to ``rejected.tsv``.

Every process writes its rows straight into the file, which grows in the work folder beside a
journal of what is done: a killed run goes on where it was, and decodes photos again that were
replaced meanwhile. Rows are in the order of
``pictures.json`` and do not depend on the number of processes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import connection
from pathlib import Path
from typing import Annotated

from snakecap import log
from snakecap.config.settings import Resize
from snakecap.distributed import signals
from snakecap.formats import decode
from snakecap.formats import images as images_h5
from snakecap.formats import pictures as pictures_json
from snakecap.formats import rejected as rejected_tsv
from snakecap.formats.atomic import publish, room, writing
from snakecap.provenance import code
from snakecap.provenance.identity import Output, Photos, step, work_folder
from snakecap.provenance.sidecar import look

CHUNK = 32  # pictures a task: small enough to share out, large enough to send
ALONE = 1.5  # seconds before other processes are started: they need about one to start
SAVE = 32  # chunks between lines in the journal, each with a flush of the disk
Bad = tuple[int, str]  # a row and the reason


@step
def resize(
    *,
    pictures: Annotated[Path, Photos],
    images: Annotated[Path, Output],
    rejected: Annotated[Path, Output],
    settings: Resize = Resize(),
    root: Path | None = None,
    workers: int | None = None,
) -> None:
    """Make every picture a square of RGB bytes.

    Args:
        pictures: pictures.json
        images: the images.h5 to write; unreadable pictures have no row in it
        rejected: the rejected.tsv to write: file, reason
        settings: size, mode, limits
        root: folder of the photos; null: the root in pictures.json
        workers: processes; null: one for each CPU that this process may use

    Raises:
        ValueError: more than `settings.max_rejected` of the pictures are unreadable.
    """
    collection = pictures_json.read(pictures, root)
    if not collection.root.is_dir():
        raise FileNotFoundError(f"{collection.root}, the root in {pictures}, is not a folder")
    names = [picture.file for picture in collection.pictures]
    chosen = settings.model_dump(include={"size", "mode", "max_pixels"})
    source = code.file_digest(pictures)
    with work_folder(images, photos=False) as folder:
        whole = folder / "images.h5"
        if not whole.exists():
            stamp = code.stamp(settings=chosen, pictures=source)
            with writing(whole) as new:  # a killed run must not leave a part that exists
                images_h5.create(new, names, settings.size, settings.mode, stamp)
        bad = _decode(whole, folder / "done.txt", collection.root, names, settings, workers)
        _judge([(names[row], reason) for row, reason in bad], len(names), rejected, settings)
        if bad:
            lost = {row for row, _ in bad}
            good = [row for row in range(len(names)) if row not in lost]
            kept = folder / "kept.h5"
            kept.unlink(missing_ok=True)  # of a run before, perhaps with its own name too
            images_h5.keep(whole, kept, good)
            whole = kept
        publish(whole, images)


def _decode(
    whole: Path,
    journal: Path,
    root: Path,
    names: Sequence[str],
    settings: Resize,
    workers: int | None,
) -> list[Bad]:
    """Write all rows that the journal does not hold; the rows that could not be written."""
    chunks = [range(at, min(at + CHUNK, len(names))) for at in range(0, len(names), CHUNK)]
    states = {rows.start: look(root, names[rows.start : rows.stop]).signature for rows in chunks}
    done = _done(journal)
    todo = [rows for rows in chunks if done.get(rows.start) != states[rows.start]]
    work = partial(_fill, whole, root, settings)
    tasks = [(rows.start, [names[row] for row in rows]) for rows in todo]
    bad: list[Bad] = []
    unsaved: list[int] = []  # first rows of finished chunks
    initial = len(names) - sum(map(len, todo))
    with (
        room(journal),
        journal.open("a", encoding="utf-8") as lines,
        log.bar(title="resize", total=len(names), unit="image", initial=initial) as bar,
    ):
        for rows, found in zip(todo, _shared_out(work, tasks, workers), strict=True):
            bad += found
            bar.update(len(rows))
            if not found:  # a chunk with a bad picture is tried again by the next run
                unsaved.append(rows.start)
            if len(unsaved) == SAVE:
                images_h5.flush(whole)  # rows before the line that vouches for them
                lines.writelines(f"{first} {states[first]}\n" for first in unsaved)
                lines.flush()
                unsaved.clear()
    images_h5.flush(whole)
    return bad


def _done(journal: Path) -> dict[int, str]:
    """By its first row, the state of the photos of each chunk that a killed run finished.

    The last line of a run may be torn, and the first one of the next run go on in it. Of a chunk
    that was made again the newest line holds.
    """
    text = journal.read_text(encoding="utf-8", errors="replace") if journal.exists() else ""
    lines = (line.split() for line in text.splitlines(keepends=True) if line.endswith("\n"))
    return {int(line[0]): line[1] for line in lines if len(line) == 2 and line[0].isdecimal()}


def _fill(whole: Path, root: Path, settings: Resize, task: tuple[int, list[str]]) -> list[Bad]:
    """Decode some pictures into consecutive rows; the rows that stay empty, and why."""
    first, names = task
    bad = []
    writer = images_h5.Rows(whole)
    for row, name in enumerate(names, start=first):
        try:
            image = decode.load(root / name, settings.size, settings.mode, settings.max_pixels)
            writer.write(row, image)
        except decode.Unreadable as error:
            bad.append((row, str(error)))
    writer.close()
    return bad


def _shared_out(
    work: Callable[[tuple[int, list[str]]], list[Bad]],
    tasks: Sequence[tuple[int, list[str]]],
    workers: int | None,
) -> Iterator[list[Bad]]:
    """Results in the order of the tasks, whoever did them."""
    alone, start = 0, time.monotonic()
    processes = min(workers or _processors(), len(tasks))
    while alone < len(tasks) and (processes == 1 or time.monotonic() < start + ALONE):
        yield work(tasks[alone])
        alone += 1
    if alone == len(tasks):
        return
    # forkserver: forking a process that has threads (torch's, say) can deadlock.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imported once, not in every worker
    pool = ProcessPoolExecutor(processes, context, initializer=_die_with_parent)
    try:
        yield from pool.map(work, tasks[alone:])
    except BrokenProcessPool:
        raise RuntimeError(
            "a resize process died, perhaps for want of memory: use fewer workers, "
            "or lower resize.max_pixels; the next run goes on from here"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _processors() -> int:
    """CPUs that this process may use: fewer than the machine's in a container or a SLURM job."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _die_with_parent() -> None:
    """End this worker with the main process: it would wait for tasks for ever.

    A signal to the whole group is the main process's to obey, or it would call this a failure.
    """
    for number in signals.CODES:
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _judge(bad: list[tuple[str, str]], total: int, rejected: Path, settings: Resize) -> None:
    """Write the rejected pictures, or fail when they are too many.

    A failed rule's outputs are deleted by Snakemake, so the failure writes beside them.
    """
    failed = rejected.with_name(f"{rejected.stem}.failed{rejected.suffix}")
    if len(bad) <= settings.max_rejected * total:
        rejected_tsv.write(rejected, bad)
        failed.unlink(missing_ok=True)
        if bad:
            log.logger.warning("%d of %d pictures are unreadable: %s", len(bad), total, rejected)
        return
    rejected_tsv.write(failed, bad)
    first = "\n".join(f"  {file}: {reason}" for file, reason in bad[:5])
    raise ValueError(
        f"{len(bad)} of {total} pictures ({len(bad) / total:.1%}) are unreadable, more than "
        f"resize.max_rejected = {settings.max_rejected:.1%} allows; all are listed in {failed}; "
        f"the first:\n{first}"
    )
