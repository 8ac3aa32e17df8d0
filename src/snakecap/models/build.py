"""A captioner from plain settings: parts by name, given what their constructors ask for."""

from __future__ import annotations

import inspect
from typing import Any

from snakecap import registry
from snakecap.config import options, settings
from snakecap.models.captioner import Captioner
from snakecap.models.decoders.decoder import Decoder


def build(
    training: settings.Training, *, vocabulary_size: int, categories: int | None = None
) -> Captioner:
    """Compose the model of a training job, with fresh weights.

    Args:
        training: parts, width and backbone.
        vocabulary_size: V, words without START and END.
        categories: of the objects in layouts, when an encoder reads those.
    """
    available: dict[str, Any] = {
        "width": training.width,
        "vocabulary_size": vocabulary_size,
        **_backbone(training.backbone),
    }
    if categories is not None:
        available["categories"] = categories
    encoders = [_part("encoder", part, available) for part in training.encoders]
    decoder: Decoder = _part("decoder", training.decoder, available)
    return Captioner(encoders, decoder)


def _backbone(row: settings.Backbone | None) -> dict[str, Any]:
    if row is None:
        return {}
    backbone = registry.load("backbone", row.family)(row.architecture, row.class_scores)
    return {"backbone": backbone, "preprocessing": row.preprocess.model_dump()}


def _part(family: str, part: settings.Part, available: dict[str, Any]) -> Any:
    """Construct a part: required arguments come from `available` by name, options from its row.

    Raises:
        ValueError: the part asks for something this system does not have.
    """
    constructor = registry.load(family, part.part)
    needed = [
        name
        for name, parameter in inspect.signature(constructor).parameters.items()
        if parameter.default is parameter.empty
    ]
    missing = [name for name in needed if name not in available]
    if missing:
        raise ValueError(f"{family} {part.part} needs {', '.join(missing)}: the system has none")
    chosen = options.check(family, part.part, part.options)
    return constructor(**{name: available[name] for name in needed}, **chosen)
