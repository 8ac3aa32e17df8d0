"""Up in a straight line, then down in another."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field


def factor(
    iteration: int,
    total: int,
    *,
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.05,
    floor: Annotated[float, Field(gt=0, le=1)] = 0.01,
) -> float:
    """The learning rate's factor at an iteration (from 0) of `total`.

    Args:
        warmup: the share of `total` over which the factor rises to 1.
        floor: the last factor.
    """
    rising = max(1, round(warmup * total))
    if iteration < rising:
        return (iteration + 1) / rising
    progress = (iteration - rising) / max(1, total - 1 - rising)
    return 1 - (1 - floor) * min(1.0, progress)
