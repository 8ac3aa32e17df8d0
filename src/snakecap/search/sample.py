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


def search(
    step: Step, state: State, decoding: Decoding, pictures: int, constraints: Constraints
) -> list[list[Hypothesis]]:
    """`sample` as the settings say."""
    return sample(
        step,
        state,
        max_length=decoding.max_length,
        temperature=decoding.temperature,
        top_k=decoding.top_k,
        top_p=decoding.top_p,
        n=decoding.n_best,
        generator=torch.Generator(device_of(state)).manual_seed(decoding.seed),
        pictures=pictures,
        constraints=constraints,
    )


@torch.no_grad()
def sample(
    step: Step,
    state: State,
    *,
    pictures: int,
    max_length: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    n: int = 1,
    generator: torch.Generator | None = None,
    constraints: Constraints = NONE,
) -> list[list[Hypothesis]]:
    """Draw captions; their log-probabilities are the model's own, whatever the temperature.

    Args:
        max_length: words; a caption that gets there is cut, without END.
        temperature: logits are divided by it; towards 0 this is greedy search.
        top_k: only the k likeliest words; 0: all.
        top_p: only the likeliest words that together reach this probability, after `top_k`.
        n: captions of each picture, which may be equal.
        generator: of the random numbers, on the state's device.
        constraints: come before all these.

    Returns:
        For each picture, `n` captions as drawn, not sorted.

    Raises:
        ValueError: an argument is out of range, or the model gave NaN.
    """
    if not (temperature > 0 and 0 < top_p <= 1 and top_k >= 0 and n >= 1):
        raise ValueError(
            f"temperature {temperature} must be > 0, top_p {top_p} in (0, 1], "
            f"top_k {top_k} >= 0 and n {n} >= 1"
        )

    def choose(logits: Tensor) -> Tensor:
        return _draw(_weights(widen(logits) / temperature, top_k, top_p), generator)

    said, log_probs = unroll(
        step,
        state,
        choose,
        pictures=pictures,
        copies=n,
        max_length=max_length,
        constraints=constraints,
    )
    return hypotheses(said, log_probs)


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
