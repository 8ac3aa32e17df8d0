"""A system's inputs from its settings, and the files that they are read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from snakecap.config import options
from snakecap.config.settings import Stage, Training
from snakecap.inputs.input import Input

FILES = {"backbones": "features or images.h5", "layouts": "layouts.h5"}


def build_inputs(training: Training, place: torch.device) -> dict[str, Input]:
    """A system's inputs, by name, in alphabetical order.

    Args:
        training: the settings of a job or of a model.
        place: the device of what is read.
    """
    available = {
        "place": place,
        "backbones": training.backbones,
        "geometry": training.geometry,
    }
    return {
        name: options.build("input", row.part, row.options, {**available, "source": row.source})
        for name, row in training.inputs.items()
    }


def open_inputs(
    inputs: Mapping[str, Input],
    paths: Sequence[Path],
    stage: Stage | None = None,
    keep: Sequence[str] = (),
) -> None:
    """Give each input its file.

    Args:
        inputs: by name.
        paths: one for each, in the same order.
        stage: a training stage that reads them; what it trains must look at pixels itself.
        keep: pictures that are read again and again.

    Raises:
        ValueError: other files than these; says which are wanted.
    """
    if len(paths) != len(inputs):
        names = ", ".join(
            f"{name} ({FILES.get(_table(one), 'its file')})" for name, one in inputs.items()
        )
        raise ValueError(f"--inputs: give {len(inputs)} files, in this order: {names}")
    for (name, one), path in zip(inputs.items(), paths, strict=True):
        cached = path.suffix == ".lmdb" and _table(one) == "backbones"
        if stage is not None and stage.reads_pictures and cached:
            raise ValueError(f"stage {stage.name} reads pictures: for {name} give an images.h5")
        one.open(path, keep)


def _table(one: Input) -> str:
    return str(getattr(one, "table", None))
