"""Adagrad: m += g^2; x -= lr g / (sqrt(m) + epsilon). Source: optim_updates.lua."""

from __future__ import annotations

import torch

from snakecap.optimisers.group import Numbers, Slots, Tensors, descend_by_root, zeros


def update(parameters: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
    """One step, in place."""
    total = slots.setdefault("total", zeros(parameters))
    torch._foreach_addcmul_(total, gradients, gradients, 1.0)
    descend_by_root(parameters, gradients, total, numbers)
