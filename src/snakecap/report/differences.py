"""Is one system better than another on the same pictures? Paired differences of CIDEr.

The interval is a percentile bootstrap over pictures (Efron and Tibshirani, 1993, chapter 13); it
says nothing of the spread between seeds: a system with several seeds enters with the mean over
its seeds of every picture's CIDEr.

Which pairs: a system's consecutive stages; then the systems after their last stage. Up to
`ALL_PAIRS` systems, each with each. Of more, all pairs would be a wall in which some intervals
leave out zero by chance alone (3 of the 66 of a dozen systems). Two kinds answer what readers ask:

- each with the one before it in the table, for `compare` lists the rows of an argument one after
  the other, each with one change (OBJ2TEXT's objclass, objname, objname_location);
- each with the best, which says what is not clearly worse than the winner.

Or those that the settings name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from snakecap.log import logger
from snakecap.report.entries import Entry

RESAMPLES = 2000
SEED = 123
COLUMNS = ("from", "to", "CIDEr", "95 % interval", "pictures")
NOTE = (
    "Each picture's CIDEr is averaged over a system's seeds; the interval is over pictures, not "
    "seeds. Bold: it leaves out zero."
)
ALL_PAIRS = 5  # with more systems, neighbours and the best only


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

    @property
    def change(self) -> str:
        """The mean for people."""
        return f"{self.mean:+.3f}"

    @property
    def interval(self) -> str:
        """The interval for people."""
        return f"[{self.low:+.3f}, {self.high:+.3f}]"


def paired(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean of second - first, both of shape (pictures,), and its 95 % bootstrap interval."""
    change = second - first
    return float(change.mean()), *bootstrap(change)


def bootstrap(values: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean of values of shape (pictures,)."""
    generator = np.random.default_rng(SEED)
    means = np.empty(RESAMPLES)
    for at in range(RESAMPLES):  # one resample at a time: 5,000 pictures need no 80 MB table
        means[at] = values[generator.integers(0, len(values), len(values))].mean()
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def differences(
    entries: Sequence[Entry], pairs: Sequence[tuple[str, str]] = ()
) -> list[Difference]:
    """Of stages, then of systems; the module says which.

    Args:
        entries: runs and their scores.
        pairs: systems to compare, where both have entries; none: chosen here.
    """
    groups: dict[str, dict[str, dict[str, float]]] = {}
    for family, stage in dict.fromkeys((e.family, e.stage) for e in entries):
        runs = [e.per_picture for e in entries if (e.family, e.stage) == (family, stage)]
        groups.setdefault(family, {})[stage] = averaged(runs)
    found = []
    for family, stages in groups.items():
        for (name, before), (later, after) in pairwise(stages.items()):
            found.append(_difference(f"{family} / {name}", before, f"{family} / {later}", after))
    many = len({entry.stage for entry in entries}) > 1
    names = {
        family: f"{family} / {list(stages)[-1]}" if many else family
        for family, stages in groups.items()
    }
    last = {name: list(groups[family].values())[-1] for family, name in names.items()}
    named = [(names[a], names[b]) for a, b in pairs if a in names and b in names]
    if len(named) < len(pairs):
        logger.warning("%d of the report's pairs are not compared", len(pairs) - len(named))
    found += [_difference(a, last[a], b, last[b]) for a, b in (named if pairs else _pairs(last))]
    return [difference for difference in found if difference is not None]


def _pairs(last: dict[str, dict[str, float]]) -> Iterable[tuple[str, str]]:
    if len(last) <= ALL_PAIRS:
        return combinations(last, 2)
    best = max(last, key=lambda name: np.mean(list(last[name].values()) or [-np.inf]))
    neighbours = list(pairwise(last))
    beside = {name for pair in neighbours if best in pair for name in pair}
    return neighbours + [(name, best) for name in last if name not in beside]


def averaged(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """Each picture's mean over several runs, of the pictures that all of them have."""
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
