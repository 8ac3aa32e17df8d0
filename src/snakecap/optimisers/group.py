"""Parameters that share one optimiser, and what an optimiser's update reads.

An optimiser is a function ``update(parameters, gradients, slots, numbers)``; `slots` holds its
running tensors by name, made on the first step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

Tensors = list[Tensor]
Slots = dict[str, Tensors]


@dataclass(frozen=True)
class Numbers:
    """The hyper-parameters of one step; names as in NeuralTalk2's flags.

    Attributes:
        step: 1 for the first.
        alpha: Adam's beta 1, momentum, or RMSProp's decay.
        beta: Adam's beta 2.
        weight_decay: L2, added to the gradient before clipping.
        decoupled_decay: AdamW's, times the learning rate; no other optimiser reads it.
    """

    learning_rate: float
    alpha: float = 0.8
    beta: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decoupled_decay: float = 0.0
    step: int = 0


Update = Callable[[Tensors, Tensors, Slots, Numbers], None]


def zeros(like: Tensors) -> Tensors:
    """Running tensors at their start."""
    return [torch.zeros_like(tensor) for tensor in like]


def descend_by_root(
    parameters: Tensors, gradients: Tensors, squares: Tensors, numbers: Numbers
) -> None:
    """X -= lr g / (sqrt(squares) + epsilon), in place."""
    roots = torch._foreach_sqrt(squares)
    torch._foreach_add_(roots, numbers.epsilon)
    torch._foreach_addcdiv_(parameters, gradients, roots, -numbers.learning_rate)


class Group:
    """Named parameters, their optimiser and their running tensors.

    Each gradient gets its L2 term, then every element is
    clipped to +-`clip`, then the optimiser steps: NeuralTalk2 clipped the CNN's gradients only
    when they were decayed, here both are always honoured.
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
        """Take up what `state` returned."""
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
