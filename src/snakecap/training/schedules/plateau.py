"""Down where validation does not get better: torch's ReduceLROnPlateau, which DeepCaption uses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field


def factor(
    iteration: int,
    total: int,
    *,
    validations: Sequence[Mapping[str, float]],
    metric: Literal["loss", "score"] = "loss",
    patience: Annotated[int, Field(ge=0)] = 2,
    by: Annotated[float, Field(gt=0, lt=1)] = 0.1,
    threshold: Annotated[float, Field(ge=0, lt=1)] = 1e-4,
) -> float:
    """By ** (how often more than `patience` validations in a row were not better than the best).

    Args:
        validations: loss and score of all validations until now.
        metric: the loss, or what the best model is chosen by, such as CIDEr.
        patience: validations without progress that are borne.
        by: what the factor is multiplied by after one more.
        threshold: progress is this share of the best.
    """
    best, waited, steps = math.inf, 0, 0
    for row in validations:
        value = row["loss"] if metric == "loss" else -row["score"]
        if value < best - threshold * abs(best) or math.isinf(best):
            best, waited = value, 0
        else:
            waited += 1
        if waited > patience:
            steps, waited = steps + 1, 0
    return float(by**steps)
