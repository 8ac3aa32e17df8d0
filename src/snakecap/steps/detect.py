"""Pictures to the objects in them; a killed run goes on where it was.

Image files are decoded by threads ahead of the detector. What is found grows in LMDB, a batch a
transaction, and is written as one file at the end. What is seen in a picture does not depend on its
batch, so a run that goes on may have smaller ones.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray

from snakecap import device as devices
from snakecap import log
from snakecap.config import settings as configuration
from snakecap.detectors.detector import Detector
from snakecap.formats import decode
from snakecap.formats import detections as detection_files
from snakecap.formats import pictures as records
from snakecap.formats import rejected as rejected_files
from snakecap.formats.atomic import write_json
from snakecap.formats.images import readable
from snakecap.formats.pictures import Picture
from snakecap.formats.store import Store
from snakecap.inference.detector import Detected, build_detector, look
from snakecap.objects.boxes import Detections
from snakecap.objects.categories import ordered
from snakecap.provenance import code
from snakecap.provenance.identity import Output, Photos, step, work_folder

OUT_OF_MEMORY = "lower the batch_size of the detector's row"
AHEAD = 2  # batches that are decoded or being decoded while the detector looks at one
Image = NDArray[np.uint8]
Loaded = tuple[Picture, Image | None] | str  # its record with its size, and pixels; or why not


@step
def detect(
    *,
    pictures: Annotated[Path, Photos],
    detections: Annotated[Path, Output],
    info: Annotated[Path, Output],
    rejected: Annotated[Path, Output],
    settings: configuration.Detector,
    weights: Path | None = None,
    images: Path | None = None,
    root: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Find the objects in pictures.

    Args:
        pictures: pictures.json.
        detections: output, COCO results JSON; boxes are in pixels of the records' widths and
            heights.
        info: output, a JSON of the detector, its categories and its speed; under `sizes`, by id,
            the width and height of pictures whose records do not say.
        rejected: output, a .tsv of unreadable pictures and of boxes that were clipped or dropped.
        settings: a row of `detectors`.
        weights: its weights or results; null: the row's `file`.
        images: images.h5; when given, only its pictures are looked at.
        root: folder of the photos; null: the root in pictures.json.
        device: auto, cpu or cuda.
        threads: CPU threads.

    Raises:
        FileNotFoundError: a file or the pictures' folder is missing.
        ValueError: results are of other pictures or lack a split, a number is not finite, or no
            picture is readable.
    """
    place = devices.choose(device, threads)
    collection = records.read(pictures, root)
    chosen = readable(collection.pictures, images)
    file = weights or (Path(settings.file) if settings.file else None)
    own = collection.categories
    seen = (one.category for picture in collection.pictures for one in picture.objects)
    names = ordered([*own.values(), *seen])
    detector = build_detector(settings, file=file, categories=names, ids=own, place=place)
    if detector.reads_images and not collection.root.is_dir():
        raise FileNotFoundError(f"{collection.root}, the root in {pictures}, is not a folder")
    odd = detector.match(chosen)
    row = settings.model_dump(mode="json", exclude={"batch_size", "training"})
    with devices.advice(OUT_OF_MEMORY), work_folder(detections, place.type) as folder:
        search = _Search(detector, settings, chosen, folder / "seen.lmdb")
        try:
            search.run(partial(_load, collection.root, detector.reads_images))
            rejected_files.write(rejected, [*search.rejected(), *odd])
            facts = search.facts() | code.stamp(settings=row)
            write_json(info, facts | {"device": detector.device or place.type}, indent=1)
            found = ((picture.id, one.objects) for picture, one in search.seen())
            detection_files.write(detections, found, detector.categories, own)
        finally:
            search.store.close()


def _load(root: Path, reads_images: bool, picture: Picture) -> Loaded:
    """A picture's record with its size, and its pixels when they are wanted."""
    sized = picture.width > 0 and picture.height > 0
    if sized and not reads_images:
        return picture, None
    try:
        image = decode.load_whole(root / picture.file)
    except decode.Unreadable as error:
        return str(error) if reads_images else (picture, None)
    if not sized:
        picture = replace(picture, width=image.shape[2], height=image.shape[1])
    return picture, image if reads_images else None


class _Search:
    """A detector at work on some pictures.

    Attributes:
        store: what it has seen so far, by the picture's row, counted from 0.
        unreadable: reasons by row, of this run; they are tried again by the next.
        seconds: that this run took, for `looked_at` pictures.
    """

    def __init__(
        self,
        detector: Detector,
        settings: configuration.Detector,
        pictures: Sequence[Picture],
        path: Path,
    ):
        self.detector, self.settings = detector, settings
        self.pictures, self.store = pictures, Store(path)
        self.unreadable: dict[int, str] = {}
        self.seconds, self.looked_at = 0.0, 0

    def run(self, load: Callable[[Picture], Loaded]) -> None:
        """Look at all pictures that were not looked at before."""
        size, total = self.settings.batch_size, len(self.pictures)
        batches = [range(at, min(at + size, total)) for at in range(0, total, size)]
        todo = [rows for rows in batches if not all(self.store.holds(map(_key, rows)))]
        self.looked_at = sum(map(len, todo))
        start = time.monotonic()
        initial = total - self.looked_at
        with log.bar(title="detect", total=total, unit="picture", initial=initial) as bar:
            coming = ([self.pictures[row] for row in rows] for rows in todo)
            for rows, loaded in zip(todo, _ahead(load, coming), strict=True):
                self._look(dict(zip(rows, loaded, strict=True)))
                bar.update(len(rows))
        self.seconds = time.monotonic() - start
        if self.unreadable:
            self._tell_of_unreadable()

    def _look(self, batch: Mapping[int, Loaded]) -> None:
        self.unreadable |= {row: one for row, one in batch.items() if isinstance(one, str)}
        ready = {row: one for row, one in batch.items() if not isinstance(one, str)}
        if ready:
            pictures = [picture for picture, _ in ready.values()]
            images = [image for _, image in ready.values() if image is not None]
            seen = look(self.detector, pictures, images, self.settings)
            self.store.save(
                [(_key(row), _bytes(one)) for row, one in zip(ready, seen, strict=True)]
            )

    def _tell_of_unreadable(self) -> None:
        number, total = len(self.unreadable), len(self.pictures)
        some = list(self.unreadable.items())[:5]
        first = "; ".join(f"{self.pictures[row].file}: {reason}" for row, reason in some)
        if number == total:
            raise ValueError(f"none of the {total} pictures is readable: {first}")
        log.logger.warning("%d of %d pictures are unreadable: %s", number, total, first)

    def seen(self) -> Iterator[tuple[Picture, Detected]]:
        """All that was seen, in the order of the pictures."""
        for row, picture in enumerate(self.pictures):
            value = self.store.get(_key(row))
            if value is not None:
                yield picture, _of_bytes(value)

    def rejected(self) -> list[tuple[str, str]]:
        """Rows of ``rejected.tsv``: unreadable pictures, then boxes."""
        files = [(self.pictures[row].file, why) for row, why in sorted(self.unreadable.items())]
        return files + [(picture.file, note) for picture, one in self.seen() for note in one.notes]

    def facts(self) -> dict[str, Any]:
        """For the info file."""
        objects, sizes = 0, {}
        for picture, one in self.seen():
            objects += len(one.objects)
            if not (picture.width and picture.height) and all(one.size):
                sizes[str(picture.id)] = one.size
        return {
            "detector": self.settings.part,
            "categories": list(self.detector.categories),
            "pictures": len(self.pictures) - len(self.unreadable),
            "objects": objects,
            "seconds": self.seconds,
            "throughput": self.looked_at / self.seconds if self.seconds else 0.0,
            "sizes": sizes,
        }


def _key(row: int) -> bytes:
    return b"%d" % row


def _bytes(seen: Detected) -> bytes:
    found = seen.objects
    arrays = [array.tolist() for array in (found.boxes, found.categories, found.scores)]
    return json.dumps([*arrays, seen.notes, seen.size]).encode()


def _of_bytes(data: bytes) -> Detected:
    boxes, categories, scores, notes, (width, height) = json.loads(data)
    found = Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(categories, np.int64),
        np.array(scores, np.float32),
    )
    return Detected(found, tuple(notes), (width, height))


def _ahead(
    load: Callable[[Picture], Loaded], batches: Iterable[Sequence[Picture]]
) -> Iterator[list[Loaded]]:
    """The pictures of each batch; threads load the next ones meanwhile."""
    coming: deque[Iterator[Loaded]] = deque()
    with ThreadPoolExecutor(max(2, torch.get_num_threads())) as pool:
        for pictures in batches:
            coming.append(pool.map(load, pictures))
            if len(coming) > AHEAD:
                yield list(coming.popleft())
        yield from map(list, coming)
