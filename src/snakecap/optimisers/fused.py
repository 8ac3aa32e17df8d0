"""torch's fused Adam kernel: one pass over memory instead of eight.

Called directly, since importing torch.optim costs seconds at the start of every job.
"""

from __future__ import annotations

import torch

from snakecap.optimisers.group import Numbers, Slots, Tensors, zeros


def adam_(
    parameters: Tensors,
    gradients: Tensors,
    slots: Slots,
    numbers: Numbers,
    *,
    epsilon: float,
    decay: float,
) -> None:
    """Bias-corrected Adam in place; `decay` is AdamW's, multiplied by the learning rate."""
    first = slots.setdefault("first", zeros(parameters))
    second = slots.setdefault("second", zeros(parameters))
    steps = [torch.tensor(float(numbers.step - 1), device=p.device) for p in parameters]
    torch._foreach_add_(steps, 1.0)
    torch._fused_adamw_(
        parameters,
        gradients,
        first,
        second,
        [],
        steps,
        lr=numbers.learning_rate,
        beta1=numbers.alpha,
        beta2=numbers.beta,
        weight_decay=decay,
        eps=epsilon,
        amsgrad=False,
        maximize=False,
    )
