"""Vectors of pictures that another program made: .npy, .h5, .lmdb, PicSOM's .bin, lists of them.

Source: DeepCaption's dataset.py (`ExternalFeature`), picsom/bin_data.py and picsom/label_index.py.

- ``.npy``: an array (N, ...) of numbers; ``.h5``: the same as its dataset ``data``;
- ``.bin``: PicSOM's. A header of 64 bytes, little-endian: ``PSBD``, float32 version, and uint64:
  the header's size, bytes of a record, F, format (0 or 1: float32, 9: uint64), 3 reserved. Then N
  records, each a vector of F numbers;
- ``.lmdb``, ``.mdb``: as our own features; without ``@vdim`` a value is one vector;
- ``.txt``: names of such files, one a line, relative to its folder; ``#`` comments. Vectors of one
  picture are put side by side.

A vector, or a grid: (R, C), or a feature map (C, h, w), which is read as R = h * w cells.

What is a picture's: in .lmdb the key that is its file, without folders, without ending, or the
number in it; elsewhere the row of that number, or of the picture's place in a list: PicSOM's
``labels.txt`` (``#0 <label> ...``), or one name a line. The number is what a name begins with, or
else ends with: 42 of ``0042:kf1.jpeg``, ``42.jpg`` and ``COCO_val2014_000000000042.jpg``. A row
that begins with NaN is none; a list of aliases (``name alias1 alias2``) says where to look then.
A file called ``NAME-mean`` has one vector for all pictures, its first.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snakecap.formats.atomic import utf8_text
from snakecap.formats.features import Features
from snakecap.log import logger

Array = NDArray[Any]
Key = str | int
HEADER = struct.Struct("<4sf7Q")  # PicSOM's
PICSOM = {0: "<f4", 1: "<f4", 9: "<u8"}
LABEL = re.compile(r"#(\d+)\s+<([^>]*)>")
NAMED = 5  # of pictures that lack a vector


class Table(Protocol):
    """One file."""

    shape: tuple[int, ...]  # of one picture's numbers
    shared: bool  # see `Lookup`

    def find(self, file: str) -> Key | None:
        """The key of a picture that has numbers."""

    def take(self, keys: Sequence[Key]) -> Array:
        """The numbers of some keys, (B, *shape)."""


class Names:
    """What a picture may be called in a file.

    Args:
        labels: a list of the rows' names; None: rows go by number.
        aliases: a file of other names.
    """

    def __init__(self, labels: Path | None = None, aliases: Path | None = None):
        self.rows = None if labels is None else _labels(labels)
        lines = [] if aliases is None else _lines(aliases)
        self.aliases = {words[0]: words[1:] for words in map(str.split, lines)}

    def of(self, file: str) -> list[str]:
        """All names, the longest first."""
        path = PurePosixPath(file)
        own = dict.fromkeys((file, path.name, path.stem))
        return [*own, *(alias for name in own for alias in self.aliases.get(name, ()))]

    def keys(self, file: str) -> Iterator[str]:
        """What a picture's key in LMDB may be."""
        yield from self.of(file)
        yield from map(str, self.numbers(file))

    def numbers(self, file: str) -> Iterator[int]:
        """What a picture's row may be."""
        for name in self.of(file):
            if self.rows is None:
                found = re.match(r"\d+", name) or re.search(r"\d+$", name)
                yield from [int(found[0])] if found else []
            elif name in self.rows:
                yield self.rows[name]


def _lines(path: Path) -> list[str]:
    lines = utf8_text(path).splitlines()
    return [line.strip() for line in lines if line.strip()]


def _labels(path: Path) -> dict[str, int]:
    rows = {}
    for number, line in enumerate(_lines(path)):
        found = LABEL.match(line)
        rows[found[2] if found else line] = int(found[1]) if found else number
    return rows


class Rows:
    """An array whose rows are vectors."""

    shared = False

    def __init__(self, path: Path, array: Array, names: Names):
        if array.ndim < 2 or array.dtype.kind not in "fiu" or 0 in array.shape:
            raise ValueError(f"{path} holds {array.dtype} of shape {array.shape}, not vectors")
        self.array, self.shape, self.names = array, array.shape[1:], names
        self.shared = self.shared or bool(names.aliases)

    def find(self, file: str) -> int | None:
        return next(filter(self._holds, self.names.numbers(file)), None)

    def _holds(self, row: int) -> bool:
        return 0 <= row < len(self.array) and not np.isnan(self.array[row].flat[0])

    def take(self, keys: Sequence[Key]) -> Array:
        return self.array[np.array(keys, np.int64)]


class Mean(Rows):
    """One vector for every picture."""

    shared = True

    def find(self, file: str) -> int:
        return 0


class Keyed:
    """LMDB."""

    def __init__(self, path: Path, names: Names):
        self.features, self.names = Features(path, flat=True), names
        self.shape, self.shared = self.features.vdim, bool(names.aliases)

    def find(self, file: str) -> str | None:
        # LMDB's keys are short, and not empty.
        keys = (key for key in self.names.keys(file) if 0 < len(key.encode()) < 512)
        return next((key for key in keys if key in self.features), None)

    def take(self, keys: Sequence[Key]) -> Array:
        return self.features.read([str(key) for key in keys])


class Lookup:
    """Something that is there for some pictures, in a file at `path`."""

    path: Path
    shared = False  # whether pictures may have the same

    def find(self, file: str) -> tuple[Key | None, ...]:
        """The keys of a picture, None where there is none."""
        raise NotImplementedError

    def __contains__(self, file: str) -> bool:
        return None not in self.find(file)

    def check(self, files: Sequence[str]) -> None:
        """Look for some pictures, each named once.

        Raises:
            ValueError: some are missing; says how many, and names a few. Or two have the same.
        """
        found = {file: self.find(file) for file in files}
        if missing := [file for file, keys in found.items() if None in keys]:
            raise ValueError(
                f"{self.path} lacks {len(missing)} of {len(files)} pictures: "
                + ", ".join(missing[:NAMED])
                + (", ..." if len(missing) > NAMED else "")
            )
        owners = {keys: file for file, keys in found.items()}
        if not self.shared and len(owners) < len(found):
            file, keys = next((f, k) for f, k in found.items() if owners[k] != f)
            raise ValueError(
                f"{self.path}: {file} and {owners[keys]} would both have {keys[0]!r}: names and "
                "numbers must tell pictures apart, or a list (labels) say which is whose"
            )


class Vectors(Lookup):
    """Vectors (F,) or grids (R, C) of pictures.

    Attributes:
        vdim: shape of one.
    """

    def __init__(self, path: Path, tables: Sequence[Table]):
        shapes = [_celled(table.shape) for table in tables]
        if len({shape[:-1] for shape in shapes}) != 1:
            raise ValueError(f"{path} lists none, or shapes that do not fit side by side: {shapes}")
        self.path, self.tables = path, tables
        self.shared = any(table.shared for table in tables)
        self.vdim = (*shapes[0][:-1], sum(shape[-1] for shape in shapes))

    def find(self, file: str) -> tuple[Key | None, ...]:
        return tuple(table.find(file) for table in self.tables)

    def read(self, files: Sequence[str]) -> NDArray[np.float32]:
        """The numbers of some pictures, of shape (B, *vdim).

        Raises:
            ValueError: a picture has none, or they are not finite.
        """
        parts = [_cells(table.take(self._keys(table, files))) for table in self.tables]
        found = np.concatenate(parts, -1).astype(np.float32)
        finite = np.isfinite(found).reshape(len(files), -1).all(1)
        if not finite.all():
            raise ValueError(f"{self.path}: {files[int(finite.argmin())]} has NaN or infinity")
        return found

    def _keys(self, table: Table, files: Sequence[str]) -> list[Key]:
        keys = [key for file in files if (key := table.find(file)) is not None]
        if len(keys) < len(files):
            self.check(files)
        return keys


def opened(
    path: Path, *, output: str | None = None, labels: str = "", aliases: str = ""
) -> Vectors:
    """Open a file of vectors, of any of the formats.

    Args:
        output: ``pooled`` or ``grid``; None: whatever there is.
        labels: a file that says which picture each row is of; without one rows go by number.
        aliases: a file of other names that pictures may have.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is not of its format; names it.
    """
    for place in filter(None, (str(path), labels, aliases)):
        if not Path(place).is_file():
            raise FileNotFoundError(f"there is no file {place}")
    names = Names(*(Path(one) if one else None for one in (labels, aliases)))
    found = Vectors(path, [_table(one, names) for one in listed(path)])
    if output not in (None, ("pooled", "grid")[len(found.vdim) - 1]):
        raise ValueError(f"{path} has shape {found.vdim} for a picture, which is no {output}")
    return found


def listed(path: Path) -> list[Path]:
    """The files that a .txt lists; any other file itself."""
    if path.suffix != ".txt":
        return [path]
    return [path.parent / line for line in _lines(path) if not line.startswith("#")]


def _table(path: Path, names: Names) -> Table:
    try:
        if path.suffix in (".lmdb", ".mdb"):
            return Keyed(path, names)
        if path.suffix not in ARRAYS:
            raise ValueError(f"vectors are read from .lmdb, .mdb, .txt, {', '.join(ARRAYS)}")
        array = ARRAYS[path.suffix](path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as vectors: {error}") from error
    if path.stem.endswith("-mean"):
        logger.warning("%s: one vector for all pictures", path)
        return Mean(path, array, names)
    return Rows(path, array, names)


def _npy(path: Path) -> Array:
    return np.lib.format.open_memmap(path, mode="r")  # refuses Python objects, and executes nothing


def _h5(path: Path) -> Array:
    import h5py

    with h5py.File(path, "r") as file:
        if not isinstance(file.get("data"), h5py.Dataset):
            raise ValueError("it has no dataset `data`")
        data = file["data"]
        offset = data.id.get_offset()
        if offset is not None:
            mapped: Array = np.memmap(path, data.dtype, "r", offset, data.shape)
            return mapped
    chunked: Any = Chunked(h5py.File(path, "r")["data"])
    return chunked  # type: ignore[no-any-return]  # enough of an array here


class Chunked:
    """An HDF5 dataset in chunks, perhaps compressed: rows are read when they are asked for."""

    def __init__(self, data: Any):
        self.data, self.shape, self.dtype, self.ndim = data, data.shape, data.dtype, data.ndim

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, rows: Any) -> Array:
        each, places = np.unique(rows, return_inverse=True)  # it wants them ascending
        found: Array = self.data[each]
        return found[places]


def _bin(path: Path) -> Array:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(HEADER.size)
    if len(start) < HEADER.size or start[:4] != b"PSBD":
        raise ValueError("it is no PicSOM file: it does not begin with PSBD")
    _, _, header, record, width, kind, *_ = HEADER.unpack(start)
    dtype = np.dtype(PICSOM.get(kind, "V0"))
    if not dtype.itemsize or header < HEADER.size or not 0 < width * dtype.itemsize <= record:
        raise ValueError(f"its header is wrong: {record} bytes for {width} numbers of kind {kind}")
    number, rest = divmod(size - header, record)
    if rest or number < 1:
        raise ValueError(f"it is cut short: {size} bytes are no whole records of {record}")
    rows = np.memmap(path, np.uint8, "r", header, (number, record))
    return rows[:, : width * dtype.itemsize].view(dtype)


ARRAYS: Mapping[str, Callable[[Path], Array]] = {".npy": _npy, ".h5": _h5, ".bin": _bin}


def _celled(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) > 3:
        raise ValueError(f"vectors or grids are wanted, not arrays of shape {shape}")
    return (shape[1] * shape[2], shape[0]) if len(shape) == 3 else shape


def _cells(values: Array) -> Array:
    """Feature maps (B, C, h, w) as cells (B, R, C)."""
    return values.reshape(*values.shape[:2], -1).swapaxes(1, 2) if values.ndim == 4 else values
