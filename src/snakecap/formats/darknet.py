"""Darknet's two files: ``.cfg``, the layers of a network as text, and ``.weights``, its numbers.

Source: darknet/src/parser.c and option_list.c (Redmon, github.com/pjreddie/darknet). A ``.cfg`` has
a ``[section]`` a layer with ``key=value`` lines; blanks mean nothing, ``#`` and ``;`` open comments
and the first of two equal keys counts. A ``.weights`` file is little-endian: int32 major, minor and
revision; the pictures seen, as int64 from version 0.2 and int32 before; then float32 numbers, layer
by layer, for a convolution its biases, with batch norm its scales, means and variances, and its
weights. The file says neither names nor shapes: only the ``.cfg`` does.

No official weights were at hand when this was written: both readers are checked on files that the
tests write byte by byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, TypeAdapter

from snakecap.formats.atomic import checked, read_text
from snakecap.objects.categories import canonical

NUMBERS = TypeAdapter(tuple[FiniteFloat, ...])
VARIANCES = "variances"  # what the names of batch norms' variances end with
Array = NDArray[np.float32]
Shapes = Sequence[tuple[str, tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class Section:
    """One section of a ``.cfg``.

    Attributes:
        name: such as ``convolutional``.
        options: keys and values as written, without blanks.
        place: file and line, for messages.
    """

    name: str
    options: Mapping[str, str]
    place: str = field(default="", compare=False)

    def whole(self, key: str, default: int, *, least: int = 1) -> int:
        """A whole number.

        Raises:
            ValueError: it is none, or less than the least; names the place.
        """
        kind: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=least)])
        return checked(self.options.get(key, default), kind, str(self.error(key)))

    def numbers(self, key: str, default: str = "") -> tuple[float, ...]:
        """Numbers between commas.

        Raises:
            ValueError: one of them is none; names the place.
        """
        items = tuple(item for item in self.options.get(key, default).split(",") if item)
        return checked(items, NUMBERS, str(self.error(key)))

    def require(self, **values: str) -> None:
        """Refuse an option that has another value: it would be another network."""
        for key, value in values.items():
            if self.options.get(key, value) != value:
                raise self.error(f"{key}={self.options[key]} is not supported, only {value}")

    def error(self, reason: str) -> ValueError:
        return ValueError(f"{self.place or 'cfg'}: [{self.name}] {reason}")


def parse(text: str, source: str = "cfg") -> tuple[Section, ...]:
    """The sections of a ``.cfg``, in order.

    Raises:
        ValueError: a line is neither a section, an option nor a comment; names it.
    """
    sections: list[tuple[str, dict[str, str], str]] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = "".join(raw.split())  # darknet drops blanks wherever they stand
        place = f"{source}:{number}"
        key, equals, value = line.partition("=")
        if not line or line[0] in "#;":
            continue
        if line[0] == "[" and line[-1] == "]":
            sections.append((line[1:-1], {}, place))
        elif equals and key and sections:
            sections[-1][1].setdefault(key, value)
        else:
            raise ValueError(f"{place}: {raw.strip()!r} is not a line of a darknet .cfg")
    return tuple(Section(name, options, place) for name, options, place in sections)


def text_of(sections: Iterable[Section]) -> str:
    """A ``.cfg`` that `parse` reads as these sections."""
    blocks = (
        "\n".join([f"[{section.name}]", *(f"{k}={v}" for k, v in section.options.items())])
        for section in sections
    )
    return "\n\n".join(blocks) + "\n"


def read_cfg(path: Path) -> tuple[Section, ...]:
    """The sections of a ``.cfg`` file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a ``.cfg``; names the line.
    """
    sections = parse(_text(path), str(path))
    if not sections:
        raise ValueError(f"{path} has no [section]: it is not a darknet .cfg")
    return sections


def read_names(path: Path) -> tuple[str, ...]:
    """The categories of a ``.names`` file, one a line, in COCO's spelling.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a name stands there twice.
    """
    names = tuple(canonical(line.strip()) for line in _text(path).splitlines() if line.strip())
    if len(set(names)) < len(names):
        raise ValueError(f"{path} has a category twice: {sorted(names)}")
    return names


def _text(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}")
    try:
        return read_text(path).removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file") from None


def read_weights(path: Path, shapes: Shapes) -> dict[str, Array]:
    """Read the numbers of a ``.weights`` file.

    Args:
        shapes: names and shapes of the arrays that its network has, in the file's order.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it holds fewer numbers than the network has, or more, or one that is not
            finite; names the file, and the array of that one.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
    data = path.read_bytes()
    rest = memoryview(data)[_header(path, data) :]
    sizes = [int(np.prod(shape)) for _, shape in shapes]
    if len(rest) != 4 * sum(sizes):
        raise ValueError(
            f"{path} has {len(rest):,} bytes behind its header, the network of the .cfg takes "
            f"{4 * sum(sizes):,}: it is damaged, or of another .cfg"
        )
    pieces = np.split(np.frombuffer(rest, "<f4"), np.cumsum(sizes)[:-1])
    arrays = {
        name: piece.reshape(shape) for (name, shape), piece in zip(shapes, pieces, strict=True)
    }
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{path}: {name} holds a number that is not finite: it is damaged")
        if name.endswith(VARIANCES) and (values < 0).any():
            raise ValueError(
                f"{path}: {name} holds a negative variance: it is damaged, or of another .cfg"
            )
    return arrays


def _header(path: Path, data: bytes) -> int:
    """How many bytes the header takes: newer files count their pictures in eight bytes."""
    if len(data) >= 12:
        major, minor = struct.unpack_from("<ii", data)
        wide = major * 10 + minor >= 2 and major < 1000 and minor < 1000
        size = 20 if wide else 16
        if len(data) >= size:
            return size
    raise ValueError(f"{path} has {len(data)} bytes: too few for the header of a .weights file")
