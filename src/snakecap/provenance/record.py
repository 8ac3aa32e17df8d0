"""Every step that writes results writes down what they were made from (`sidecar`).

One place for all steps: `recorded` wraps a step's function. It takes the checksums of the inputs
before the step runs, asks the shared folder whether the same was made before (`cache`), and leaves
a record beside every output when it is complete.
"""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from snakecap import __version__, registry
from snakecap.distributed.torchrun import on_rank_0
from snakecap.provenance import cache, code, identity, sidecar
from snakecap.provenance.identity import Job

PACKAGES = {  # modules and their distributions
    **{name: name for name in ("torch", "torchvision", "numpy", "h5py", "lmdb", "safetensors")},
    **{"onnxruntime": "onnxruntime", "PIL": "pillow", "pycocoevalcap": "pycocoevalcap"},
}


def recorded(
    function: Callable[..., None], rule: Mapping[str, str] | None = None, *, shared: bool = False
) -> Callable[..., None]:
    """A step that records the making of its results; other functions as they are.

    Args:
        rule: ``code`` and ``lock`` as its rule says them; None: it is called by hand.
        shared: whether its results may come from the shared folder, and go there.
    """

    @functools.wraps(function)
    def run(**given: Any) -> None:
        job = Job(function, given, rule)
        job.check_apart()

        def lead(make: Callable[[], None]) -> None:
            with identity.running(job):
                _run(job, make, shared=shared)

        if job.outputs:  # of several processes, the first records
            on_rank_0(lambda: function(**given), lead)
        else:  # it prints
            function(**given)

    written = any(mark is not identity.Photos for _, mark in identity.marked(function))
    return run if written else function


def _run(job: Job, make: Callable[[], None], *, shared: bool) -> None:
    start, began = datetime.now(UTC), time.monotonic()
    photos = job.photos()
    # As they are now.
    inputs = {path: _inputs(job, photos, path.parent) for path in job.outputs.values()}
    for path in job.outputs.values():
        sidecar.forget(path)  # of an older file

    def made() -> dict[str, Any]:
        return {
            **_facts(job),
            "device": device(job.values),
            "versions": versions(),
            "host": platform.node(),
            "started": start.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - began, 3),
            "shared": None,
        }

    place = cache.folder_for(job.step) if shared else None
    entry = None
    if place is None:
        make()
    else:
        contents = photos and photos["sha256"]
        kind = {key: value for key, value in device(job.values).items() if key != "name"}
        place = place / code.hashed([job.key(photos=False), contents, kind])[:32]
        entry = cache.obtain(place, job.outputs, make, made)
    facts = {**entry["record"], "shared": str(place)} if entry else made()
    for name, path in job.outputs.items():
        known = {"sha256": entry["outputs"][name]["sha256"]} if entry else {}
        sidecar.write(path, {**known, **facts, "inputs": inputs[path]})


def _facts(job: Job) -> dict[str, Any]:
    """What was run, whatever machine it ran on."""
    given = identity.plain(job.settings)
    configuration = code.settings_digest(identity.settings(job.settings)) if job.rule else ""
    return {
        "step": job.step,
        "code": job.code if job.rule else _imported(job.step),
        "lock": code.lock_digest(),
        "settings": given,
        "configuration": configuration,
        "arguments": job.arguments,
        "seeds": dict(_seeds(given, "")),
    }


def _inputs(job: Job, photos: dict[str, Any] | None, folder: Path) -> list[dict[str, Any]]:
    """The inputs, for the record of a file in `folder`."""
    rows = [
        {
            "argument": name,
            "path": sidecar.relative(path, folder),
            "sha256": sidecar.digest(path),
            "size": path.stat().st_size,
        }
        for name, path in job.inputs
    ]
    if photos:
        rows.append({**photos, "path": sidecar.relative(Path(photos["path"]), folder)})
    return rows


def _imported(step: str) -> str:
    """``MODULES=DIGEST`` of what a step that was called by hand has imported."""
    tables = registry.FAMILIES.values()
    parts = {place.partition(":")[0] for table in tables for place in table.values()}
    names = [f"snakecap.steps.{step}", *sorted(parts & set(sys.modules))]
    return f"{','.join(names)}={code.digest(*names)}"


def _seeds(settings: Any, place: str) -> Iterator[tuple[str, int]]:
    if isinstance(settings, dict):
        for key, item in settings.items():
            if key == "seed" and item is not None:
                yield f"{place}seed", item
            yield from _seeds(item, f"{place}{key}.")


def device(values: Mapping[str, Any]) -> dict[str, str]:
    """The kind and the name of what a step computes on, and what `precision: auto` is there."""
    if "device" not in values:
        return {"type": "cpu", "name": _processor()}
    from snakecap import device

    place = device.choose(values["device"])
    name = _processor()
    if place.type == "cuda":
        import torch

        name = torch.cuda.get_device_name(place)
    return {"type": place.type, "name": name, "precision": device.precision("auto", place)}


@functools.cache
def _processor() -> str:
    info = Path("/proc/cpuinfo")
    text = info.read_text(errors="replace") if info.is_file() else ""
    lines = (line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line)
    return next(lines, platform.processor() or platform.machine())


def versions() -> dict[str, str]:
    """Of what is imported by now."""
    found = {"python": platform.python_version(), "snakecap": __version__}
    for module, name in PACKAGES.items():
        if module in sys.modules:
            found[name] = importlib.metadata.version(name)
    return found
