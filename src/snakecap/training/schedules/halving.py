"""NeuralTalk2's decay: continuous, halved every `every` iterations (train.lua)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field


def factor(
    iteration: int,
    total: int,
    *,
    start: Annotated[int, Field(ge=-1)] = -1,
    every: Annotated[int, Field(ge=1)] = 50000,
) -> float:
    """0.5 ** ((iteration - start) / every) after `start`.

    Args:
        start: the iteration at which the decay starts; -1: no decay.
        every: iterations in which the learning rate halves.
    """
    if start < 0 or iteration <= start:
        return 1.0
    return float(0.5 ** ((iteration - start) / every))
