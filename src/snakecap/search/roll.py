"""One word after another, chosen at once and for good: what greedy and sampling share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from snakecap.search.constraints import Constraints
from snakecap.search.hypothesis import (
    END,
    Hypothesis,
    State,
    Step,
    device_of,
    normaliser,
    refuse_nan,
    select,
    widen,
)

Choose = Callable[[Tensor], Tensor]


@torch.no_grad()
def roll(
    step: Step,
    state: State,
    choose: Choose,
    *,
    pictures: int,
    copies: int,
    max_length: int,
    constraints: Constraints,
) -> list[list[Hypothesis]]:
    """Say a caption for each copy of each picture.

    A picture leaves the batch when all its copies have ended; what a copy that ended earlier says
    until then does not count.

    Args:
        step: one step of the model; see `snakecap.search.hypothesis`.
        state: the model's state, a row for each picture.
        choose: picks a word of each row of logits (R, V + 1): int64 (R,); END if all are -inf.
        pictures: P.
        copies: captions of each picture.
        max_length: words; a caption that gets there is cut, without END.
        constraints: what may not be said.

    Returns:
        For each picture, its captions in the order of the copies.
    """
    device = device_of(state)
    words = torch.zeros(pictures * copies, dtype=torch.long, device=device)
    said = words.new_zeros((pictures, copies, max_length))
    log_probs = torch.zeros((pictures, copies), dtype=torch.float64, device=device)
    active = torch.arange(pictures, device=device)
    state = select(state, active.repeat_interleave(copies))
    open_ = torch.ones((pictures, copies), dtype=torch.bool, device=device)
    for t in range(max_length if pictures else 0):
        logits, state = step(words, state, active)
        logits = widen(logits)
        total = normaliser(logits)
        constraints.apply(logits, said[active, :, :t].flatten(0, 1))
        words = choose(logits)
        gained = logits.gather(1, words.unsqueeze(1)).squeeze(1) - total
        log_probs[active] += gained.view(open_.shape).masked_fill(~open_, 0.0)
        said[active, :, t] = words.view(open_.shape)
        open_ &= words.view(open_.shape) != END
        kept = open_.any(1).nonzero().squeeze(1)  # the step's one wait for the device
        if len(kept) == 0:
            break
        if len(kept) < len(active):
            beams = torch.arange(copies, device=device)
            state = select(state, (kept.unsqueeze(1) * copies + beams).flatten())
            words = words.view(-1, copies)[kept].flatten()
            active, open_ = active[kept], open_[kept]
    refuse_nan(log_probs, torch.arange(pictures))
    return [
        [_hypothesis(*pair) for pair in zip(captions, values, strict=True)]
        for captions, values in zip(said.tolist(), log_probs.tolist(), strict=True)
    ]


def _hypothesis(said: list[int], log_prob: float) -> Hypothesis:
    length = said.index(END) if END in said else len(said)
    return Hypothesis(tuple(said[:length]), log_prob, log_prob)
