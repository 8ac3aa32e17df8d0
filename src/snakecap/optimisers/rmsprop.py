"""RMSProp: m = alpha m + (1 - alpha) g^2; x -= lr g / (sqrt(m) + epsilon).

Source: neuraltalk2/misc/optim_updates.lua; epsilon stands outside the root.
"""

from __future__ import annotations

import torch

from snakecap.optimisers.group import Numbers, Slots, Tensors, descend_by_root, zeros


def update(parameters: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
    """One step, in place."""
    mean = slots.setdefault("mean", zeros(parameters))
    torch._foreach_mul_(mean, numbers.alpha)
    torch._foreach_addcmul_(mean, gradients, gradients, 1 - numbers.alpha)
    descend_by_root(parameters, gradients, mean, numbers)
