"""What every encoder returns and every decoder reads.

Dimensions: B pictures, D width, R regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Encoded:
    """An encoded batch of pictures.

    Attributes:
        summary: one vector a picture, of shape (B, D).
        regions: vectors to attend to, of shape (B, R, D), or None.
        mask: true where a region exists, of shape (B, R), or None when all do.
    """

    summary: Tensor
    regions: Tensor | None = None
    mask: Tensor | None = None

    def select(self, pictures: Tensor) -> Encoded:
        """The pictures of the given indices, of shape (P,)."""
        return Encoded(
            self.summary.index_select(0, pictures),
            None if self.regions is None else self.regions.index_select(0, pictures),
            None if self.mask is None else self.mask.index_select(0, pictures),
        )


def merge(parts: Sequence[Encoded]) -> Encoded:
    """Several encoders' results as one: summaries add (as OBJ2TEXT does), regions line up."""
    if len(parts) == 1:
        return parts[0]
    summary = torch.stack([part.summary for part in parts]).sum(0)
    seen = [part for part in parts if part.regions is not None]
    if not seen:
        return Encoded(summary)
    regions = torch.cat([part.regions for part in seen if part.regions is not None], 1)
    masks = [_mask(part) for part in seen]
    return Encoded(summary, regions, torch.cat(masks, 1))


def _mask(part: Encoded) -> Tensor:
    if part.mask is not None:
        return part.mask
    assert part.regions is not None
    return torch.ones(part.regions.shape[:2], dtype=torch.bool, device=part.regions.device)
