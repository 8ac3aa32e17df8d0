"""Where a stage ran: the device, and the versions of what was imported. For records."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakecap import __version__

PACKAGES = {  # modules and their distributions
    **{name: name for name in ("torch", "torchvision", "numpy", "h5py", "lmdb", "safetensors")},
    **{"onnxruntime": "onnxruntime", "PIL": "pillow", "pycocoevalcap": "pycocoevalcap"},
}


def device(values: Mapping[str, Any]) -> dict[str, str]:
    """The kind and the name of what a stage computes on, and what `precision: auto` is there."""
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
