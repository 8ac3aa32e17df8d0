"""Is one system better than another on the same pictures? Paired differences of CIDEr.

The interval is a percentile bootstrap over pictures (Efron and Tibshirani, 1993, chapter 13); it
says nothing of the spread between seeds: a system with several seeds enters with the mean over
its seeds of every picture's CIDEr.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from snakecap.stages.reporting.entries import Entry

RESAMPLES = 2000
SEED = 123
ALL_PAIRS = 5  # with more systems, each is compared with the best only


@dataclass(frozen=True, slots=True)
class Difference:
    """`second` minus `first`: mean over the `pictures` that both have, 95 % interval."""

    first: str
    second: str
    mean: float
    low: float
    high: float
    pictures: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def paired(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean of second - first, both of shape (pictures,), and its 95 % bootstrap interval."""
    change = second - first
    generator = np.random.default_rng(SEED)
    means = np.empty(RESAMPLES)
    for at in range(RESAMPLES):  # one resample at a time: 5,000 pictures need no 80 MB table
        means[at] = change[generator.integers(0, len(change), len(change))].mean()
    low, high = np.percentile(means, [2.5, 97.5])
    return float(change.mean()), float(low), float(high)


def differences(entries: Sequence[Entry]) -> list[Difference]:
    """Each system's consecutive stages, then the systems' last stages with one another."""
    groups: dict[str, dict[str, dict[str, float]]] = {}
    for family, stage in dict.fromkeys((e.family, e.stage) for e in entries):
        runs = [e.per_picture for e in entries if (e.family, e.stage) == (family, stage)]
        groups.setdefault(family, {})[stage] = _mean(runs)
    found = []
    for family, stages in groups.items():
        for (name, before), (later, after) in pairwise(stages.items()):
            found.append(_difference(f"{family} / {name}", before, f"{family} / {later}", after))
    last = {
        f"{family} / {list(stages)[-1]}": list(stages.values())[-1]
        for family, stages in groups.items()
    }
    found += [_difference(a, last[a], b, last[b]) for a, b in _pairs(last)]
    return [difference for difference in found if difference is not None]


def _pairs(last: dict[str, dict[str, float]]) -> Iterable[tuple[str, str]]:
    if len(last) <= ALL_PAIRS:
        return combinations(last, 2)
    best = max(last, key=lambda name: np.mean(list(last[name].values()) or [-np.inf]))
    return [(name, best) for name in last if name != best]


def _mean(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    shared = [identity for identity in runs[0] if all(identity in run for run in runs)]
    return {identity: float(np.mean([run[identity] for run in runs])) for identity in shared}


def _difference(
    first: str, before: dict[str, float], second: str, after: dict[str, float]
) -> Difference | None:
    shared = sorted(before.keys() & after.keys())
    if not shared:
        return None
    a = np.array([before[identity] for identity in shared])
    b = np.array([after[identity] for identity in shared])
    return Difference(first, second, *paired(a, b), pictures=len(shared))
