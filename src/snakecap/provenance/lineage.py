"""A result and all that it was made from, by their records: what two results differ in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from snakecap.provenance import sidecar
from snakecap.provenance.sidecar import Record

FACTS = ("lock", "arguments", "device", "versions")
SHOWN = 12  # hex digits of a checksum


class Lineage(NamedTuple):
    """All that a result was made from.

    Attributes:
        records: of the result and of what it was made from, nearest first, by their steps' names; a
            stage of training is ``train STAGE``, further ones of a name are numbered from 2 on.
        sources: checksums of what no step made, such as a data set's files, by step and argument.
    """

    records: dict[str, Record]
    sources: dict[str, str]

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting of every step by its place: ``train frozen.stage.batch_size``."""
        each = (flat(record.get("settings"), name) for name, record in self.records.items())
        return dict(pair for pairs in each for pair in pairs)

    @property
    def facts(self) -> dict[str, Any]:
        """What else results follow from, or may: code, lock, data, versions, devices."""
        found: dict[str, Any] = {}
        for name, record in self.records.items():
            found[f"{name}.code"] = code_of(record)
            for fact in FACTS:
                rows = flat(record.get(fact), f"{name}.{fact}")
                found |= {place: value for place, value in rows if not isinstance(value, list)}
        return found | {f"{place} (file)": digest for place, digest in self.sources.items()}

    @property
    def data(self) -> str:
        """One short digest of `sources`: equal for results of the same data."""
        text = json.dumps(sorted(set(self.sources.values())))
        return hashlib.sha256(text.encode()).hexdigest()[:SHOWN]


def trace(path: Path) -> Lineage:
    """Follow the records from a result.

    Raises:
        ValueError: the result has no record.
    """
    records: dict[str, Record] = {}
    sources: dict[str, str] = {}
    todo, seen, jobs = [path], {path}, set[tuple[Any, ...]]()
    while todo:
        here = todo.pop(0)
        record = sidecar.read(here)
        if record is None:
            raise ValueError(f"{here} has no {sidecar.path_of(here).name} beside it")
        name = _name(record)
        job = name, record.get("started"), repr(record.get("settings"))
        if job not in jobs:  # else another output of the same job: a control's captions
            jobs.add(job)
            name = _free(name, records)
            records[name] = record
        for row in record["inputs"]:
            source = sidecar.resolve(row["path"], here.parent)
            if sidecar.path_of(source).is_file():
                todo += [source] if source not in seen else []
                seen.add(source)
            else:
                digest = row["sha256"][:SHOWN]
                place = f"{name}.{row['argument']}"
                if sources.setdefault(place, digest) != digest:  # several files of one argument
                    sources[f"{place} {source.name}"] = digest
    return Lineage(records, sources)


def _free(name: str, records: Mapping[str, Record]) -> str:
    numbered = (f"{name} {number}" if number > 1 else name for number in count(1))
    return next(one for one in numbered if one not in records)


def _name(record: Record) -> str:
    settings = record.get("settings")
    stage = settings.get("stage") if isinstance(settings, dict) else None
    return f"{record['step']} {stage['name']}" if isinstance(stage, dict) else str(record["step"])


def code_of(record: Record) -> str:
    """The digest of a job's code."""
    return str(record.get("code", "")).rpartition("=")[2][:SHOWN]


def flat(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """The leaves of nested tables by their places, joined with dots; lists are leaves."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from flat(item, f"{place}.{key}")
    else:
        yield place, value


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs, by place; None where a side has none."""
    places = dict.fromkeys([*one, *other])
    return {
        place: (one.get(place), other.get(place))
        for place in places
        if one.get(place) != other.get(place)
    }
