"""Beam search, batched over pictures.

NeuralTalk2's `sample_beam`, with one change: there a finished caption stayed in the beam, went on
from END and took a slot from others; here it leaves, and W captions always stay live. A caption
is finished when its END is among the W best continuations of its picture.

Dimensions: P pictures still searched, W beams of each (fewer at the first steps), V words, t words
said, G groups of a row of logits.
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
    normaliser,
    refuse_nan,
    select,
    widen,
)

# Of the options of `decoding` that not all methods read.
READS = ("beam_width", "length_normalisation", "n_best")
STRIPS = 16  # values in a group; 8 to 32 measure alike


@torch.no_grad()
def search(
    step: Step, state: State, decoding: Decoding, pictures: int, constraints: Constraints = NONE
) -> list[list[Hypothesis]]:
    """The `n_best` captions of each picture that a beam of `beam_width` finds, at most.

    A picture is done when no live caption can still beat its `n_best` finished ones: more words
    only lower a log-probability, and no caption is longer than `max_length`, where one is finished
    without END. Where the constraints leave nothing to say, there is one empty caption with a
    log-probability of -inf.
    """
    width, longest = max(decoding.beam_width, decoding.n_best), decoding.max_length
    power = decoding.length_normalisation
    device = device_of(state)
    active = torch.arange(pictures, device=device)
    total = torch.zeros((pictures, 1), device=device)
    said = active.new_zeros((pictures, 1, 0))
    done = Finished(pictures, decoding.n_best, longest, device)
    for t in range(longest if pictures else 0):
        words = said[:, :, -1].flatten() if t else torch.zeros_like(active)
        logits, state = step(words, state, active)
        ends, total, parents, words = extend(logits, total, said, width, constraints)
        done.add(active, ends, said, (t + 1) ** power)
        said = torch.cat((_of(said, parents), words.unsqueeze(2)), 2)
        if t + 1 == longest:
            done.add(active, total, said, (t + 2) ** power)
            break
        bound = total[:, 0] / (longest + 1) ** power
        kept = (bound > done.worst(active)).nonzero().squeeze(1)  # the one wait for the device
        if len(kept) == 0:
            break
        rows = (kept.unsqueeze(1) * ends.shape[1] + parents[kept]).flatten()
        state = select(state, rows)
        active, total, said = active[kept], total[kept], said[kept]
    return done.hypotheses()


def extend(
    logits: Tensor,
    total: Tensor,
    said: Tensor,
    width: int,
    constraints: Constraints,
    penalty: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One step of every picture, of live captions' log-probabilities (P, W) and words (P, W, t).

    Args:
        penalty: of each next word, of shape (P, V + 1); it decides which captions go on, and is
            in no log-probability.

    Returns:
        Log-probability of each caption if it ends here, of shape (P, W), -inf where that is not
        among the picture's `width` best continuations; then of shape (P, W'), W' <= `width`, of
        the best captions that go on, the best first: log-probability, which beam it continues,
        its new word.
    """
    pictures, beams = total.shape
    offsets = total.flatten() - normaliser(logits)
    constraints.apply(logits, said.flatten(0, 1))
    if penalty is not None:
        logits = widen(logits) - penalty.repeat_interleave(beams, 0)
    ends = (logits[:, END] + offsets).view(pictures, beams)
    scores, places = best(logits[:, 1:], offsets, pictures, width)
    better = (scores.unsqueeze(1) > ends.unsqueeze(2)).sum(2)
    better += (ends.unsqueeze(1) > ends.unsqueeze(2)).sum(2)
    size = logits.shape[1] - 1
    ends = ends.masked_fill(better >= width, IMPOSSIBLE)
    words = places % size + 1
    if penalty is not None:
        scores = scores + penalty.gather(1, words)
    return ends, scores, places // size, words


def _of(said: Tensor, parents: Tensor) -> Tensor:
    """The words of some captions of each picture: (P, W, t) by (P, W') to (P, W', t)."""
    return said.gather(1, parents.unsqueeze(2).expand(-1, -1, said.shape[2]))


class Finished:
    """The best finished captions of every picture, the best first."""

    def __init__(self, pictures: int, number: int, max_length: int, device: torch.device):
        shape = (pictures, number)
        self.scores = torch.full(shape, IMPOSSIBLE, dtype=torch.float64, device=device)
        self.log_probs = self.scores.clone()
        self.words = torch.zeros((*shape, max_length), dtype=torch.long, device=device)

    def worst(self, active: Tensor) -> Tensor:
        """The score to beat, of shape (P,); -inf while there is room."""
        return self.scores[active, -1]

    def add(self, active: Tensor, log_probs: Tensor, said: Tensor, divisor: float) -> None:
        """Offer captions (P, W, t) of equal length; one whose log-probability is -inf is none."""
        log_probs = log_probs.double()
        scores = torch.cat((self.scores[active], log_probs / divisor), 1)
        scores, chosen = scores.topk(self.scores.shape[1], dim=1)
        said = torch.nn.functional.pad(said, (0, self.words.shape[2] - said.shape[2]))
        self.scores[active] = scores
        self.log_probs[active] = torch.cat((self.log_probs[active], log_probs), 1).gather(1, chosen)
        self.words[active] = _of(torch.cat((self.words[active], said), 1), chosen)

    def hypotheses(self) -> list[list[Hypothesis]]:
        refuse_nan(self.scores, torch.arange(len(self.scores)))
        rows = zip(self.words.tolist(), self.log_probs.tolist(), self.scores.tolist(), strict=True)
        return [_hypotheses(*row) for row in rows]


def _hypotheses(
    words: list[list[int]], log_probs: list[float], scores: list[float]
) -> list[Hypothesis]:
    found = [
        Hypothesis(tuple(word for word in caption if word), log_prob, score)
        for caption, log_prob, score in zip(words, log_probs, scores, strict=True)
        if score > IMPOSSIBLE
    ]
    return found or [Hypothesis((), IMPOSSIBLE, IMPOSSIBLE)]


def best(logits: Tensor, offsets: Tensor, pictures: int, number: int) -> tuple[Tensor, Tensor]:
    """The largest sums of a logit and its row's offset, over all rows of each picture.

    Whole vocabularies are not sorted, and the logits are read once: a row is cut into groups, and
    the `number` largest values lie in the `number` groups of largest maximum.

    Args:
        logits: of shape (P * W, V).
        offsets: of shape (P * W,).

    Returns:
        scores, decreasing, and places, beam * V + word, both of shape (P, number), or fewer
        where W * V is smaller.
    """
    rows, size = logits.shape
    beams = rows // pictures
    groups = -(-size // STRIPS)
    if beams * groups < number or size < STRIPS:
        sums = (logits + offsets.unsqueeze(1)).view(pictures, -1)
        scores, places = sums.topk(min(number, beams * size), dim=1)
        return scores, places
    peaks = (_group_maxima(logits, groups) + offsets.unsqueeze(1)).view(pictures, -1)
    chosen = peaks.topk(number, dim=1, sorted=False).indices
    beam = (chosen // groups).unsqueeze(2)
    # Group g of a row is its columns g, g + G, g + 2 G, ...
    column = (chosen % groups).unsqueeze(2) + groups * torch.arange(STRIPS, device=logits.device)
    row = beam + beams * torch.arange(pictures, device=logits.device).view(-1, 1, 1)
    outside = column >= size
    column.clamp_(max=size - 1)
    sums = (logits[row, column] + offsets[row]).masked_fill_(outside, IMPOSSIBLE)
    scores, at = sums.flatten(1).topk(number, dim=1)
    return scores, (beam * size + column).flatten(1).gather(1, at)


def _group_maxima(logits: Tensor, groups: int) -> Tensor:
    """The largest value of each group, of shape (R, G)."""
    strips, left = divmod(logits.shape[1], groups)
    whole = strips * groups
    peaks = torch.unflatten(logits[:, :whole], 1, (strips, groups)).amax(1)
    torch.maximum(peaks[:, :left], logits[:, whole:], out=peaks[:, :left])
    return peaks
