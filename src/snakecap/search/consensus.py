"""The caption that most agrees with what else the model would say: minimum Bayes risk decoding.

The likeliest captions of a beam are often the blandest. This search draws captions from the model,
the voters, and takes the caption of the beam that is the most similar to them on average: that of
the greatest expected similarity (Kumar and Byrne, "Minimum Bayes-Risk Decoding for Statistical
Machine Translation", HLT-NAACL 2004; by samples: Eikema and Aziz, COLING 2020).

Similar is nearly what CIDEr calls similar: the cosine of weighted counts of n-grams, mean over 1-
to 4-grams, times a Gaussian of the difference in length. CIDEr weights an n-gram by how few
pictures it belongs to, which a model does not know; here the rarity of its rarest word does.

Dimensions: C candidates, S voters, T and T' their words.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from snakecap.config.settings import Decoding
from snakecap.search import beam, sample
from snakecap.search.hypothesis import Constraints, Hypothesis, State, Step

ORDERS = 4
SIGMA = 6.0  # words, as CIDEr
# Of the options of `decoding` that not all methods read.
READS = (
    "beam_width",
    "length_normalisation",
    "n_best",
    "temperature",
    "top_k",
    "top_p",
    "voters",
    "batch_size",
)


def search(
    step: Step, state: State, decoding: Decoding, pictures: int, constraints: Constraints
) -> list[list[Hypothesis]]:
    """The `n_best` of a beam's captions that agree most with `voters` samples.

    Their score is the mean similarity, from 0 to 1; their log-probability is the model's.
    """
    width = max(decoding.beam_width, decoding.n_best)
    candidates = decoding.model_copy(update={"n_best": width})
    voters = decoding.model_copy(update={"n_best": decoding.voters})
    found = beam.search(step, state, candidates, pictures, constraints)
    drawn = sample.search(step, state, voters, pictures, constraints)
    return [
        agreed(*each, constraints.rarity)[: decoding.n_best]
        for each in zip(found, drawn, strict=True)
    ]


def agreed(
    candidates: list[Hypothesis], voters: list[Hypothesis], rarity: Tensor | None = None
) -> list[Hypothesis]:
    """The candidates with their mean similarity to the voters as score, the best first.

    Args:
        candidates: equal ones keep their order.
        voters: at least one.
        rarity: weight of each word by id, of shape (V + 1,); None: all are alike.
    """
    votes = similarity(_padded(candidates), _padded(voters), rarity).mean(1)
    return [
        Hypothesis(candidates[place].words, candidates[place].log_prob, float(votes[place]))
        for place in votes.argsort(descending=True, stable=True).tolist()
    ]


def similarity(candidates: Tensor, voters: Tensor, rarity: Tensor | None = None) -> Tensor:
    """How similar each candidate (C, T) is to each voter (S, T'), from 0 to 1, of shape (C, S).

    Captions are ids, 0-padded on the right.
    """
    between = _products(candidates.unsqueeze(1), voters.unsqueeze(0), rarity)
    ours, theirs = (_products(each, each, rarity) for each in (candidates, voters))
    total = torch.zeros(len(candidates), len(voters), dtype=torch.float64)
    for product, own, their in zip(between, ours, theirs, strict=True):
        norm = (own.unsqueeze(1) * their.unsqueeze(0)).sqrt()
        total += torch.where(norm > 0, product / norm, 0.0)
    lengths = [(captions > 0).sum(1).double() for captions in (candidates, voters)]
    difference = lengths[0].unsqueeze(1) - lengths[1].unsqueeze(0)
    return total / ORDERS * (-(difference**2) / (2 * SIGMA**2)).exp()


def _products(one: Tensor, other: Tensor, rarity: Tensor | None) -> Iterator[Tensor]:
    """Dot products of captions' (..., T) and (..., T') weighted counts of 1-, 2-, 3- and 4-grams.

    The counts are never made: their product is how often an n-gram of one is one of the other.
    """
    same = (one.unsqueeze(-1) == other.unsqueeze(-2)) & (one > 0).unsqueeze(-1)
    rare = torch.ones(one.shape, dtype=torch.float64) if rarity is None else rarity[one].double()
    matching, weight = same, rare
    for order in range(ORDERS):
        if order:
            matching = matching[..., :-1, :-1] & same[..., order:, order:]
            weight = torch.maximum(weight[..., :-1], rare[..., order:])
        yield (matching.sum(-1) * weight**2).sum(-1)


def _padded(captions: list[Hypothesis]) -> Tensor:
    return pad_sequence([torch.tensor(c.words, dtype=torch.long) for c in captions], True)
