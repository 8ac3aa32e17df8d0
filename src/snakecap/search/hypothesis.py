"""What a search gives, what it needs from a model, and what it may not say.

A model that captions is one function, ``step(words, state, active) -> (logits, state)``, over
rows that are the pictures still searched, each with its W beams side by side (picture-major):

- ``words``: the words just said, int64 of shape (P * W,); START, which is 0, at first;
- ``state``: tensors whose first dimension is P * W;
- ``active``: indices of the P pictures, increasing, int64 of shape (P,), for a model that looks
  at its pictures again. W changes between calls: it is ``len(words) // len(active)``;
- ``logits``: unnormalised log-probabilities of the next word, of shape (P * W, V + 1), in which
  column 0 is END. -inf is allowed. The search may overwrite them.

A search, ``search(step, state, decoding, pictures, constraints)``, gives each picture's captions,
the best first. Its `state` has one row for each picture: W is 1 at the first step. It raises a
ValueError where the model gives NaN.
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
    """A caption that a search found; one that was cut at the longest length has no END."""

    words: tuple[int, ...]  # ids 1..V, without END
    log_prob: float  # natural logarithm of its probability, END included
    score: float  # what the search maximised


@dataclass(frozen=True, eq=False)
class Constraints:
    """What a search knows of the words. END is always allowed, but for what is said of it here.

    Forbidden words get no probability; the others keep theirs, so that a caption's log-probability
    is still the model's.
    """

    suppress: tuple[int, ...] = ()  # ids that are never said, such as UNK's
    no_repeat_ngram: int = 0  # no sequence of this many words occurs twice; 0: no such rule
    no_repeat_words: Tensor | None = None  # which are said at most once, bool (V + 1,)
    min_length: int = 0  # words before END
    bad_endings: Tensor | None = None  # words that END may not follow, bool (V + 1,)
    rarity: Tensor | None = None  # how rare each word is, (V + 1,); None: all are alike

    def __post_init__(self) -> None:
        if self.no_repeat_ngram < 0:
            raise ValueError(f"no_repeat_ngram is {self.no_repeat_ngram}; it cannot be negative")

    def apply(self, logits: Tensor, history: Tensor) -> None:
        """Set logits (R, V + 1) of forbidden words to -inf, in place, after a history (R, t)."""
        if self.suppress:
            logits[:, list(self.suppress)] = IMPOSSIBLE
        if history.shape[1] < self.min_length:
            logits[:, END] = IMPOSSIBLE
        if self.bad_endings is not None and history.shape[1]:
            bad = self.bad_endings.to(history.device)[history[:, -1]]
            logits[:, END].masked_fill_(bad, IMPOSSIBLE)
        if self.no_repeat_words is not None and history.shape[1]:
            _forbid(logits, history, self.no_repeat_words.to(history.device)[history])
        if self.no_repeat_ngram and history.shape[1] >= self.no_repeat_ngram:
            _forbid(logits, *_ends_of_repeats(history, self.no_repeat_ngram))


def _ends_of_repeats(history: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Each n-gram's last word, and whether its first n - 1 words were just said again."""
    steps = history.shape[1]
    suffix = history[:, steps - n + 1 :].unsqueeze(1)
    ngrams = history.unfold(1, n, 1)
    return ngrams[:, :, -1], (ngrams[:, :, :-1] == suffix).all(2)


def _forbid(logits: Tensor, words: Tensor, wrong: Tensor) -> None:
    """Set ``logits[r, words[r, i]]`` to -inf where ``wrong[r, i]``; words may repeat."""
    values = logits.gather(1, words).masked_fill_(wrong, IMPOSSIBLE)
    logits.scatter_reduce_(1, words, values, "amin")


NONE = Constraints()


def device_of(state: State) -> torch.device:
    """The CPU for a model without state."""
    return state[0].device if state else torch.device("cpu")


def select(state: State, rows: Tensor) -> State:
    """Rows of a state."""
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
    """Raise a ValueError that names the picture, where a score (P, ...) is NaN."""
    wrong = scores.isnan().flatten(1).any(1)
    if bool(wrong.any()):
        row = int(pictures[wrong.nonzero()[0, 0]])
        raise ValueError(f"the model gave NaN for picture {row}: its weights or input are broken")
