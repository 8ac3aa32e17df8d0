"""Zip and tar archives, unpacked without trusting what they say.

Only plain files and folders come out. A name that leaves the folder, a link or a device stops the
whole archive before anything is written: a data set has no use for them.
"""

from __future__ import annotations

import contextlib
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from snakecap import log
from snakecap.formats.atomic import DiskFullError, room

LITTER = {"__MACOSX", ".DS_Store"}  # written by one system's archiver, wanted by nobody


class ArchiveError(ValueError):
    """An archive is damaged or unsafe; the message names it and the member."""


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    open: Callable[[], Any]


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or a tar (also compressed)."""
    return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def unpack(archive: Path, folder: Path) -> list[str]:
    """Unpack an archive into a folder, beside what is there already.

    All members go to a hidden folder first and are then moved to their places, so that a killed
    run leaves no partial file under a final name.

    Returns:
        The files' paths relative to `folder`, in the archive's order.

    Raises:
        ArchiveError: not an archive, damaged, encrypted, unsafe, or too large for the disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    staging = folder / f".{archive.name}.unpacking"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with _opened(archive) as members:
            _check_room(archive, members, folder)
            for member in log.progress(members, title=f"unpacking {archive.name}", unit="file"):
                target = staging / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                with room(folder / member.name), member.open() as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
        names = [member.name for member in members]
        for name in names:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (staging / name).replace(target)
    except DiskFullError:
        raise
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, RuntimeError) as error:
        raise ArchiveError(f"{archive} cannot be unpacked: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return names


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[list[_Member]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            yield _distinct(archive, _zip_members(archive, packed))
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as packed_tar:
            yield _distinct(archive, _tar_members(archive, packed_tar))
    else:
        raise ArchiveError(f"{archive} is neither a zip nor a tar file: set `unpack: false`")


def _zip_members(archive: Path, packed: zipfile.ZipFile) -> Iterator[_Member]:
    for info in packed.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ArchiveError(f"{archive}: {info.filename!r} is a link or a device")
        if not info.is_dir():
            name = _safe(archive, info.filename)
            yield _Member(name, info.file_size, partial(packed.open, info))


def _tar_members(archive: Path, packed: tarfile.TarFile) -> Iterator[_Member]:
    for info in packed:
        if not (info.isreg() or info.isdir()):
            raise ArchiveError(f"{archive}: {info.name!r} is a link or a device")
        if not info.isdir():
            name = _safe(archive, info.name)
            yield _Member(name, info.size, partial(packed.extractfile, info))


def _safe(archive: Path, name: str) -> str:
    """A member's relative path with forward slashes.

    Raises:
        ArchiveError: it is absolute, names a drive, or climbs out of its folder.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    outside = path.is_absolute() or ".." in path.parts or not path.parts
    if outside or ":" in path.parts[0] or "\0" in name:
        raise ArchiveError(f"{archive}: the name {name!r} leads outside the folder")
    return str(path)


def _distinct(archive: Path, members: Iterator[_Member]) -> list[_Member]:
    """The members without litter; a repeated name's last one wins, as in every unpacker."""
    found = {m.name: m for m in members if not LITTER & set(PurePosixPath(m.name).parts)}
    parents = {str(parent) for name in found for parent in PurePosixPath(name).parents}
    if clash := parents & set(found):
        raise ArchiveError(f"{archive}: {min(clash)!r} is both a file and a folder")
    return list(found.values())


def _check_room(archive: Path, members: list[_Member], folder: Path) -> None:
    needed, free = sum(member.size for member in members), shutil.disk_usage(folder).free
    if needed > free:
        raise ArchiveError(
            f"{archive} unpacks to {needed} bytes and {folder} has {free} free: make room"
        )
