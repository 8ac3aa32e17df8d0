"""Linear warm-up, then a half cosine down to a floor (Loshchilov and Hutter 2017)."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field


def factor(
    iteration: int,
    total: int,
    *,
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.05,
    floor: Annotated[float, Field(ge=0, le=1)] = 0.02,
) -> float:
    """The learning rate's factor at an iteration (from 0) of `total`.

    Args:
        warmup: the share of `total` over which the factor rises to 1.
        floor: the last factor.
    """
    rising = max(1, round(warmup * total))
    if iteration < rising:
        return (iteration + 1) / rising
    progress = (iteration - rising) / max(1, total - rising)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
