"""NeuralTalk2's optimisers against its formulas, written out again in numpy (spec A7, T2-T4)."""

import numpy as np
import pytest
import torch

from snakecap import registry
from snakecap.training.optimisers import Group, Numbers

LR, ALPHA, BETA, EPSILON = 0.1, 0.8, 0.999, 1e-8


def adam(x, g, t, s):
    s["m"] = ALPHA * s.get("m", 0) + (1 - ALPHA) * g
    s["v"] = BETA * s.get("v", 0) + (1 - BETA) * g**2
    rate = LR * np.sqrt(1 - BETA**t) / (1 - ALPHA**t)
    return x - rate * s["m"] / (np.sqrt(s["v"]) + EPSILON)


def adamw(x, g, t, s):
    x = x * (1 - LR * 0.01)
    s["m"] = ALPHA * s.get("m", 0) + (1 - ALPHA) * g
    s["v"] = BETA * s.get("v", 0) + (1 - BETA) * g**2
    root = np.sqrt(s["v"] / (1 - BETA**t))
    return x - LR * s["m"] / (1 - ALPHA**t) / (root + EPSILON)


def rmsprop(x, g, t, s):
    s["m"] = ALPHA * s.get("m", 0) + (1 - ALPHA) * g**2
    return x - LR * g / (np.sqrt(s["m"]) + EPSILON)


def adagrad(x, g, t, s):
    s["m"] = s.get("m", 0) + g**2
    return x - LR * g / (np.sqrt(s["m"]) + EPSILON)


def sgd(x, g, t, s):
    return x - LR * g


def sgdm(x, g, t, s):
    s["v"] = ALPHA * s.get("v", 0) + LR * g
    return x - s["v"]


def sgdmom(x, g, t, s):
    old = s.get("m", 0)
    s["m"] = ALPHA * old - LR * g
    return x - ALPHA * old + (1 + ALPHA) * s["m"]


FORMULAS = {f.__name__: f for f in (adam, adamw, rmsprop, adagrad, sgd, sgdm, sgdmom)}


def group_of(name, values, **numbers):
    parameter = torch.nn.Parameter(torch.tensor(values))
    clip = numbers.pop("clip", None)
    chosen = Numbers(LR, ALPHA, BETA, EPSILON, decoupled_decay=0.01, **numbers)
    return parameter, Group([("p", parameter)], registry.load("optimiser", name), chosen, clip=clip)


@pytest.mark.parametrize("name", registry.OPTIMISERS)
def test_three_steps_match_the_formula(name):
    x = np.array([1.0, -2.0, 0.5])
    parameter, group = group_of(name, x.astype("float32"))
    slots: dict = {}
    for t, gradient in enumerate(([0.3, -0.1, 2.0], [-1.0, 0.2, 0.0], [0.5, 0.5, -0.5]), 1):
        x = FORMULAS[name](x, np.array(gradient), t, slots)
        parameter.grad = torch.tensor(gradient)
        group.step()
        np.testing.assert_allclose(parameter.detach().numpy(), x, rtol=2e-5)


@pytest.mark.parametrize("name", registry.OPTIMISERS)
def test_the_factor_scales_the_learning_rate_of_every_optimiser(name):
    whole, group = group_of(name, [1.0, -2.0])
    half, halved = group_of(name, [1.0, -2.0])
    for parameter, chosen, factor in ((whole, group, 1.0), (half, halved, 0.5)):
        parameter.grad = torch.tensor([0.3, -0.7])
        chosen.step(factor)
    moved = whole.detach() - torch.tensor([1.0, -2.0])
    torch.testing.assert_close(half.detach() - torch.tensor([1.0, -2.0]), moved / 2)


@pytest.mark.parametrize("name", registry.OPTIMISERS)
def test_restored_state_continues_identically(name):
    one, first = group_of(name, [1.0, -2.0])
    two, second = group_of(name, [1.0, -2.0])
    for step in range(4):
        gradient = torch.tensor([0.3 + step, -0.7])
        if step == 2:
            fresh = group_of(name, two.tolist())
            fresh[1].restore({k: v.clone() for k, v in second.state().items()})
            two, second = fresh
        for parameter, group in ((one, first), (two, second)):
            parameter.grad = gradient.clone()
            group.step()
    assert torch.equal(one, two)


def test_gradients_are_decayed_then_clipped_by_element():
    parameter, group = group_of("sgd", [10.0, 0.0, 0.0], weight_decay=0.5, clip=0.1)
    parameter.grad = torch.tensor([-4.9, 0.05, -7.0])
    group.step()
    # 0.5 * 10 - 4.9 = 0.1 stays; 0.05 stays; -7 is clipped to -0.1.
    torch.testing.assert_close(parameter.detach(), torch.tensor([9.99, -0.005, 0.01]))
    assert parameter.grad is None


def test_a_parameter_without_gradient_stays():
    parameter, group = group_of("sgd", [1.0])
    group.step()
    assert parameter.item() == 1.0


@pytest.mark.parametrize("name", registry.OPTIMISERS)
def test_a_weights_memory_layout_changes_nothing(name):
    """A fused update reads memory in order, a gradient must lie as its weight does."""
    generator = torch.Generator().manual_seed(0)
    start, gradient = torch.randn(2, 3, 4, 5, 5, generator=generator)
    ends = []
    for layout in (torch.contiguous_format, torch.channels_last):
        weight = torch.nn.Parameter(start.clone().contiguous(memory_format=layout))
        group = Group([("w", weight)], registry.load("optimiser", name), Numbers(LR))
        for factor in (1.0, 0.5):
            weight.grad = factor * gradient
            group.step()
        ends.append(weight.detach().contiguous())
    torch.testing.assert_close(*ends)
