"""Several models as one: each word's probability is the mean of theirs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from snakecap.search.hypothesis import State, Step, widen


def joined(steps: Sequence[Step], states: Sequence[State]) -> tuple[Step, State]:
    """One step function of several models that know the same words, and its state.

    Its logits are the logarithms of the mean probabilities; searches need know nothing of it.
    """
    spans = list(pairwise(accumulate((len(state) for state in states), initial=0)))

    def step(words: Tensor, state: State, active: Tensor) -> tuple[Tensor, State]:
        said, after = [], list[Tensor]()
        for one, (first, end) in zip(steps, spans, strict=True):
            logits, own = one(words, state[first:end], active)
            said.append(widen(logits).log_softmax(1))
            after += own
        return torch.logsumexp(torch.stack(said), 0) - math.log(len(said)), tuple(after)

    return step, tuple(tensor for state in states for tensor in state)
