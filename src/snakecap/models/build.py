"""A captioner from plain settings: parts by name, given what their constructors ask for."""

from __future__ import annotations

from collections.abc import Mapping

from snakecap import registry
from snakecap.config import options, settings
from snakecap.models.backbones.backbone import Backbone
from snakecap.models.captioner import Captioner, Look


def build(
    training: settings.Training, *, vocabulary_size: int, sizes: Mapping[str, Mapping[str, int]]
) -> Captioner:
    """Compose the model of a training job, with fresh weights.

    Args:
        training: parts, width, inputs and backbones.
        vocabulary_size: V, words without START and END.
        sizes: arguments of encoders that follow from what an input reads, by the input's name.
    """
    backbones: dict[str, Backbone] = {
        name: registry.load("backbone", row.family)(row.architecture, row.class_scores)
        for name, row in training.backbones.items()
    }
    looks = {
        name: Look(one.source, one.kind, training.backbones[one.source].preprocess.model_dump())
        for name, one in training.inputs.items()
        if one.table == "backbones"
    }
    seen = {name: {"size": _size(backbones[look.backbone], look)} for name, look in looks.items()}
    encoders, reads = [], []
    for row in training.encoders:
        assert row.reads is not None, "settings fill it in"
        given = {"width": training.width, **sizes.get(row.reads, {}), **seen.get(row.reads, {})}
        encoders.append(options.build("encoder", row.part, row.options, given))
        reads.append(row.reads)
    given = {"width": training.width, "vocabulary_size": vocabulary_size}
    decoder = options.build("decoder", training.decoder.part, training.decoder.options, given)
    return Captioner(encoders, decoder, reads, backbones, looks)


def _size(backbone: Backbone, look: Look) -> int:
    """Numbers of a feature."""
    return backbone.grid_width if look.output == "grid" else backbone.width
