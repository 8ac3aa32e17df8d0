"""One file over HTTP: resumed after a dropped connection, never spliced from two versions.

While it grows, the file is ``NAME.part``, with ``NAME.part.json`` beside it holding what identifies
the remote version (RFC 9110: a strong ETag, else Last-Modified). A later request asks for the rest
with ``Range`` and ``If-Range``, so a server whose file has changed sends the whole new one.

Beside what was fetched stands ``NAME.sha256``, in ``sha256sum``'s own format. Where a publisher
gives no checksum, the first download records what it got and every later run is held to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests
import urllib3

from snakecap import log
from snakecap.distributed import signals
from snakecap.formats import atomic

BLOCK = 1 << 18
SHOWN_FROM = 256 << 20  # bytes; hashing less takes under a second and needs no bar
TIMEOUT = (30.0, 60.0)  # seconds to connect, and between two blocks
RETRIED = {408, 425, 429, 500, 502, 503, 504}  # the server may answer otherwise later
LONGEST_WAIT = 60.0  # seconds


class DownloadError(RuntimeError):
    """A file could not be fetched; the message names its URL and what to do."""


class _DroppedError(Exception):
    """The transfer ended early; it is worth another attempt."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


@dataclass
class _Version:
    url: str
    etag: str | None = None
    modified: str | None = None
    length: int | None = None

    @property
    def validator(self) -> str | None:
        """The value for If-Range; a weak ETag may not be used there."""
        strong = self.etag if self.etag and not self.etag.startswith("W/") else None
        return strong or self.modified


def fetch(
    url: str, path: Path, *, size: int | None = None, retries: int = 5, back_off: float = 1.0
) -> bool:
    """Download `url` to ``path`` + ".part", continuing what is there already.

    The caller checks the part and renames it.

    Args:
        size: bytes that the file must have, if that is known.
        retries: attempts in a row that may fail without a single new byte.
        back_off: seconds before the second attempt; doubled for each further one.

    Returns:
        Whether bytes of an earlier attempt are in the file.

    Raises:
        DownloadError: the server refuses, or does not deliver what it promises.
    """
    part = path.with_name(path.name + ".part")
    best, failures, resumed = _size(part), 0, False
    with log.bar(title=path.name, total=size, unit="B") as bar:
        bar.unit_scale = True
        while True:
            resumed = resumed or _size(part) > 0
            try:
                _attempt(url, part, size, bar)
                return resumed
            except _DroppedError as error:
                failures = 0 if _size(part) > best else failures + 1
                best = max(best, _size(part))
                if failures > retries:
                    raise DownloadError(
                        f"{url}: {error}; gave up after {failures} attempts without progress. "
                        "Run again to continue where it stopped"
                    ) from None
                wait = back_off * 2.0 ** max(0, failures - 1)
                wait = min(LONGEST_WAIT, wait if error.wait is None else error.wait)
                log.logger.warning("%s: %s; trying again in %.1f s", url, error, wait)
                time.sleep(wait)


def discard(path: Path) -> None:
    """Forget the partial download of `path`."""
    path.with_name(path.name + ".part").unlink(missing_ok=True)
    path.with_name(path.name + ".part.json").unlink(missing_ok=True)


def _attempt(url: str, part: Path, size: int | None, bar: Any) -> None:
    """One request; returns when the part is complete."""
    have, version = _partial(url, part)
    headers = {"Accept-Encoding": "identity", "User-Agent": "snakecap"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": str(version.validator)}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if (
                response.status_code == 416
                and _content_range(response)[1] == have == version.length
            ):
                return
            start = _start(url, response, part, have, version)
            total = _promised(url, response, part, start, size)
            _receive(url, response, part, start, total, bar)
    except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
        raise _DroppedError(f"the connection failed ({type(error).__name__})") from None
    except requests.RequestException as error:
        raise DownloadError(f"{url}: {error}") from None
    if total is not None and _size(part) != total:
        raise _DroppedError(f"the server promised {total} bytes and sent {_size(part)}")


def _partial(url: str, part: Path) -> tuple[int, _Version]:
    """The bytes there are already and their version; none when they cannot be trusted."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        version = _Version(**atomic.read_json(_record(part)))
        if version.url == url and version.validator:
            return _size(part), version
    return 0, _Version(url)


def _start(url: str, response: requests.Response, part: Path, have: int, version: _Version) -> int:
    """Where the answer's first byte belongs: `have`, or 0 when the server sends the whole file.

    Raises:
        _DroppedError: the server is busy, or offers the rest of another version.
        DownloadError: it will not give the file.
    """
    status = response.status_code
    if status in RETRIED:
        wait = response.headers.get("Retry-After", "")
        raise _DroppedError(
            f"HTTP {status} {response.reason}", float(wait) if wait.isdigit() else None
        )
    if status == 200:
        return 0
    if status not in (206, 416) or not have:
        raise DownloadError(
            f"{url}: HTTP {status} {response.reason}. Correct the URL, or fetch the file by hand "
            "and give its path on this machine in place of the URL"
        )
    first, total = _content_range(response)
    # A mirror may serve another version than the one that gave the ETag.
    same = response.headers.get("ETag", version.etag) == version.etag
    if status == 206 and first == have and same and total in (None, version.length):
        return have
    part.unlink()
    raise _DroppedError(f"the server has another version now ({total} bytes), starting over")


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """First byte and total of ``Content-Range: bytes 5-9/10`` or ``bytes */10``."""
    text = response.headers.get("Content-Range", "").removeprefix("bytes").strip()
    span, _, total = text.partition("/")
    first = span.partition("-")[0]
    return int(first) if first.isdigit() else None, int(total) if total.isdigit() else None


def _promised(
    url: str, response: requests.Response, part: Path, start: int, size: int | None
) -> int | None:
    """Bytes of the whole file, when the server says; they must be right, and find room."""
    length = response.headers.get("Content-Length", "")
    total = _content_range(response)[1] or (start + int(length) if length.isdigit() else None)
    if total is None:
        return None
    if size not in (None, total):
        raise DownloadError(
            f"{url} has {total} bytes, not the {size} of `size`: it changed, or is another file"
        )
    free = shutil.disk_usage(part.parent).free
    if total - start > free:
        raise DownloadError(
            f"{url} needs {total - start} bytes and {part.parent} has {free} free: make room, or "
            "set `downloads` to another disk"
        )
    return total


def _receive(
    url: str, response: requests.Response, part: Path, start: int, total: int | None, bar: Any
) -> None:
    if start == 0:
        # In this order: a record must never describe the bytes of an older version.
        part.unlink(missing_ok=True)
        headers = response.headers
        version = _Version(url, headers.get("ETag"), headers.get("Last-Modified"), total)
        atomic.write_json(_record(part), asdict(version))
    signals.resumable()
    bar.total, bar.n = total or bar.total, start
    with atomic.room(part), part.open("ab") as file:
        try:
            while block := response.raw.read(BLOCK, decode_content=False):
                file.write(block)
                bar.update(len(block))
        except urllib3.exceptions.ProtocolError:
            if total is None:  # else the caller says how much is missing
                raise
        finally:
            file.flush()
            os.fsync(file.fileno())


def _record(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class ChecksumError(ValueError):
    """A file is not the one that was published or recorded."""


def sha256(path: Path) -> str:
    """The sha256 of a file as 64 hex digits; large files show a progress bar."""
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        blocks: Iterable[bytes] = iter(lambda: file.read(1 << 20), b"")
        if size > SHOWN_FROM:
            title = f"checking {path.name}"
            blocks = log.progress(blocks, title=title, total=-(-size >> 20), unit="MiB")
        for block in blocks:
            digest.update(block)
    return digest.hexdigest()


def record_path(path: Path) -> Path:
    """Where the checksum of `path` is recorded."""
    return path.with_name(path.name + ".sha256")


def record(path: Path, digest: str) -> None:
    """Record the checksum of `path` beside it."""
    atomic.write_text(record_path(path), f"{digest}  {path.name}\n")


def recorded(path: Path) -> str | None:
    """The checksum recorded for `path`, or None.

    Raises:
        ChecksumError: the record is not a checksum.
    """
    file = record_path(path)
    if not file.exists():
        return None
    digest = re.match(r"[0-9a-f]{64}\b", file.read_text(encoding="utf-8").lower())
    if digest is None:
        raise ChecksumError(f"{file} does not hold a sha256: delete it")
    return digest[0]


def verify(path: Path, *, expected: str | None, size: int | None) -> str:
    """Hold a file to its sha256 and its size in bytes, where they are known; returns its sha256.

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
