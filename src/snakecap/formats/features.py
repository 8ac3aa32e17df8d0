"""Backbone features in LMDB: one transaction is whole or absent, so that extraction resumes.

A single file. Key: the picture's file in UTF-8, with ``@flip`` behind it for the mirrored picture.
Value: raw little-endian float32 or float16. ``@vdim``: int32 array of the shape of one value, of a
grid; ``~vdim``: of a vector; ``~dtype``: its type's name; ``~stamp``: provenance as JSON.

DeepCaption reads float32 ones as the folder ``NAME.lmdb`` with this file as ``data.mdb``, where
files are in the data set's root. It wants a value or the shape first: all else sorts last.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import lmdb
import numpy as np
from numpy.typing import DTypeLike, NDArray

from snakecap.formats.store import Store

FLIP = "@flip"
DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}
LONGEST_KEY = 511  # bytes: LMDB's own limit
GRID, VECTOR, DTYPE, STAMP = b"@vdim", b"~vdim", b"~dtype", b"~stamp"
RESERVED = (GRID, VECTOR, DTYPE, STAMP)


def key(file: str) -> bytes:
    """The key of a picture's file name.

    Raises:
        ValueError: the name is longer than LMDB's keys can be, or is reserved.
    """
    name = file.encode("utf-8", "surrogateescape")
    if not 0 < len(name) <= LONGEST_KEY:
        raise ValueError(
            f"the file name {file[:60]!r}... has {len(name)} bytes; features are keyed by file "
            f"name, and LMDB's keys have 1 to {LONGEST_KEY}: use a shorter path below the root"
        )
    if name in RESERVED:
        raise ValueError(f"a picture cannot be called {file!r}: the name is reserved")
    return name


class Writer(Store):
    """Adds features, ``float32`` or ``float16``, to a file that may already hold some.

    Raises:
        ValueError: the file holds values of another shape or type.
    """

    def __init__(self, path: Path, vdim: Sequence[int], dtype: str):
        super().__init__(path)
        self.vdim, self.dtype = tuple(vdim), DTYPES[dtype]
        shape = np.asarray(self.vdim, "<i4").tobytes()
        name = VECTOR if len(self.vdim) == 1 else GRID
        if (self.get(name), self.get(DTYPE)) not in ((None, None), (shape, dtype.encode())):
            self.environment.close()
            raise ValueError(f"{path} holds features of another shape or type: delete it")
        self.save([(name, shape), (DTYPE, dtype.encode())])

    def has(self, files: Iterable[str]) -> list[bool]:
        return self.holds(map(key, files))

    def put(self, files: Sequence[str], values: NDArray[Any]) -> None:
        """Store values (B, *vdim), one for each file, in one transaction."""
        assert values.shape == (len(files), *self.vdim), (values.shape, self.vdim)
        rows = np.ascontiguousarray(values, self.dtype)
        self.save([(key(file), row.tobytes()) for file, row in zip(files, rows, strict=True)])

    def close(self, stamp: dict[str, Any] | None = None) -> None:
        """Flush to disk and close; `stamp` marks the file as complete."""
        if stamp is not None:
            self.save([(STAMP, json.dumps(stamp).encode())])
        super().close()


class _Environment:
    """An open LMDB file, closed when nothing refers to it.

    Raises:
        ValueError: it is cut short: reading a page that is not there would kill the process.
    """

    def __init__(self, path: Path):
        # lock=False: a finished file never changes, and its folder may be read-only.
        self.lmdb = lmdb.open(str(path), subdir=False, readonly=True, lock=False)
        whole = (self.lmdb.info()["last_pgno"] + 1) * self.lmdb.stat()["psize"]
        if path.stat().st_size < whole:
            raise ValueError(f"{path} is cut short: {path.stat().st_size} of {whole} bytes")

    def __del__(self) -> None:
        if hasattr(self, "lmdb"):
            self.lmdb.close()


# LMDB refuses to open a file twice in a process. A forked child reads through its parent's map:
# without a lock table and without writers that is only memory.
_open: WeakValueDictionary[tuple[int, int], _Environment] = WeakValueDictionary()


def environment(path: Path) -> _Environment:
    """An LMDB file, open for reading as long as somebody holds on to it."""
    status = path.stat()
    place = (status.st_dev, status.st_ino)
    environment = _open.get(place)
    if environment is None:
        environment = _open[place] = _Environment(path)
    return environment


class Features:
    """Reads features; safe to open many times, to fork and to pickle.

    Args:
        flat: where no ``@vdim`` says otherwise, each value is one vector, as the first one is.

    Attributes:
        vdim: shape of one value.
        stamp: what the file records of its making; empty for other tools' files.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a feature file.
    """

    def __init__(self, path: Path | str, *, flat: bool = False):
        self.path = Path(path)
        self._held: _Environment | None = None  # opened when first read, also after pickling
        if not self.path.is_file():
            raise FileNotFoundError(f"{path} does not exist: run `snakecap features` first")
        try:
            with self._begin() as transaction:
                vdim = transaction.get(GRID) or transaction.get(VECTOR)
                dtype = bytes(transaction.get(DTYPE, b"float32")).decode()
                self.stamp: dict[str, Any] = json.loads(bytes(transaction.get(STAMP, b"{}")))
                cursor = transaction.cursor()
                if flat and vdim is None and dtype in DTYPES and cursor.first():
                    vdim = np.int32(len(cursor.value()) // DTYPES[dtype].itemsize).tobytes()
        except lmdb.Error as error:
            raise ValueError(f"{path} is not a feature file: {error}") from error
        if vdim is None or dtype not in DTYPES:
            raise ValueError(f"{path} is not a feature file: it has no @vdim or an unknown @dtype")
        self.vdim = tuple(int(side) for side in np.frombuffer(vdim, "<i4"))
        self.dtype = DTYPES[dtype]

    def _begin(self) -> Any:
        if self._held is None:
            self._held = environment(self.path)
        return self._held.lmdb.begin(buffers=True)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_held": None}

    def __len__(self) -> int:
        """Mirrored pictures count too."""
        with self._begin() as transaction:
            reserved = sum(transaction.get(name) is not None for name in RESERVED)
            return int(transaction.stat()["entries"]) - reserved

    def __contains__(self, file: str) -> bool:
        with self._begin() as transaction:
            return transaction.get(key(file)) is not None

    def read(self, files: Sequence[str], dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """The values of some pictures.

        Args:
            files: names, in any order, repeats allowed; ``name + FLIP`` for the mirrored one.
            dtype: of the result, whatever is stored.

        Returns:
            Shape (len(files), *vdim).

        Raises:
            ValueError: a picture has no features, or a value has another size.
        """
        values = np.empty((len(files), *self.vdim), dtype)
        flat = values.reshape(len(files), math.prod(self.vdim))
        with self._begin() as transaction:
            for row, file in enumerate(files):
                value = transaction.get(key(file))
                if value is None:
                    raise ValueError(
                        f"{self.path} has no features of {file!r}: it was made from other pictures"
                    )
                if len(value) != flat.shape[1] * self.dtype.itemsize:
                    raise ValueError(
                        f"{self.path}: {file!r} has {len(value)} bytes, not of shape {self.vdim}"
                    )
                flat[row] = np.frombuffer(value, self.dtype)
        return values
