"""What a search knows of the words: above all, what a caption may not say.

Forbidden words get no probability; the others keep theirs, so that a caption's log-probability
is still the model's.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from snakecap.search.hypothesis import IMPOSSIBLE


@dataclass(frozen=True, eq=False)
class Constraints:
    """Rules for every next word. END is always allowed, unless it is in `suppress`.

    Attributes:
        suppress: ids that are never said, such as UNK's.
        no_repeat_ngram: no sequence of this many words occurs twice; 0: no such rule.
        no_repeat_words: words that are said at most once, bool of shape (V + 1,), by id.
        rarity: how rare each word is, of shape (V + 1,), by id, for a search that compares
            captions; None: all words are alike.
    """

    suppress: tuple[int, ...] = ()
    no_repeat_ngram: int = 0
    no_repeat_words: Tensor | None = None
    rarity: Tensor | None = None

    def __post_init__(self) -> None:
        if self.no_repeat_ngram < 0:
            raise ValueError(f"no_repeat_ngram is {self.no_repeat_ngram}; it cannot be negative")

    def apply(self, logits: Tensor, history: Tensor) -> None:
        """Set the logits of forbidden words to -inf, in place.

        Args:
            logits: of shape (R, V + 1).
            history: the words said so far, ids 1..V, int64 of shape (R, t).
        """
        if self.suppress:
            logits[:, list(self.suppress)] = IMPOSSIBLE
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
