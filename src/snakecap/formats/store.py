"""A growing LMDB file: one transaction is whole or absent, so that a killed run resumes.

A single file; keys and values are bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import lmdb

from snakecap.formats.atomic import room


class Store:
    """Adds to a file that may already hold something; makes it when it is missing.

    Raises:
        DiskFullError: there is no room for it, here and in `save`.
    """

    def __init__(self, path: Path):
        self.path = path
        # metasync off: a power cut can undo the last transactions, never break the file.
        with room(path):
            self.environment = lmdb.open(
                str(path), subdir=False, map_size=1 << 28, metasync=False, max_readers=8
            )

    def get(self, key: bytes) -> bytes | None:
        with self.environment.begin() as transaction:
            value: bytes | None = transaction.get(key)
            return value

    def holds(self, keys: Iterable[bytes]) -> list[bool]:
        with self.environment.begin() as transaction, transaction.cursor() as cursor:
            return [cursor.set_key(key) for key in keys]

    def save(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Store values in one transaction."""
        try:
            with room(self.path), self.environment.begin(write=True) as transaction:
                for name, value in pairs:
                    transaction.put(name, value)
        except lmdb.MapFullError:  # the map is address space: doubling it costs nothing
            self.environment.set_mapsize(2 * self.environment.info()["map_size"])
            self.save(pairs)

    def close(self) -> None:
        with room(self.path):
            self.environment.sync(True)
        self.environment.close()
        Path(f"{self.path}-lock").unlink(missing_ok=True)
