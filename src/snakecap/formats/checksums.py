"""Recorded checksums: ``NAME.sha256`` beside a download, in ``sha256sum``'s own format.

Where a publisher gives no checksum, the first download records what it got and every later run
is held to it; ``sha256sum --check NAME.sha256`` says the same without us.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from snakecap import log
from snakecap.formats.atomic import write_text

BLOCK = 1 << 20
SHOWN_FROM = 256 << 20  # bytes; hashing less takes under a second and needs no bar


class ChecksumError(ValueError):
    """A file is not the one that was published or recorded."""


def sha256(path: Path) -> str:
    """The sha256 of a file as 64 hex digits; large files show a progress bar."""
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        blocks: Iterable[bytes] = iter(lambda: file.read(BLOCK), b"")
        if size > SHOWN_FROM:
            title = f"checking {path.name}"
            blocks = log.progress(blocks, title=title, total=-(-size // BLOCK), unit="MiB")
        for block in blocks:
            digest.update(block)
    return digest.hexdigest()


def record_path(path: Path) -> Path:
    """Where the checksum of `path` is recorded."""
    return path.with_name(path.name + ".sha256")


def record(path: Path, digest: str) -> None:
    """Record the checksum of `path` beside it."""
    write_text(record_path(path), f"{digest}  {path.name}\n")


def recorded(path: Path) -> str | None:
    """The checksum recorded for `path`, or None.

    Raises:
        ChecksumError: the record is not a checksum.
    """
    file = record_path(path)
    if not file.exists():
        return None
    words = file.read_text(encoding="utf-8").split()
    digest = words[0].lower() if words else ""
    if len(digest) != 64 or any(letter not in "0123456789abcdef" for letter in digest):
        raise ChecksumError(f"{file} does not hold a sha256: delete it")
    return digest


def verify(path: Path, *, expected: str | None, size: int | None) -> str:
    """Hold a file to a checksum and a size.

    Args:
        path: the file.
        expected: sha256, or None when nobody knows it yet.
        size: bytes, or None.

    Returns:
        The file's sha256.

    Raises:
        ChecksumError: it is another file; names both numbers.
    """
    found = path.stat().st_size
    if size is not None and found != size:
        raise ChecksumError(f"{path.name} has {found} bytes, expected {size}")
    digest = sha256(path)
    if expected is not None and digest != expected.lower():
        raise ChecksumError(f"{path.name} has the sha256 {digest}, expected {expected.lower()}")
    return digest
