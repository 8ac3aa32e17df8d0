import itertools
import math

import pytest
import torch

from snakecap import registry
from snakecap.config import options

AVAILABLE = {"epoch_length": 10, "validations": [{"loss": 2.0, "score": 0.5}] * 9}


def factor(name, iteration, total=1000, **chosen):
    asked = {key: AVAILABLE[key] for key in options.needs("schedule", name)}
    return registry.load("schedule", name)(iteration, total, **{**asked, **chosen})


@pytest.mark.parametrize("name", registry.SCHEDULES)
def test_factors_stay_in_the_unit_interval(name):
    values = [factor(name, iteration) for iteration in range(0, 1200, 7)]
    assert all(0 < value <= 1 for value in values)


def test_halving_is_continuous_and_starts_late():
    assert factor("halving", 10**6) == 1.0  # no decay by default
    assert factor("halving", 100, start=100, every=50) == 1.0
    assert factor("halving", 150, start=100, every=50) == pytest.approx(0.5)
    assert factor("halving", 125, start=100, every=50) == pytest.approx(math.sqrt(0.5))


def test_cosine_rises_then_falls_to_its_floor():
    values = [factor("cosine", i, warmup=0.1, floor=0.02) for i in range(1001)]
    assert values[0] == pytest.approx(0.01)
    assert max(values) == pytest.approx(1.0) and values.index(max(values)) in (99, 100)
    assert values[1000] == pytest.approx(0.02)
    assert values[550] == pytest.approx(0.51)
    assert all(a >= b for a, b in itertools.pairwise(values[100:]))


def test_linear_rises_then_falls_in_straight_lines():
    values = [factor("linear", i, warmup=0.1, floor=0.1) for i in range(1200)]
    assert values[0] == pytest.approx(0.01) and values[99] == values[100] == 1
    assert values[550] == pytest.approx(0.55, abs=0.001)
    assert values[999] == values[1199] == pytest.approx(0.1)
    assert all(a > b for a, b in itertools.pairwise(values[100:1000]))


def test_noam_is_the_papers_with_its_highest_rate_as_1():
    width, warmup = 512, 4000
    peak = (width * warmup) ** -0.5
    for step in (1, 100, 4000, 4001, 10**5):
        paper = width**-0.5 * min(step**-0.5, step * warmup**-1.5)
        assert peak * factor("noam", step - 1, warmup=warmup) == pytest.approx(paper)


def test_triangular_is_deepcaptions():
    """Rates 1e-5 to 1e-3 where an epoch has 100 batches."""
    rates = [1e-3 * factor("triangular", i, epoch_length=100) for i in (0, 50, 100, 150, 200)]
    assert rates == pytest.approx([1e-5, 5.05e-4, 1e-3, 5.05e-4, 1e-5])
    for i in range(0, 500, 7):
        s, lowest, highest = 100, 1e-5, 1e-3
        shape = max(0, 1 - abs(i / s - 2 * math.floor(1 + i / (2 * s)) + 1))
        wanted = lowest + (highest - lowest) * shape
        assert 1e-3 * factor("triangular", i, epoch_length=100) == pytest.approx(wanted)


def test_steps_are_torchs_by_epochs_and_by_iterations():
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    theirs = torch.optim.lr_scheduler.StepLR(optimiser, 5, 0.5)
    for epoch in range(17):
        wanted = pytest.approx(optimiser.param_groups[0]["lr"])
        assert factor("step", 10 * epoch) == factor("step", 10 * epoch + 9) == wanted
        assert factor("step", epoch, unit="iterations") == wanted
        assert factor("step", 10 * (epoch + 3), start=3) == wanted
        optimiser.step()
        theirs.step()


@pytest.mark.parametrize("metric", ["loss", "score"])
@pytest.mark.parametrize("patience", [0, 2])
def test_plateau_is_torchs(metric, patience):
    losses = torch.randn(60, generator=torch.Generator().manual_seed(3)).cumsum(0).tolist()
    losses = [5 + loss / 3 for loss in losses] + [float("nan"), 0.1, 0.099995, 0.09]
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, "min" if metric == "loss" else "max", patience=patience, eps=0.0
    )
    rows, seen = [], set()
    for loss in losses:
        rows.append({"loss": loss, "score": 10 - loss})
        optimiser.step()
        theirs.step(rows[-1][metric])
        ours = factor("plateau", 0, validations=rows, metric=metric, patience=patience)
        assert ours == pytest.approx(optimiser.param_groups[0]["lr"])
        seen.add(ours)
    assert len(seen) > 3
    assert factor("plateau", 0, validations=[]) == 1
