"""Every stage that writes results writes down what they were made from (`files.sidecar`).

One place for all stages: `recorded` wraps a stage's function. It takes the checksums of the inputs
before the stage runs, asks the shared folder whether the same was made before (`shared`), and
leaves a record beside every output when it is complete.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from snakecap import registry
from snakecap.distributed.torchrun import on_rank_0
from snakecap.provenance import cache, code, machine, reads, sidecar

# Which arguments of a stage are outputs; NAME.json is what it writes beside NAME.
WRITES: dict[str, tuple[str, ...]] = {
    "download": ("manifest",),
    "annotations": ("pictures",),
    "combine": ("pictures",),
    "resize": ("images", "rejected"),
    "vocabulary": ("vocabulary",),
    "encode": ("captions", "captions.json"),
    "references": ("references",),
    "raw": ("output",),
    "features": ("features",),
    "train_detector": ("model", "history"),
    "detect": ("detections", "info", "rejected"),
    "judge": ("scores",),
    "darknet_lines": ("lines",),
    "layout": ("layout", "layout.json"),
    "train": ("model", "last", "history"),
    "caption": ("captions", "shuffled"),
    "photos": ("output",),
    "score": ("scores",),
    "report": ("table_md", "table_csv", "curves", "page", "figure"),
    "sweep": ("output",),
}
CHANGES_NOTHING = ("device", "threads", "workers", "batch_size", "readme")
Values = dict[str, Any]


def recorded(function: Callable[..., None], words: Sequence[str] = ()) -> Callable[..., None]:
    """A stage that records the making of its results; other functions as they are.

    Args:
        function: a stage, all of whose parameters are keywords.
        words: the command line of its rule, which holds the settings as they were planned.
    """
    stage = function.__name__
    if stage not in WRITES:
        return function

    @functools.wraps(function)
    def run(**given: Any) -> None:
        bound = inspect.signature(function).bind(**given)
        bound.apply_defaults()
        outputs = dict(_outputs(stage, bound.arguments))

        def lead(make: Callable[[], None]) -> None:
            _run(_Job(stage, bound.arguments, outputs, words), make)

        if outputs:  # of several processes, the first records
            on_rank_0(lambda: function(**given), lead)
        else:  # it prints
            function(**given)

    return run


def _outputs(stage: str, values: Values) -> Iterator[tuple[str, Path]]:
    """The files that a stage will write, by name."""
    for name in WRITES[stage]:
        argument, _, beside = name.partition(".")
        value = values[argument]
        several = isinstance(value, list)
        for at, path in enumerate(value if several else [value]):
            if path is not None:
                place = path.with_suffix(f".{beside}") if beside else path
                yield (f"{argument}{at}" if several else name.replace(".", "_")), place


class _Job:
    """A stage about to run: its arguments, and the state of its inputs."""

    def __init__(self, stage: str, values: Values, outputs: dict[str, Path], words: Sequence[str]):
        self.stage, self.values, self.outputs, self.words = stage, values, outputs, words
        self.settings = _settings(values)
        written = {name.partition(".")[0] for name in WRITES[stage]}
        self.inputs = list(reads.files(stage, values, written, self.settings))
        self.photos = reads.photos(values, self.inputs) if stage in reads.SEES_PHOTOS else None
        _check_apart([*self.inputs, *outputs.items()], set(outputs.values()))

    def facts(self) -> dict[str, Any]:
        """What was run, whatever machine it ran on."""
        paths = {name for name, _ in self.inputs} | {*self.outputs, "settings", "downloads"}
        plain = {n: _plain(v) for n, v in self.values.items() if n not in paths and v is not None}
        return {
            "stage": self.stage,
            "code": _code(self.stage, self.words),
            "lock": code.lock_digest(),
            "settings": self.settings,
            "planned": planned(self.words),
            "arguments": plain,
            "seeds": dict(_seeds(self.settings, "")),
        }

    def key(self) -> dict[str, Any]:
        """All that decides the bytes of the outputs, and no path."""
        facts = self.facts()
        sums = sorted((name, reads.content(self.stage, name, path)) for name, path in self.inputs)
        arguments = {n: v for n, v in facts["arguments"].items() if n not in CHANGES_NOTHING}
        return {
            **{name: facts[name] for name in ("stage", "code", "lock")},
            "settings": reads.portable(facts["settings"]),
            "arguments": {n: v for n, v in arguments.items() if not isinstance(v, list)},
            "inputs": [[name, value] for name, value in sums if name != "settings"],
            "photos": self.photos and self.photos["sha256"],
            "device": {k: v for k, v in machine.device(self.values).items() if k != "name"},
        }

    def sources(self, folder: Path) -> list[dict[str, Any]]:
        """The inputs, for the record of a file in `folder`."""
        rows = [
            {
                "argument": name,
                "path": sidecar.relative(path, folder),
                "sha256": sidecar.digest(path),
                "size": path.stat().st_size,
            }
            for name, path in self.inputs
        ]
        if self.photos:
            root = Path(self.photos["path"])
            rows.append({**self.photos, "path": sidecar.relative(root, folder)})
        return rows


def _check_apart(files: Sequence[tuple[str, Path]], outputs: set[Path]) -> None:
    """Refuse an output that is an input too, or another output."""
    seen: dict[Path, str] = {}
    for name, path in files:
        before = seen.setdefault(path.resolve(), name)
        if before != name and path in outputs:
            raise ValueError(f"{path} is given as {before} and as {name}: give one another name")


def _run(job: _Job, make: Callable[[], None]) -> None:
    start, began = datetime.now(UTC), time.monotonic()
    inputs = {path: job.sources(path.parent) for path in job.outputs.values()}  # as they are now
    for path in job.outputs.values():
        sidecar.forget(path)  # of an older file

    def made() -> dict[str, Any]:
        return {
            **job.facts(),
            "device": machine.device(job.values),
            "versions": machine.versions(),
            "host": platform.node(),
            "started": start.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - began, 3),
            "shared": None,
        }

    place = cache.folder_for(job.stage) if "--code" in job.words else None
    entry = None
    if place is None:
        make()
    else:
        place = place / cache.key_of(job.key())
        entry = cache.obtain(place, job.outputs, make, made)
    facts = {**entry["record"], "shared": str(place)} if entry else made()
    for name, path in job.outputs.items():
        known = {"sha256": entry["outputs"][name]["sha256"]} if entry else {}
        sidecar.write(path, {**known, **facts, "inputs": inputs[path]})


def planned(words: Sequence[str]) -> str:
    """Digest of the settings on a rule's command line; empty when no rule gave it."""
    if "--code" not in words:
        return ""
    given = dict(itertools.pairwise(words))
    return code.settings_digest(given.get("--settings", given.get("--downloads", "{}")))


def _settings(values: Values) -> Any:
    for name in ("settings", "downloads"):
        if values.get(name) is not None:
            return _plain(values[name])
    return {}


def _plain(value: Any) -> Any:
    """As JSON holds it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _code(stage: str, words: Sequence[str]) -> str:
    """``modules=digest`` as planned, or of what was imported when the stage was called by hand."""
    if "--code" in words:
        return words[list(words).index("--code") + 1]
    parts = {
        place.partition(":")[0] for row in registry.FAMILIES.values() for place in row.values()
    }
    names = [f"snakecap.steps.{stage}", *sorted(parts & set(sys.modules))]
    return f"{','.join(names)}={code.digest(*names)}"


def _seeds(settings: Any, place: str) -> Iterator[tuple[str, int]]:
    if isinstance(settings, dict):
        for key, item in settings.items():
            if key == "seed" and item is not None:
                yield f"{place}seed", item
            yield from _seeds(item, f"{place}{key}.")
