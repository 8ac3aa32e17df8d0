"""What captions are asked for: photos, layouts, or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snakecap.formats import layout_json
from snakecap.log import logger
from snakecap.objects.layout import Layout, tidied

Photo = str | bytes | Path


@dataclass(frozen=True)
class Subject:
    """What a caption is asked for: a photo, its layout, or both.

    Attributes:
        photo: a path, or the bytes of an image file.
        layout: the objects in it; without one, models that read layouts need a detector.
    """

    photo: Photo | None = None
    layout: Layout | None = None


def collate(inputs: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Inputs of single subjects as one batch; shorter layouts get zeros behind their last object.

    Args:
        inputs: of `Model.inputs`, each with a batch dimension of 1.
    """
    joined = {}
    for name in inputs[0]:
        parts = [one[name] for one in inputs]
        longest = max(part.shape[1] for part in parts)
        joined[name] = torch.cat([_longer(part, longest) for part in parts])
    return joined


def _longer(part: Tensor, length: int) -> Tensor:
    missing = part.new_zeros(len(part), length - part.shape[1], *part.shape[2:])
    return torch.cat([part, missing], 1)


def as_subject(given: Any) -> Subject:
    """Anything that `Model.caption` takes.

    Raises:
        TypeError: something else.
    """
    if isinstance(given, Subject):
        return given
    if isinstance(given, str | Path) and Path(given).suffix.lower() == ".json":
        records = layout_json.read_json_layouts(Path(given))
        if len(records) != 1:
            raise ValueError(f"{given} holds {len(records)} layouts: give them one by one")
        return Subject(records[0].photo, records[0].layout)
    if isinstance(given, str | bytes | Path):
        return Subject(photo=given)
    if isinstance(given, Layout):
        return Subject(layout=given)
    if isinstance(given, Mapping):
        try:
            layout, notes = tidied(layout_json.from_json(given))
        except (KeyError, TypeError, ValueError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"the layout: {reason} ({layout_json.EXPECTED})") from None
        for note in notes:
            logger.warning("the layout: %s", note)
        return Subject(layout=layout)
    raise TypeError(
        "captions are asked for paths, the bytes of image files, layouts, or a list of them, not "
        f"for a {type(given).__name__}"
    )
