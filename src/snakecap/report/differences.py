"""Is one system better than another on the same pictures? Paired differences in CIDEr.

The interval is a percentile bootstrap over pictures (Efron and Tibshirani, 1993, chapter 13); it
says nothing of the spread between seeds: a system with several enters with the mean over them of
every picture's CIDEr.

Compared are a system's consecutive stages; then the systems after their last stage, as the settings
name them. Without names, up to `ALL_PAIRS` systems each with each. Of more, some of all intervals
would leave out zero by chance alone: each with the one before it, for `compare` lists the rows of
an argument one after the other, and each with the best.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from snakecap.log import logger
from snakecap.report.entries import Entry, by_stage

RESAMPLES = 2000
SEED = 123
ALL_PAIRS = 5  # with more systems, neighbours and the best only


def differences(entries: Sequence[Entry], pairs: Sequence[tuple[str, str]] = ()) -> pd.DataFrame:
    """Of stages, then of systems; the module says which.

    Args:
        pairs: systems to compare, where both have entries; none: chosen here.

    Returns:
        ``from``, ``to``; ``CIDEr``: how much better the second is, the mean over the ``pictures``
        that both have; ``low`` and ``high`` of its 95 % interval.
    """
    groups: dict[str, dict[str, dict[str, float]]] = {}
    for (family, stage), runs in by_stage(entries).items():
        groups.setdefault(family, {})[stage] = averaged([one.per_picture for one in runs])
    asked = []
    for family, stages in groups.items():
        for (name, before), (later, after) in pairwise(stages.items()):
            asked.append((f"{family} / {name}", before, f"{family} / {later}", after))
    many = len({entry.stage for entry in entries}) > 1
    names = {
        family: f"{family} / {list(stages)[-1]}" if many else family
        for family, stages in groups.items()
    }
    last = {name: list(groups[family].values())[-1] for family, name in names.items()}
    named = [(names[a], names[b]) for a, b in pairs if a in names and b in names]
    if len(named) < len(pairs):
        logger.warning("%d of the report's pairs are not compared", len(pairs) - len(named))
    asked += [(a, last[a], b, last[b]) for a, b in (named if pairs else _pairs(last))]
    rows = []
    for first, before, second, after in asked:
        shared = sorted(before.keys() & after.keys())
        if shared:
            change = np.array([after[key] for key in shared]) - [before[key] for key in shared]
            rows.append((first, second, float(change.mean()), *bootstrap(change), len(shared)))
    return pd.DataFrame(rows, columns=["from", "to", "CIDEr", "low", "high", "pictures"])


def _pairs(last: Mapping[str, Mapping[str, float]]) -> Iterable[tuple[str, str]]:
    if len(last) <= ALL_PAIRS:
        return combinations(last, 2)
    best = max(last, key=lambda name: np.mean(list(last[name].values()) or [-np.inf]))
    neighbours = list(pairwise(last))
    beside = {name for pair in neighbours if best in pair for name in pair}
    return neighbours + [(name, best) for name in last if name not in beside]


def averaged(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each picture's mean over several runs, of the pictures that all of them have."""
    shared = [key for key in runs[0] if all(key in run for run in runs)]
    return {key: float(np.mean([run[key] for run in runs])) for key in shared}


def bootstrap(values: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean of values of shape (pictures,)."""
    generator = np.random.default_rng(SEED)
    means = np.empty(RESAMPLES)
    for at in range(RESAMPLES):  # one resample at a time: 5,000 pictures need no 80 MB table
        means[at] = values[generator.integers(0, len(values), len(values))].mean()
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
