"""AdamW: Adam with weight decay apart from the gradient (Loshchilov and Hutter 2019)."""

from __future__ import annotations

from snakecap.optimisers.fused import adam_
from snakecap.optimisers.group import Numbers, Slots, Tensors


def update(parameters: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
    """One step, in place."""
    decay = numbers.decoupled_decay
    adam_(parameters, gradients, slots, numbers, epsilon=numbers.epsilon, decay=decay)
