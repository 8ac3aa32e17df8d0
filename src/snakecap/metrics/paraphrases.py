"""The part of METEOR's paraphrase table that some captions can use.

METEOR 1.5 spends most of its start on loading 5 million paraphrases, and 1.4 GB on keeping them.
An entry matches only where the words of both its phrases are in the captions, so the entries
with a word that is nowhere in them change nothing. METEOR itself comes with a program to this end,
FilterParaphrase.

The table is lines in threes: probability, phrase, paraphrase.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

WORD = re.compile(rb"[0-9a-z]+")
# METEOR splits words at punctuation by rules of its own and deletes dots (u.s. -> us). Runs of
# ASCII letters and digits are at least as small as its words, with and without the dots.
SEPARATORS = bytes(code if WORD.match(bytes([code])) else 0x20 for code in range(256))
BLOCK = 1 << 18  # bytes of compressed table at a time


def select(table: Path, text: str) -> bytes:
    """The entries of `table` that can match in `text`, compressed as the table is."""
    raw = text.lower().encode("utf-8", "replace")
    words = {*WORD.findall(raw), *WORD.findall(raw.replace(b".", b""))}
    return gzip.compress(b"".join(_entries(table, words)), compresslevel=1)


def _entries(table: Path, words: set[bytes]) -> Iterator[bytes]:
    known = words.issuperset
    previous, wanted = b"", False
    for phrases, paraphrases in _blocks(table):
        for phrase, paraphrase in zip(phrases, paraphrases, strict=True):
            if phrase != previous:  # sorted: each phrase many times in a row
                previous, wanted = phrase, known(phrase.translate(SEPARATORS).split())
            if wanted and known(paraphrase.translate(SEPARATORS).split()):
                yield b"0\n%s\n%s\n" % (phrase, paraphrase)


def _blocks(table: Path) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Phrases and paraphrases, some ten thousand at a time."""
    rest = b""
    for block in _unpacked(table):
        lines = (rest + block).split(b"\n")
        whole = (len(lines) - 1) // 3 * 3
        rest = b"\n".join(lines[whole:])
        yield lines[1:whole:3], lines[2:whole:3]


def _unpacked(table: Path) -> Iterator[bytes]:
    """The table's text, a thread ahead of who reads it: unpacking is a third of the work."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    with table.open("rb") as file, ThreadPoolExecutor(1) as pool:

        def unpack() -> bytes | None:
            packed = file.read(BLOCK)
            return unpacker.decompress(packed) if packed else None

        ahead = pool.submit(unpack)
        while (block := ahead.result()) is not None:
            ahead = pool.submit(unpack)
            yield block
