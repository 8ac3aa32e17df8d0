import itertools
import math

import pytest

from snakecap import registry


def factor(name, iteration, total=1000, **options):
    return registry.load("schedule", name)(iteration, total, **options)


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
