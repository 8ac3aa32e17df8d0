"""Fetch, verify and unpack what a data set needs.

Reads the network or files already on this machine; writes ``NAME`` and ``NAME.sha256`` for each
download, what its archives hold, and the manifest.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from snakecap.config.settings import Download
from snakecap.formats import archives, atomic
from snakecap.formats.downloads import (
    ChecksumError,
    DownloadError,
    discard,
    fetch,
    record,
    record_path,
    recorded,
    verify,
)
from snakecap.provenance import code, outputs
from snakecap.provenance.identity import Output, step


@step
def download(
    *,
    manifest: Annotated[Path, Output],
    folder: Path,
    downloads: list[Download] | None = None,
    retries: int = 5,
    back_off: float = 1.0,
) -> None:
    """Fetch a data set's files, verify them and unpack its archives.

    Args:
        manifest: JSON to write: the folder, and file, url, sha256, size and path of each download.
        folder: where the files go; what is there already and verifies is kept.
        downloads: what to fetch: an http(s) address, or a path on this machine, which is used
            in place.
        retries: failed attempts in a row, without a new byte, before giving up.
        back_off: seconds before the second attempt; doubled for each further one.

    Raises:
        DownloadError: a server refuses, or does not deliver what it promises.
        ChecksumError: a file is not the one that was published or recorded.
        ArchiveError: an archive is damaged or unsafe.
        FileNotFoundError: a local path does not exist.
    """
    wanted = [(_name(item.url), item) for item in downloads or []]
    names = [name for name, _ in wanted]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two downloads would be the same file: {', '.join(sorted(repeated))}")
    rows = [_present(folder / name, item) for name, item in wanted]
    if None in rows:  # else nothing is written there: such a folder may be read-only
        folder.mkdir(parents=True, exist_ok=True)
        with outputs.lock(folder / ".lock", folder):
            atomic.remove_litter(folder)
            rows = [_obtain(folder / name, item, retries, back_off) for name, item in wanted]
    value = {"folder": str(folder), **code.stamp(), "files": rows}
    atomic.write_json(manifest, value, indent=1)


def _present(target: Path, item: Download) -> dict[str, Any] | None:
    """A download's line of the manifest, if it is there and verifies."""
    if not target.is_file() or _local(item.url) is not None:
        return None
    try:
        known = recorded(target)
        digest = verify(target, expected=item.sha256 or known, size=item.size)
    except ChecksumError:
        return None
    if digest != known or (item.unpack and not _unpacked(target, digest)):
        return None
    return _line(target, item, digest)


def _line(target: Path, item: Download, digest: str | None) -> dict[str, Any]:
    """A download's line of the manifest; of a folder without a digest."""
    row = {"file": target.name, "url": item.url, "path": str(_local(item.url) or target)}
    return {**row, "sha256": digest, "size": target.stat().st_size if digest else None}


def _name(url: str) -> str:
    """The file name that a URL or path ends in."""
    local = _local(url)
    name = local.name if local else unquote(urlsplit(url).path).rpartition("/")[2]
    if name in ("", ".", "..") or "\\" in name:
        raise ValueError(f"downloads: {url!r} does not end in a file name")
    return name


def _local(url: str) -> Path | None:
    """The path that a ``file://`` URL or a plain path means; None for http(s)."""
    scheme = urlsplit(url).scheme.lower()
    if scheme in ("http", "https"):
        return None
    if scheme == "file":
        return Path(url2pathname(urlsplit(url).path))
    if len(scheme) > 1:  # one letter is a Windows drive
        raise ValueError(f"downloads: {url!r} is neither http(s), nor file://, nor a path")
    return Path(url).expanduser().absolute()


def _obtain(target: Path, item: Download, retries: int, back_off: float) -> dict[str, Any]:
    """Make one download present, verified and unpacked; return its line of the manifest."""
    local = _local(item.url)
    if local is not None:
        _use_in_place(target, local)
        if local.is_dir():
            return _line(target, item, None)
    if target.exists():
        digest = _verify_existing(target, item)
        discard(target)  # a run may have been killed after it renamed the part
    else:
        digest = _download(target, item, retries, back_off)
    if item.unpack and not _unpacked(target, digest):
        names = archives.unpack(target, target.parent)
        atomic.write_json(_marker(target), {"sha256": digest, "files": names})
    # Last: what could not be unpacked must not become the checksum that later runs insist on.
    record(target, digest)
    return _line(target, item, digest)


def _use_in_place(target: Path, local: Path) -> None:
    """Let `target` lead to a file or folder that is already on this machine."""
    if not local.exists():
        raise FileNotFoundError(
            f"downloads: {local} does not exist: correct the path, or give an http(s) address"
        )
    if target.exists() and target.samefile(local):
        return
    if target.is_symlink():
        target.unlink()
    elif target.exists():
        raise FileExistsError(f"{target} is in the way of a link to {local}: move it away")
    target.symlink_to(local, target_is_directory=local.is_dir())


def _verify_existing(target: Path, item: Download) -> str:
    expected = item.sha256 or recorded(target)
    try:
        return verify(target, expected=expected, size=item.size)
    except ChecksumError as error:
        raise ChecksumError(
            f"{target} is not the expected file: {error}. Delete it to fetch it again, or "
            f"{_accept(target, item)}"
        ) from None


def _accept(target: Path, item: Download) -> str:
    if item.sha256 or item.size:
        return "correct `sha256` and `size` in the configuration to accept it"
    return f"delete {record_path(target)} to accept it"


def _download(target: Path, item: Download, retries: int, back_off: float) -> str:
    """Fetch `target`; a resumed file that does not verify is fetched once more from its start."""
    part = target.with_name(target.name + ".part")
    expected = item.sha256 or recorded(target)
    while True:
        resumed = fetch(item.url, target, size=item.size, retries=retries, back_off=back_off)
        try:
            digest = verify(part, expected=expected, size=item.size)
            break
        except ChecksumError as error:
            discard(target)
            if not resumed:
                raise ChecksumError(
                    f"{item.url} did not send the expected file: {error}. It changed, or is "
                    f"another file; {_accept(target, item)}"
                ) from None
    if item.unpack and not archives.is_archive(part):
        with part.open("rb") as file:
            start = file.read(60)
        discard(target)
        raise DownloadError(
            f"{item.url} sent neither a zip nor a tar file but {start!r}: perhaps a page that asks "
            "to log in. Fetch it by hand and give its path in place of the URL"
        )
    part.replace(target)
    discard(target)
    return digest


def _unpacked(archive: Path, digest: str) -> bool:
    """Whether a run before unpacked it beside it, and all is still there."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        done = atomic.read_json(_marker(archive))
        present = all((archive.parent / name).exists() for name in done["files"])
        return bool(done["sha256"] == digest and present)
    return False


def _marker(archive: Path) -> Path:
    return archive.with_name(f".{archive.name}.unpacked.json")
