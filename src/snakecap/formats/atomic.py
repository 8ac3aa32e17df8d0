"""Whole files or none: written under a temporary name, flushed to disk, then renamed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import PlainValidator, TypeAdapter, ValidationError

Kind = TypeVar("Kind")

FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up"}
FULL[errno.EFBIG] = "the file is too large for its disk or for `ulimit -f`"
FULL[errno.EIO] = "the disk is full or broken"  # what LMDB says of a disk that it filled

SHOWN = 80  # characters of a wrong entry


def _identity(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)  # tables write 7 as 7.0
    if type(value) not in (int, str):
        raise ValueError("an id is a whole number or text")
    return value


Id = Annotated[int | str, PlainValidator(_identity)]  # of a picture, in JSON


class DiskFullError(OSError):
    """There is no room for a file; the message names it, and what to do."""


@contextlib.contextmanager
def room(path: Path) -> Iterator[None]:
    """Say which file there was no room for, whatever library was writing it.

    Raises:
        DiskFullError: the disk of `path` is full.
    """
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:  # those of LMDB, HDF5 and safetensors are not OSErrors
        reason = _full(error)
        if reason is None:
            raise
        free = shutil.disk_usage(path.parent).free >> 20
        raise DiskFullError(
            f"{path} cannot be written: {reason} ({free} MiB are free in {path.parent}). Make room "
            "and run again: what is complete is kept, and the job goes on from there"
        ) from error


def _full(error: BaseException) -> str | None:
    """Why there is no room, if that is what an error says."""
    code = getattr(error, "errno", None)
    if code in FULL:
        return FULL[code]
    return next((FULL[code] for code in FULL if os.strerror(code) in str(error)), None)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds.

    Nothing is left behind when the block fails. Parent folders are made.

    Raises:
        DiskFullError: there is no room for it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with room(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.touch()
            mode = temporary.stat().st_mode
            temporary.unlink()
            yield temporary
            if not temporary.is_symlink():  # a link into a shared folder leads to others' files
                temporary.chmod(mode)  # safetensors would keep a model from everybody else
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_litter(folder: Path, name: str = "*") -> None:
    """Remove what killed processes left while `writing` files of a name in a folder.

    Whoever calls it is sure that no other process writes them.
    """
    for temporary in folder.glob(f".{name}.*.tmp"):
        if temporary.stem.rpartition(".")[2].isdigit():
            temporary.unlink(missing_ok=True)


def publish(path: Path, target: Path) -> None:
    """Give a finished file of a work folder its name.

    It keeps its first one too, where links are possible: a job that dies before its very end finds
    it there, whatever Snakemake removes.
    """
    with writing(target) as temporary:
        try:
            temporary.hardlink_to(path)
        except OSError:
            path.replace(temporary)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; lone surrogates survive a round trip through `read_text`."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")


def read_text(path: Path) -> str:
    """Read what `write_text` wrote."""
    return path.read_text(encoding="utf-8", errors="surrogatepass")


def utf8_text(path: Path) -> str:
    """Read somebody's text.

    Raises:
        ValueError: it is not UTF-8; names the file.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from error


def write_json(path: Path, value: Any, *, indent: int | None = None) -> None:
    """Write JSON; floats keep every digit."""
    write_text(path, json_text(value, indent) + "\n")


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON that is valid UTF-8: lone surrogates (a file name's odd bytes) are escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        ValueError: not JSON; the message names the file and the line.
    """
    try:
        return json.loads(read_text(path).removeprefix("\ufeff"))  # Windows's byte order mark
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    except RecursionError:
        raise ValueError(f"{path} is not JSON of ours: it is nested too deeply") from None


def read_as(path: Path, kind: TypeAdapter[Kind], name: str) -> Kind:
    """Read JSON of a kind; `name` says which, for messages.

    Raises:
        ValueError: it is another; names the file, the entry and what is wrong there.
    """
    return checked(read_json(path), kind, f"{path} is not {name}")


def checked(value: Any, kind: TypeAdapter[Kind], complaint: str) -> Kind:
    """A value as its kind.

    Raises:
        ValueError: `complaint`, the entry and what is wrong there.
    """
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        first, *_ = error.errors(include_url=False)
        at, *below = first["loc"] or ("",)
        at = f"entry {at + 1}" if isinstance(at, int) else at
        place = ".".join(map(str, (at, *below)))
        reason = first["msg"].removeprefix("Value error, ")
        shown = str(first["input"])
        shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
        said = ": ".join(filter(None, (complaint, place, reason)))
        raise ValueError(f"{said} (in {shown})") from None
