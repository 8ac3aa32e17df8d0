"""Captions drawn at random from the model.

NeuralTalk2's `sample` with sample_max=0, with top-k (Fan et al. 2018) and nucleus sampling
(Holtzman et al. 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor

from snakecap.config.settings import Decoding
from snakecap.search.hypothesis import (
    END,
    IMPOSSIBLE,
    NONE,
    Constraints,
    Hypothesis,
    State,
    Step,
    device_of,
    widen,
)
from snakecap.search.unroll import hypotheses, unroll

# Of the options of `decoding` that not all methods read.
READS = ("temperature", "top_k", "top_p", "n_best", "batch_size")


@torch.no_grad()
def search(
    step: Step, state: State, decoding: Decoding, pictures: int, constraints: Constraints = NONE
) -> list[list[Hypothesis]]:
    """`n_best` captions of each picture as drawn: not sorted, and some may be equal.

    What may not be said goes first, then all but the `top_k` likeliest words, then those outside
    `top_p`. The log-probabilities are the model's own, whatever the temperature.
    """
    generator = torch.Generator(device_of(state)).manual_seed(decoding.seed)

    def choose(logits: Tensor) -> Tensor:
        tempered = widen(logits) / decoding.temperature
        return _draw(_weights(tempered, decoding.top_k, decoding.top_p), generator)

    found = unroll(
        step,
        state,
        choose,
        pictures=pictures,
        copies=decoding.n_best,
        max_length=decoding.max_length,
        constraints=constraints,
    )
    return hypotheses(*found)


def by_chance(logits: Tensor) -> Tensor:
    """A word of each row of logits (R, V + 1) by its probability, of shape (R,)."""
    return _draw(_weights(widen(logits.detach()), 0, 1.0), None)


def _draw(weights: Tensor, generator: torch.Generator | None) -> Tensor:
    """A word of each row by its weight, of shape (R,).

    By one random number a row and the running sums: ``torch.multinomial`` takes a random number for
    every word, and eight times as long. In double precision, as a word may be very rare.
    """
    sums = weights.cumsum(1, dtype=torch.float64)
    chance = torch.rand(len(sums), 1, generator=generator, device=sums.device, dtype=sums.dtype)
    word = torch.searchsorted(sums, chance * sums[:, -1:], right=True)
    # Never beyond the last word that has a weight, should the product be rounded up to the sum.
    return word.minimum(torch.searchsorted(sums, sums[:, -1:].contiguous())).squeeze(1)


def _weights(logits: Tensor, top_k: int, top_p: float) -> Tensor:
    """Probabilities to draw from, of shape (R, V + 1), up to a factor for each row."""
    if 0 < top_k < logits.shape[1]:
        least = logits.topk(top_k, dim=1).values[:, -1:]
        logits = logits.masked_fill(logits < least, IMPOSSIBLE)
    weights = logits.softmax(1)
    if top_p < 1:
        ordered, words = weights.sort(dim=1, descending=True)
        # The word that crosses top_p stays: what counts is the probability before it.
        outside = ordered.cumsum(1) - ordered >= top_p
        weights = weights.masked_fill(outside.gather(1, words.argsort(1)), 0.0)
    # Nothing may be said (or the logits are NaN, which is reported later): END.
    dead = weights[:, :1].isnan()
    weights = weights.masked_fill(dead, 0.0)
    weights[:, END] += dead.squeeze(1)
    return weights
