"""What a search gives, and what it needs from a model.

A model that captions is one function, ``step(words, state, active) -> (logits, state)``, over
rows that are the pictures still searched, each with its W beams side by side (picture-major):

- ``words``: the words just said, int64 of shape (P * W,); START, which is 0, at first;
- ``state``: tensors whose first dimension is P * W;
- ``active``: indices of the P pictures, increasing, int64 of shape (P,), for a model that looks
  at its pictures again. W changes between calls: it is ``len(words) // len(active)``;
- ``logits``: unnormalised log-probabilities of the next word, of shape (P * W, V + 1), in which
  column 0 is END. -inf is allowed. The search may overwrite them.

The state given to a search has one row for each picture: W is 1 at the first step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State, Tensor], tuple[Tensor, State]]
END = 0
IMPOSSIBLE = float("-inf")


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A caption that a search found.

    Attributes:
        words: ids 1..V, without END.
        log_prob: natural logarithm of its probability, END included; a caption cut at the longest
            length has no END.
        score: what the search maximised: `log_prob`, or its length-normalised form.
    """

    words: tuple[int, ...]
    log_prob: float
    score: float


def device_of(state: State) -> torch.device:
    """Where a state is."""
    return state[0].device if state else torch.device("cpu")


def select(state: State, rows: Tensor) -> State:
    """Some rows of a state, in that order."""
    return tuple(tensor.index_select(0, rows) for tensor in state)


def widen(logits: Tensor) -> Tensor:
    """Half precision to single; others as they are."""
    return logits if logits.dtype in (torch.float32, torch.float64) else logits.float()


def normaliser(logits: Tensor) -> Tensor:
    """Log of the sum of the exponentials of each row, of shape (R,); 0 where all are -inf.

    Half the time of ``torch.logsumexp``: a row's largest probability is 1 / sum(exp(x - max)).
    Some rows at a time stay in the CPU's cache, and so does their single precision.
    """
    largest, likeliest = [], []
    for part in torch.split(logits, 32 if logits.device.type == "cpu" else len(logits) or 1):
        wide = widen(part)
        largest.append(wide.amax(1))
        likeliest.append(wide.softmax(1).amax(1))
    peaks = torch.cat(largest)
    return (peaks - torch.cat(likeliest).log()).masked_fill_(peaks == IMPOSSIBLE, 0.0)


def refuse_nan(scores: Tensor, pictures: Tensor) -> None:
    """Check the scores of pictures, of shape (P, ...).

    Raises:
        ValueError: a score is NaN; names the picture.
    """
    wrong = scores.isnan().flatten(1).any(1)
    if bool(wrong.any()):
        row = int(pictures[wrong.nonzero()[0, 0]])
        raise ValueError(f"the model gave NaN for picture {row}: its weights or input are broken")
