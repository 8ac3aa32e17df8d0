"""The optimisers, and the parameters that share one.

Source: neuraltalk2/misc/optim_updates.lua, and AdamW. An optimiser is a function
``(parameters, gradients, slots, numbers)`` that steps in place; `slots` holds its running tensors
by name, made on the first step. Its formulas are its own, not torch.optim's: importing that costs
seconds at the start of every job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from snakecap import registry
from snakecap.config.training import Optimiser

Tensors = list[Tensor]
Slots = dict[str, Tensors]


@dataclass(frozen=True)
class Numbers:
    """The hyper-parameters of one step; names as in NeuralTalk2's flags."""

    learning_rate: float
    alpha: float = 0.8  # Adam's beta 1, momentum, or RMSProp's decay
    beta: float = 0.999  # Adam's beta 2
    epsilon: float = 1e-8
    weight_decay: float = 0.0  # L2, added to the gradient before clipping
    decoupled_decay: float = 0.0  # AdamW's, times the learning rate; no other optimiser reads it
    step: int = 0  # 1 for the first


Update = Callable[[Tensors, Tensors, Slots, Numbers], None]


def running(slots: Slots, name: str, like: Tensors) -> Tensors:
    """A slot's tensors; zeros at the first step."""
    if name not in slots:
        slots[name] = [torch.zeros_like(tensor) for tensor in like]
    return slots[name]


def descend_by_root(
    parameters: Tensors, gradients: Tensors, squares: Tensors, numbers: Numbers
) -> None:
    """X -= lr g / (sqrt(squares) + epsilon), in place."""
    roots = torch._foreach_sqrt(squares)
    torch._foreach_add_(roots, numbers.epsilon)
    torch._foreach_addcdiv_(parameters, gradients, roots, -numbers.learning_rate)


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
    first = running(slots, "first", parameters)
    second = running(slots, "second", parameters)
    if "steps" not in slots:  # on the device, where the kernel reads them
        slots["steps"] = [torch.zeros((), device=parameter.device) for parameter in parameters]
    torch._foreach_add_(slots["steps"], 1.0)
    torch._fused_adamw_(
        parameters,
        gradients,
        first,
        second,
        [],
        slots["steps"],
        lr=numbers.learning_rate,
        beta1=numbers.alpha,
        beta2=numbers.beta,
        weight_decay=decay,
        eps=epsilon,
        amsgrad=False,
        maximize=False,
    )


def sgd(parameters: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
    """Plain gradient descent: x -= lr g; optim_updates.lua ignored the decayed lr."""
    torch._foreach_add_(parameters, gradients, alpha=-numbers.learning_rate)


def sgdm(parameters: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
    """Momentum: v = alpha v + lr g; x -= v. Source: optim_updates.lua."""
    velocity = running(slots, "velocity", parameters)
    torch._foreach_mul_(velocity, numbers.alpha)
    torch._foreach_add_(velocity, gradients, alpha=numbers.learning_rate)
    torch._foreach_sub_(parameters, velocity)


def sgdmom(parameters: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
    """Nesterov momentum: m' = alpha m - lr g; x += -alpha m + (1 + alpha) m'.

    Source: neuraltalk2/misc/optim_updates.lua.
    """
    momentum = running(slots, "momentum", parameters)
    torch._foreach_add_(parameters, momentum, alpha=-numbers.alpha)
    torch._foreach_mul_(momentum, numbers.alpha)
    torch._foreach_add_(momentum, gradients, alpha=-numbers.learning_rate)
    torch._foreach_add_(parameters, momentum, alpha=1 + numbers.alpha)


def adagrad(parameters: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
    """Adagrad: m += g^2; x -= lr g / (sqrt(m) + epsilon). Source: optim_updates.lua."""
    total = running(slots, "total", parameters)
    torch._foreach_addcmul_(total, gradients, gradients, 1.0)
    descend_by_root(parameters, gradients, total, numbers)


def rmsprop(parameters: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
    """RMSProp: m = alpha m + (1 - alpha) g^2; x -= lr g / (sqrt(m) + epsilon).

    Source: neuraltalk2/misc/optim_updates.lua; epsilon stands outside the root.
    """
    mean = running(slots, "mean", parameters)
    torch._foreach_mul_(mean, numbers.alpha)
    torch._foreach_addcmul_(mean, gradients, gradients, 1 - numbers.alpha)
    descend_by_root(parameters, gradients, mean, numbers)


def adam(parameters: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
    """Adam as NeuralTalk2 wrote it: epsilon is not scaled by the bias correction.

    Source: neuraltalk2/misc/optim_updates.lua; Kingma and Ba 2015, end of section 2.
    x -= lr * sqrt(1 - beta^t) / (1 - alpha^t) * m / (sqrt(v) + epsilon)
    """
    # torch divides sqrt(v) by the correction before it adds epsilon: undo that.
    correction = (1 - numbers.beta**numbers.step) ** 0.5
    adam_(parameters, gradients, slots, numbers, epsilon=numbers.epsilon / correction, decay=0.0)


def adamw(parameters: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
    """AdamW: Adam with weight decay apart from the gradient (Loshchilov and Hutter 2019)."""
    decay = numbers.decoupled_decay
    adam_(parameters, gradients, slots, numbers, epsilon=numbers.epsilon, decay=decay)


class Group:
    """Named parameters, their optimiser and their running tensors.

    Each gradient gets its L2 term, then every element is clipped to +-`clip`, then the optimiser
    steps: NeuralTalk2 clipped the CNN's gradients only when they were decayed, here both are
    always honoured.
    """

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        update: Update,
        numbers: Numbers,
        *,
        clip: float | None = None,
    ):
        self.names, found = map(list, zip(*parameters, strict=True))
        self.parameters: list[nn.Parameter] = found
        self.update = update
        self.numbers = numbers
        self.clip = clip
        self.slots: Slots = {}

    @torch.no_grad()
    def step(self, factor: float = 1.0) -> None:
        """Step with the learning rate times `factor`; gradients are cleared."""
        parameters: Tensors = list(self.parameters)
        gradients = [_beside(p) for p in parameters]
        self.numbers = replace(self.numbers, step=self.numbers.step + 1)
        if self.numbers.weight_decay:
            torch._foreach_add_(gradients, parameters, alpha=self.numbers.weight_decay)
        if self.clip is not None:
            torch._foreach_clamp_min_(gradients, -self.clip)
            torch._foreach_clamp_max_(gradients, self.clip)
        rate = self.numbers.learning_rate * factor
        self.update(parameters, gradients, self.slots, replace(self.numbers, learning_rate=rate))
        for parameter in self.parameters:
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """The running tensors by ``slot/parameter``, and the step count."""
        tensors = {
            f"{slot}/{name}": tensor
            for slot, tensors in self.slots.items()
            for name, tensor in zip(self.names, tensors, strict=True)
        }
        return {**tensors, "step": torch.tensor(self.numbers.step)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.numbers = replace(self.numbers, step=int(state["step"]))
        slots = {key.partition("/")[0] for key in state if "/" in key}
        self.slots = {
            slot: [
                state[f"{slot}/{name}"].to(parameter.device)
                for name, parameter in zip(self.names, self.parameters, strict=True)
            ]
            for slot in sorted(slots)
        }


def _beside(parameter: Tensor) -> Tensor:
    """A parameter's gradient in the parameter's own memory layout, which fused updates rely on."""
    if parameter.grad is None:
        return torch.zeros_like(parameter)
    if parameter.grad.stride() == parameter.stride():
        return parameter.grad
    return torch.empty_like(parameter).copy_(parameter.grad)


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
