"""Momentum: v = alpha v + lr g; x -= v. Source: optim_updates.lua."""

from __future__ import annotations

import torch

from snakecap.optimisers.group import Numbers, Slots, Tensors, zeros


def update(parameters: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
    """One step, in place."""
    velocity = slots.setdefault("velocity", zeros(parameters))
    torch._foreach_mul_(velocity, numbers.alpha)
    torch._foreach_add_(velocity, gradients, alpha=numbers.learning_rate)
    torch._foreach_sub_(parameters, velocity)
