"""One word after another, chosen at once and for good: what greedy and sampling share.

Dimensions: P pictures, K captions of each, T words of the longest, R rows of logits, V words.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from snakecap.search.hypothesis import (
    END,
    Constraints,
    Hypothesis,
    State,
    Step,
    device_of,
    normaliser,
    refuse_nan,
    select,
)

Choose = Callable[[Tensor], Tensor]


def unroll(
    step: Step,
    state: State,
    choose: Choose,
    *,
    pictures: int,
    copies: int,
    max_length: int,
    constraints: Constraints,
) -> tuple[Tensor, Tensor]:
    """Say a caption for each copy of each picture.

    Captions that have ended leave the batch: a picture with its last one, and otherwise as many of
    each picture as leave all pictures equally many.

    Args:
        choose: picks a word of each row of logits (R, V + 1): int64 (R,); END if all are -inf.
        max_length: T, words; a caption that gets there is cut, without END.

    Returns:
        The words, of shape (P, K, T), 0 behind the last; and the captions' log-probabilities,
        float64 of shape (P, K), END included; gradients flow through them where asked for.
    """
    device = device_of(state)
    said = torch.zeros((pictures, copies, max_length), dtype=torch.long, device=device)
    log_probs = torch.zeros((pictures, copies), dtype=torch.float64, device=device)
    active = torch.arange(pictures, device=device)
    state = select(state, active.repeat_interleave(copies))
    owner = active.unsqueeze(1).expand(-1, copies)  # the caption of each row: its picture, and
    copy = torch.arange(copies, device=device).expand(pictures, -1)  # which of the picture's
    words = torch.zeros_like(owner)
    open_ = words == END
    for t in range(max_length if pictures else 0):
        logits, state = step(words.flatten(), state, active)
        total = normaliser(logits)
        if logits.requires_grad:  # what forbids words writes into them
            logits = logits.clone()
        constraints.apply(logits, said[owner, copy, :t].flatten(0, 1))
        chosen = choose(logits)
        gained = logits.gather(1, chosen.unsqueeze(1)).squeeze(1) - total
        words = chosen.view(owner.shape).masked_fill(~open_, END)
        log_probs[owner, copy] += gained.view(owner.shape).masked_fill(~open_, 0.0)
        said[owner, copy, t] = words
        open_ &= words != END
        live = open_.sum(1).cpu()  # the step's one wait for the device
        most = int(live.max())
        if most == 0:
            break
        if most < owner.shape[1] or not live.all():
            kept = live.nonzero().to(device)
            order = open_[kept[:, 0]].byte().argsort(dim=1, descending=True, stable=True)
            places = order[:, :most]
            state = select(state, (kept * owner.shape[1] + places).flatten())
            active = active[kept[:, 0]]
            owner, copy, words, open_ = (part[kept, places] for part in (owner, copy, words, open_))
    return said, log_probs


def hypotheses(said: Tensor, log_probs: Tensor) -> list[list[Hypothesis]]:
    """What `unroll` gave, for each picture its captions in the order of the copies."""
    refuse_nan(log_probs, torch.arange(len(log_probs)))
    return [
        [_hypothesis(*pair) for pair in zip(captions, values, strict=True)]
        for captions, values in zip(said.tolist(), log_probs.tolist(), strict=True)
    ]


def _hypothesis(said: list[int], log_prob: float) -> Hypothesis:
    length = said.index(END) if END in said else len(said)
    return Hypothesis(tuple(said[:length]), log_prob, log_prob)
