"""What every input is: one kind of thing that encoders read.

One class a kind serves training, captions of a split, and a user's own photo. `registry.INPUTS`
names the classes; each says in plain values, which the settings read without importing it:

- ``table``: the table of ``config.yaml`` that an input's `source` is a row of; None: it is a file;
- ``kind``: what encoders call it in their ``reads``; ``{option}`` stands for that option's value.

Dimensions: B pictures of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snakecap.inputs.request import Request

Tensors = dict[str, Tensor]  # what one encoder reads of a batch, by name
Inputs = dict[str, Tensors]  # of all of a system's inputs


@dataclass(frozen=True)
class Draw:
    """The random choices of one training batch, from which every input takes its own.

    Attributes:
        generator: of further numbers, on the CPU.
        flip: which pictures are mirrored, of shape (B,), so that all inputs show the same side;
            None: none is.
        part: the pictures that are wanted; what they get is what the whole batch would give them.
        random_crop, object_dropout, box_jitter: how much, see the settings of a stage.
    """

    generator: torch.Generator
    flip: Tensor | None = None
    part: slice = field(default_factory=lambda: slice(None))
    random_crop: bool = False
    object_dropout: float = 0.0
    box_jitter: float = 0.0


class Input:
    """Base class.

    Args:
        place: the device of what is read.
    """

    def __init__(self, place: torch.device):
        self.place = place

    def open(self, path: Path, keep: Sequence[str] = ()) -> None:
        """Take what is read from a file.

        Args:
            path: made by a step of the workflow, or named by the system's `source`.
            keep: pictures that are read again and again: held in memory where that is possible.

        Raises:
            ValueError: not such a file, or it lacks pictures of `keep`; names both.
        """
        raise NotImplementedError

    def has(self, file: str) -> bool:
        """Whether the open file holds a picture."""
        raise NotImplementedError

    def read(self, files: Sequence[str], draw: Draw | None = None) -> Tensors:
        """What encoders read of some pictures; augmented when there is a `draw`.

        Returns:
            Tensors whose first dimension is B, or the number of pictures in ``draw.part``.
        """
        raise NotImplementedError

    def of(self, request: Request) -> Tensors:
        """The same of a user's own picture, with B = 1.

        Raises:
            ValueError: the request lacks what is read, or it cannot be read; names it.
        """
        raise NotImplementedError

    def join(self, parts: Sequence[Tensors]) -> Tensors:
        """What `of` gave for several pictures, as one batch."""
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def facts(self) -> dict[str, Any]:
        """What a model's file must say so that it can read a user's picture; JSON."""
        return {}

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Take up what `facts` gave, in place of `open`."""

    def sizes(self) -> dict[str, int]:
        """Arguments of encoders that depend on what is read, such as the number of categories."""
        return {}
