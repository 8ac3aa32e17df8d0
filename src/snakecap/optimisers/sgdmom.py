"""Nesterov momentum: m' = alpha m - lr g; x += -alpha m + (1 + alpha) m'.

Source: neuraltalk2/misc/optim_updates.lua.
"""

from __future__ import annotations

import torch

from snakecap.optimisers.group import Numbers, Slots, Tensors, zeros


def update(parameters: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
    """One step, in place."""
    momentum = slots.setdefault("momentum", zeros(parameters))
    torch._foreach_add_(parameters, momentum, alpha=-numbers.alpha)
    torch._foreach_mul_(momentum, numbers.alpha)
    torch._foreach_add_(momentum, gradients, alpha=-numbers.learning_rate)
    torch._foreach_add_(parameters, momentum, alpha=1 + numbers.alpha)
