"""Plain gradient descent: x -= lr g. Source: optim_updates.lua (which ignored the decayed lr)."""

from __future__ import annotations

import torch

from snakecap.optimisers.group import Numbers, Slots, Tensors


def update(parameters: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
    """One step, in place."""
    torch._foreach_add_(parameters, gradients, alpha=-numbers.learning_rate)
