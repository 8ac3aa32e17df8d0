"""Steps down: DeepCaption's StepLR (half every 5 epochs), self-critical.pytorch's decay."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field


def factor(
    iteration: int,
    total: int,
    *,
    epoch_length: int,
    unit: Literal["epochs", "iterations"] = "epochs",
    start: Annotated[int, Field(ge=0)] = 0,
    every: Annotated[int, Field(ge=1)] = 5,
    by: Annotated[float, Field(gt=0, lt=1)] = 0.5,
) -> float:
    """By ** (whole steps since `start`).

    Args:
        unit: of `start` and `every`.
        start: until then the factor is 1, and for one step more.
        every: length of a step.
        by: what the factor is multiplied by at each.
    """
    now = iteration // epoch_length if unit == "epochs" else iteration
    return float(by ** (max(0, now - start) // every))
