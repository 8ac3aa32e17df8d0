"""Whole files or none: written under a temporary name, flushed to disk, then renamed."""

from __future__ import annotations

import contextlib
import glob
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds.

    Nothing is left behind when the block fails. Parent folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        temporary.unlink()
        yield temporary
        temporary.chmod(mode)  # safetensors would keep a model from everybody else
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_litter(path: Path) -> None:
    """Remove what processes that were killed while `writing` this path left."""
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if temporary.stem.rpartition(".")[0] == f".{path.name}":
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; lone surrogates survive a round trip through `read_text`."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")


def read_text(path: Path) -> str:
    """Read what `write_text` wrote."""
    return path.read_text(encoding="utf-8", errors="surrogatepass")


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
