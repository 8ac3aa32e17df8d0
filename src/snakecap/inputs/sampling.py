"""Which captions of a picture a training step sees (NeuralTalk2's DataLoader.lua)."""

from __future__ import annotations

import torch
from torch import Tensor


def choose(
    starts: Tensor, counts: Tensor, per_picture: int, generator: torch.Generator | None = None
) -> Tensor:
    """Rows of captions: a contiguous chunk at a random place, or draws with replacement.

    A picture with at least `per_picture` captions gives that many neighbours, every first one
    equally likely; another gives independent draws from all it has.

    Args:
        starts: first row of each picture's captions, of shape (N,), integers on the CPU.
        counts: captions of each picture, of shape (N,), at least 1.
        per_picture: captions wanted of each, at least 1.
        generator: of the random numbers; the same state gives the same rows.

    Returns:
        Rows of shape (N, per_picture), int64.

    Raises:
        ValueError: a picture has no captions.
    """
    if len(counts) and int(counts.min()) < 1:
        row = int(counts.argmin())
        raise ValueError(f"picture {row} of {len(counts)} has no captions to choose from")
    # float64: a float32 product could round up to the upper end.
    uniform = torch.rand(len(starts), per_picture, generator=generator, dtype=torch.float64)
    count = counts.unsqueeze(1)
    drawn = (uniform * count).long()
    chunk = (uniform[:, :1] * (count - per_picture + 1)).long() + torch.arange(per_picture)
    return starts.unsqueeze(1) + torch.where(count < per_picture, drawn, chunk)
