"""The classic image captioning systems, end to end and cached stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from snakecap.inference.describer import Describer
    from snakecap.inference.model import Model

__version__ = "0.1.0"


def load(
    path: str | Path | Sequence[str | Path],
    device: str = "auto",
    detector: str | Path | Mapping[str, Any] | None = None,
) -> Model | Describer:
    """A trained model, ready to caption: ``load("model.safetensors").caption("photo.jpg")``.

    That of a dense system describes regions: ``load(...).describe("photo.jpg")``.

    Args:
        path: model.safetensors; a list of several, of one vocabulary, captions together.
        device: auto, cpu or cuda.
        detector: for models that read layouts, what finds the objects in photos: a YOLOX .onnx, a
            YOLOv2 .safetensors, or a row of `detectors`.
    """
    # Imported here: the package itself must stay light, every dry run imports it.
    from importlib import import_module

    paths = [path] if isinstance(path, str | Path) else path
    header = import_module("snakecap.formats.model").read_header(Path(paths[0]))
    if header.get("settings", {}).get("task") == "dense":
        if len(paths) > 1 or detector is not None:
            raise ValueError(f"{paths[0]} describes regions: load it alone, without a detector")
        describer: Describer = import_module("snakecap.inference.describer").Describer(
            paths[0], device
        )
        return describer
    model: Model = import_module("snakecap.inference.ensemble").load(
        paths, device, detector=detector
    )
    return model
