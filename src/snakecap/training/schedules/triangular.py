"""Up and down in straight lines (Smith, "Cyclical Learning Rates", 2017), as DeepCaption."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field


def factor(
    iteration: int,
    total: int,
    *,
    epoch_length: int,
    every: Annotated[float, Field(gt=0)] = 1.0,
    floor: Annotated[float, Field(gt=0, le=1)] = 0.01,
) -> float:
    """From `floor` to 1 and back, again and again.

    Args:
        every: epochs of a way up, and of a way down.
        floor: the lowest factor.
    """
    way = every * epoch_length
    height = 1 - abs(iteration / way % 2 - 1)
    return floor + (1 - floor) * height
