"""What encoders give, and what a decoder makes of it once a picture.

Dimensions: B pictures, D width, R regions, K numbers that are fed at every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from torch import Tensor

Rows = TypeVar("Rows", bound="Selectable")


class Selectable:
    """A dataclass of tensors whose first dimension is B, of other such things, or of None."""

    def select(self: Rows, pictures: Tensor) -> Rows:
        """The pictures of the given indices, of shape (P,)."""
        values = (getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]
        return type(self)(*(_select(value, pictures) for value in values))


def _select(value: object, pictures: Tensor) -> object:
    if isinstance(value, Tensor):
        return value.index_select(0, pictures)
    if isinstance(value, tuple):
        return tuple(_select(one, pictures) for one in value)
    return value.select(pictures) if isinstance(value, Selectable) else value


@dataclass(frozen=True)
class Encoded(Selectable):
    """An encoded batch of pictures."""

    summary: Tensor  # one vector a picture, (B, D)
    regions: Tensor | None = None  # vectors to attend to, (B, R, D)
    mask: Tensor | None = None  # true where a region exists, (B, R); None: all do
    constant: Tensor | None = None  # fed at every step beside the word, (B, K): `constant_size`


@dataclass(frozen=True)
class Memory(Selectable):
    """What a decoder looks at while it speaks."""

    encoded: Encoded
    prepared: tuple[Tensor, ...] = ()  # computed once, such as keys and values; B comes first


def merge(parts: Sequence[Encoded]) -> Encoded:
    """Several encoders' results as one: summaries add (as OBJ2TEXT does), the others line up."""
    if len(parts) == 1:
        return parts[0]
    summary = torch.stack([part.summary for part in parts]).sum(0)
    fed = [part.constant for part in parts if part.constant is not None]
    constant = torch.cat(fed, 1) if fed else None
    seen = [(part.regions, part.mask) for part in parts if part.regions is not None]
    if not seen:
        return Encoded(summary, constant=constant)
    masks = [torch.ones_like(r[..., 0], dtype=torch.bool) if m is None else m for r, m in seen]
    return Encoded(summary, torch.cat([r for r, _ in seen], 1), torch.cat(masks, 1), constant)
