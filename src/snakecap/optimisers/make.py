"""A group of parameters from a settings row."""

from __future__ import annotations

from torch import nn

from snakecap import registry
from snakecap.optimisers.group import Group, Numbers
from snakecap.settings import Optimiser


def make_group(parameters: list[tuple[str, nn.Parameter]], row: Optimiser) -> Group:
    """Parameters with the optimiser of a settings row."""
    numbers = Numbers(
        learning_rate=row.learning_rate,
        alpha=row.alpha,
        beta=row.beta,
        epsilon=row.epsilon,
        weight_decay=row.weight_decay,
        decoupled_decay=row.decoupled_decay,
    )
    return Group(parameters, registry.load("optimiser", row.name), numbers, clip=row.grad_clip)
