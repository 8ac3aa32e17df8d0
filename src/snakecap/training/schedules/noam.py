"""Up in a straight line, then down as 1 / sqrt(iteration) (Vaswani et al., 2017, 5.3).

The learning rate is the highest one; the paper's is (width * warmup) ** -0.5.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field


def factor(iteration: int, total: int, *, warmup: Annotated[int, Field(ge=1)] = 4000) -> float:
    """The learning rate's factor at an iteration, from 0.

    Args:
        warmup: iterations of the way up.
    """
    number = iteration + 1
    return float(min(number / warmup, (warmup / number) ** 0.5))
