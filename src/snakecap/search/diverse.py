"""Diverse beam search: groups of beams, each turned away from what the groups before it say.

Vijayakumar et al., "Diverse Beam Search: Decoding Diverse Solutions from Neural Sequence Models",
2016, eq. 4 and 5, with their Hamming diversity: a word loses `diversity` for each beam of an
earlier group that says it at the same step. That decides which captions go on; their scores are the
model's own, and they compete with their group's alone.

Dimensions: P pictures still searched, G groups of each, W beams of a group, V words, t words said.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snakecap.config.settings import Decoding
from snakecap.search.beam import Finished, extend
from snakecap.search.hypothesis import (
    NONE,
    Constraints,
    Hypothesis,
    State,
    Step,
    device_of,
    select,
    widen,
)

# Of the options of `decoding` that not all methods read.
READS = ("beam_width", "diversity", "groups", "length_normalisation", "n_best")


@torch.no_grad()
def search(
    step: Step, state: State, decoding: Decoding, pictures: int, constraints: Constraints = NONE
) -> list[list[Hypothesis]]:
    """The `n_best` different captions that `groups` of `beam_width` / `groups` beams find, at most.

    Each group gives its share; the best of all comes first.
    """
    groups, longest, power = decoding.groups, decoding.max_length, decoding.length_normalisation
    share = -(-decoding.n_best // groups)
    width = max(decoding.beam_width // groups, share)
    device = device_of(state)
    active = torch.arange(pictures, device=device)
    done = Finished(pictures * groups, share, longest, device)
    total = torch.zeros((pictures, groups, 1), device=device)
    said = active.new_zeros((pictures, groups, 1, 0))
    for t in range(longest if pictures else 0):
        words = said[..., -1].flatten() if t else torch.zeros_like(active)
        logits, state = step(words, state, active)
        # All groups go on from one row at first.
        logits = logits.view(len(active), groups if t else 1, -1, logits.shape[1])
        beams = logits.shape[2] if t else 0
        logits = logits.expand(-1, groups, -1, -1)
        ends, total, parents, words = _extend(
            logits, total, said, width, constraints, decoding.diversity
        )
        rows = (active.unsqueeze(1) * groups + torch.arange(groups, device=device)).flatten()
        done.add(rows, ends.flatten(0, 1), said.flatten(0, 1), (t + 1) ** power)
        before = said.gather(2, parents.unsqueeze(3).expand(-1, -1, -1, t))
        said = torch.cat((before, words.unsqueeze(3)), 3)
        if t + 1 == longest:
            done.add(rows, total.flatten(0, 1), said.flatten(0, 1), (t + 2) ** power)
            break
        bound = total.amax(2).flatten() / (longest + 1) ** power
        kept = (bound > done.worst(rows)).view(-1, groups).any(1).nonzero().squeeze(1)
        if len(kept) == 0:
            break
        first = torch.arange(groups, device=device).unsqueeze(1) * beams
        first = kept.view(-1, 1, 1) * max(1, groups * beams) + first
        state = select(state, (first + parents[kept]).flatten())
        active, total, said = active[kept], total[kept], said[kept]
    found = done.hypotheses()
    return [
        _together(found[row : row + groups], decoding.n_best)
        for row in range(0, len(found), groups)
    ]


def _extend(
    logits: Tensor,
    total: Tensor,
    said: Tensor,
    width: int,
    constraints: Constraints,
    diversity: float,
) -> tuple[Tensor, ...]:
    """`beam.extend` of one group after the other; results of shape (P, G, ...)."""
    penalty = torch.zeros_like(widen(logits[:, 0, 0]))
    found = []
    for group in range(logits.shape[1]):
        rows = logits[:, group].clone().flatten(0, 1)
        found.append(extend(rows, total[:, group], said[:, group], width, constraints, penalty))
        words = found[-1][3]
        penalty.scatter_add_(1, words, torch.full_like(words, diversity, dtype=penalty.dtype))
    return tuple(torch.stack(one, 1) for one in zip(*found, strict=True))


def _together(groups: list[list[Hypothesis]], number: int) -> list[Hypothesis]:
    """The best captions of all groups, each once."""
    different = {one.words: one for group in groups for one in group}
    return sorted(different.values(), key=lambda one: -one.score)[:number]
