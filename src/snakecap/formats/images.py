"""``images.h5``: square RGB bytes, one row a picture.

Dataset ``images`` uint8 (N, 3, S, S) is contiguous, so the place of every row is known: the
resize processes write their rows straight into the file, and readers fetch rows with one
``pread`` each, without HDF5, from any process or thread. Dataset ``files`` (N,) holds the
pictures' names; attributes ``size``, ``mode`` and ``stamp``. Any HDF5 reader opens it, and
`Images` also reads chunked or compressed files such as other tools write.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snakecap.formats.atomic import room

if TYPE_CHECKING:
    from snakecap.formats.pictures import Picture

ENCODING = "surrogateescape"  # a file's name may be bytes that are not UTF-8


def create(path: Path, files: Sequence[str], size: int, mode: str, stamp: dict[str, Any]) -> None:
    """Make, or replace, ``images.h5`` with a row a file, all allocated and still unwritten."""
    with room(path), h5py.File(path, "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_layout(h5py.h5d.CONTIGUOUS)
        # Allocated now, so that the rows have their place; not filled, so that it stays sparse.
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        plan.set_obj_track_times(False)  # equal pictures, equal bytes
        space = h5py.h5s.create_simple((len(files), 3, size, size))
        h5py.h5d.create(file.id, b"images", h5py.h5t.STD_U8LE, space, plan)
        names = [name.encode("utf-8", ENCODING) for name in files]
        file.create_dataset("files", data=np.array(names, object), dtype=h5py.string_dtype())
        file.attrs.update({"size": size, "mode": mode, "stamp": json.dumps(stamp)})


class Rows:
    """Writes rows into a file made by `create`; several processes may, each its own rows."""

    def __init__(self, path: Path):
        self.path, images = path, Images(path)
        self.offset, self.bytes = images.offset, images.bytes
        self.handle = os.open(path, os.O_WRONLY)

    def write(self, row: int, image: NDArray[np.uint8]) -> None:
        """Write one image (3, S, S)."""
        assert self.offset is not None and image.nbytes == self.bytes
        view, at = np.ascontiguousarray(image).data.cast("B"), self.offset + row * self.bytes
        with room(self.path):
            while view:
                done = os.pwrite(self.handle, view, at)
                view, at = view[done:], at + done

    def close(self) -> None:
        """Close the file; what was written is on disk after `flush`."""
        os.close(self.handle)


def flush(path: Path) -> None:
    """Wait until all that any process wrote is on disk."""
    with room(path), path.open("rb+") as file:
        os.fsync(file.fileno())


def keep(source: Path, target: Path, rows: Sequence[int], block: int = 64) -> None:
    """Write those rows of `source`, in that order, as a new ``images.h5``."""
    images = Images(source)
    create(target, [images.files[row] for row in rows], images.size, images.mode, images.stamp)
    writer = Rows(target)
    for start in range(0, len(rows), block):
        for row, image in enumerate(images.read(rows[start : start + block]), start=start):
            writer.write(row, image)
    writer.close()
    flush(target)


def readable(pictures: Sequence[Picture], images: Path | None) -> Sequence[Picture]:
    """The pictures that ``images.h5`` holds, in its order; without one, all.

    Raises:
        ValueError: it holds another; names it.
    """
    if images is None:
        return pictures
    known = {picture.file: picture for picture in pictures}
    files = Images(images).files
    if unknown := next((file for file in files if file not in known), None):
        raise ValueError(f"{images} has {unknown!r}, no picture of pictures.json: run resize again")
    return [known[file] for file in files]


class Images:
    """Reads ``images.h5``. Holds no open file: safe to fork, to pickle, and to share by threads.

    Attributes:
        size: the side S in pixels.
        mode: squash (whole pictures made square) or crop (their centre squares).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not an ``images.h5``; says what is wrong.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"{path} does not exist: run `snakecap resize` first")
        try:
            with h5py.File(self.path) as file:
                data = file["images"]
                self.length, channels, self.size, width = data.shape
                if data.dtype != np.uint8 or channels != 3 or width != self.size:
                    raise ValueError(f"`images` is {data.dtype} {data.shape}, not uint8 (N,3,S,S)")
                plain = data.id.get_create_plist().get_external_count() == 0
                # None for chunks, compression, or no data at all.
                self.offset: int | None = data.id.get_offset() if plain else None
                self.mode = str(file.attrs.get("mode", "squash"))
                self.stamp: dict[str, Any] = json.loads(file.attrs.get("stamp", "{}"))
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(f"{path} is not an images.h5: {error}") from error
        self.bytes = 3 * self.size * self.size

    def __len__(self) -> int:
        return int(self.length)

    @cached_property
    def files(self) -> tuple[str, ...]:
        with h5py.File(self.path) as file:
            if "files" not in file:
                raise ValueError(f"{self.path} does not name its pictures: it has no `files`")
            return tuple(name.decode("utf-8", ENCODING) for name in file["files"][:])

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.files)}

    def __contains__(self, file: str) -> bool:
        return file in self._places

    def rows(self, files: Sequence[str]) -> NDArray[np.int64]:
        """The row of each file.

        Raises:
            ValueError: some have no row; the message names the first.
        """
        missing = [name for name in files if name not in self._places]
        if missing:
            raise ValueError(
                f"{self.path} has no image of {len(missing)} pictures, the first {missing[0]!r}; "
                "rejected.tsv says which could not be read"
            )
        return np.array([self._places[name] for name in files], np.int64)

    def read(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Images of some rows, in the order asked, repeats allowed: (len(rows), 3, S, S), a copy.

        Raises:
            IndexError: a row outside the file.
        """
        wanted = np.asarray(rows, np.int64).reshape(-1)
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < len(self)):
            raise IndexError(f"{self.path} has rows 0 to {len(self) - 1}, not all of {wanted}")
        if self.offset is None:
            return self._read_chunked(wanted)
        images = np.empty((len(wanted), 3, self.size, self.size), np.uint8)
        runs = [*np.flatnonzero(np.diff(wanted, prepend=-2) != 1), len(wanted)]  # of neighbours
        with self.path.open("rb", buffering=0) as file:
            for start, stop in pairwise(runs):
                offset = self.offset + int(wanted[start]) * self.bytes
                self._fill(file.fileno(), images[start:stop].data.cast("B"), offset)
        return images

    def _fill(self, handle: int, view: memoryview, offset: int) -> None:
        while view:
            done = os.preadv(handle, [view[: 1 << 30]], offset)
            if done == 0:
                raise ValueError(f"{self.path} is cut short: make it again")
            view, offset = view[done:], offset + done

    def _read_chunked(self, wanted: NDArray[np.int64]) -> NDArray[np.uint8]:
        distinct, places = np.unique(wanted, return_inverse=True)
        with h5py.File(self.path) as file:
            found: NDArray[np.uint8] = file["images"][distinct]
        return found[places]

    def load(self) -> NDArray[np.uint8]:
        """All images, (N, 3, S, S)."""
        return self.read(np.arange(len(self)))
