"""The likeliest word at every step: beam search of width 1.

NeuralTalk2's `sample` with sample_max=1, which did not stop at END; here a caption does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snakecap.config.settings import Decoding
from snakecap.search.hypothesis import END, IMPOSSIBLE, NONE, Constraints, Hypothesis, State, Step
from snakecap.search.unroll import hypotheses, unroll

# Of the options of `decoding` that not all methods read.
READS = ()


@torch.no_grad()
def search(
    step: Step, state: State, decoding: Decoding, pictures: int, constraints: Constraints = NONE
) -> list[list[Hypothesis]]:
    """One caption for each picture.

    Where the constraints leave nothing to say, it ends with a log-probability of -inf.
    """
    found = unroll(
        step,
        state,
        likeliest,
        pictures=pictures,
        copies=1,
        max_length=decoding.max_length,
        constraints=constraints,
    )
    return hypotheses(*found)


def likeliest(logits: Tensor) -> Tensor:
    """The word of each row of logits (R, V + 1), of shape (R,)."""
    values, words = logits.max(1)
    return words.masked_fill_(values == IMPOSSIBLE, END)
