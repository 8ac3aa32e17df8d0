"""Adam as NeuralTalk2 wrote it: epsilon is not scaled by the bias correction.

Source: neuraltalk2/misc/optim_updates.lua; Kingma and Ba 2015, end of section 2.
x -= lr * sqrt(1 - beta^t) / (1 - alpha^t) * m / (sqrt(v) + epsilon)
"""

from __future__ import annotations

from snakecap.optimisers.fused import adam_
from snakecap.optimisers.group import Numbers, Slots, Tensors


def update(parameters: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
    """One step, in place."""
    # torch divides sqrt(v) by the correction before it adds epsilon: undo that.
    correction = (1 - numbers.beta**numbers.step) ** 0.5
    adam_(parameters, gradients, slots, numbers, epsilon=numbers.epsilon / correction, decay=0.0)
