"""What a file says of its making: in its record, and inside itself."""

from __future__ import annotations

import json as javascript
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snakecap.formats.atomic import read_json
from snakecap.provenance import lineage, sidecar, staleness

FACTS = ("code", "parameters", "words", "best", "settings", "stamp", "lock")  # of headers
WIDTH = 10  # columns of the names


def info(*, file: Path, json: bool = False) -> None:
    """Print what a result was made from, and whether that is still so.

    Args:
        file: any file that snakecap writes.
        json: everything, for programs.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the record beside the file, or the file, is damaged.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not a file: give one of the results")
    record, inside = sidecar.read(file), header(file)
    against = [str(problem) for problem in staleness.problems(file)]
    if json:
        whole = {"file": str(file), "record": record, "header": inside, "problems": against}
        print(javascript.dumps(whole, indent=1))
        return
    print(file)
    for line in _lines(file, record, inside, against):
        print(line)


def _lines(
    file: Path, record: dict[str, Any] | None, inside: dict[str, Any], against: list[str]
) -> Iterator[str]:
    if record is None:
        yield f"  no record: there is no {sidecar.path_of(file).name} beside it"
    else:
        yield _line("made by", f"{record['step']}, {record['started']}, in {record['seconds']} s")
        yield from (_line("changed", text) for text in against or ["nothing since it was made"])
        yield from _made(record)
    if inside:
        yield "  inside the file:"
        yield from (f"  {line}" for name, value in inside.items() for line in _fact(name, value))
    elif record is None:
        yield "  and nothing inside the file says how it was made"


def _made(record: dict[str, Any]) -> Iterator[str]:
    """The rest of a record for people: long lists a line each."""
    device = record["device"]
    yield _line("on", f"{device['type']}: {device['name']}, {record['host']}")
    yield _line("with", ", ".join(f"{name} {value}" for name, value in record["versions"].items()))
    yield _line("sha256", record["sha256"])
    for row in record["inputs"]:
        number = f" ({row['files']} files)" if "files" in row else ""
        yield _line("from", f"{row['argument']}: {row['path']}{number}, {row['sha256'][:16]}")
    names, _, digest = record["code"].partition("=")
    yield _line("code", digest)
    yield from (_line("", name) for name in names.split(","))
    yield _line("lock", record["lock"] or "none")
    for name in ("seeds", "arguments", "settings"):
        yield from _fact(name, record[name])
    if record["shared"]:
        yield _line("shared", record["shared"])


def _fact(name: str, value: Any) -> Iterator[str]:
    """A value; a table's entries a line each, by their place."""
    for at, (place, leaf) in enumerate(lineage.flat(value, "")):
        text = leaf if isinstance(leaf, str) else javascript.dumps(leaf) if leaf != {} else "none"
        yield _line("" if at else name, f"{place[1:]}: {text}" if place else text)


def _line(name: str, text: str) -> str:
    return f"  {name:{WIDTH}}{text}".rstrip()


def header(file: Path) -> dict[str, Any]:
    """What a file itself says of its making; empty when it says nothing."""
    found = _said(file)
    if not isinstance(found, dict):
        return {}
    # Lists are contents.
    return {n: found[n] for n in FACTS if found.get(n) and not isinstance(found[n], list)}


def _said(file: Path) -> Any:
    if file.suffix == ".safetensors":
        from snakecap.formats.model import read_header

        return read_header(file)
    if file.suffix == ".lmdb":
        from snakecap.formats.features import Features

        return {"stamp": Features(file).stamp}
    if file.suffix == ".h5":
        import h5py

        try:
            with h5py.File(file) as opened:
                return {"stamp": javascript.loads(opened.attrs.get("stamp", "{}"))}
        except OSError as error:
            raise ValueError(f"{file} is not a readable HDF5 file: {error}") from None
    return read_json(file) if file.suffix == ".json" else {}
