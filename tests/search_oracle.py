"""A small random language model, slow searches to compare with, and ours by keywords."""

from __future__ import annotations

import math
from itertools import product

import torch

from snakecap.config.settings import Decoding
from snakecap.search import beam as beams
from snakecap.search import greedy as likeliest
from snakecap.search import sample as samples
from snakecap.search.hypothesis import NONE

END = 0


def beam(step, state, *, pictures, width=2, constraints=NONE, **options):
    return beams.search(step, state, Decoding(beam_width=width, **options), pictures, constraints)


def greedy(step, state, *, pictures, constraints=NONE, **options):
    return likeliest.search(step, state, Decoding(**options), pictures, constraints)


def sample(step, state, *, pictures, n=1, constraints=NONE, **options):
    return samples.search(step, state, Decoding(n_best=n, **options), pictures, constraints)


class RandomModel:
    """Logits that depend on the picture and on the whole history, through the state."""

    def __init__(self, *, pictures, words, seed, holes=0.0, end_bias=0.0, width=6):
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape):
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.pictures, self.words = pictures, words
        self.start = normal(pictures, width)
        self.embedding = normal(words + 1, width) * 2
        self.recurrent = normal(width, width)
        self.output = normal(width, words + 1) * 1.5
        self.look = normal(pictures, words + 1)
        self.forbidden = torch.rand(words + 1, words + 1, generator=generator) < holes
        self.forbidden[:, END] = False
        self.end_bias = end_bias
        self.rows = []

    def state(self):
        return (self.start.clone(), torch.arange(self.pictures))

    def step(self, words, state, active):
        beams = len(words) // len(active)
        owners = active.repeat_interleave(beams)
        assert torch.equal(state[1], owners), "the state and `active` disagree"
        self.rows.append(len(words))
        hidden = torch.tanh(state[0] @ self.recurrent + self.embedding[words])
        logits = hidden @ self.output + self.look[owners]
        logits[:, END] += self.end_bias
        return logits.masked_fill(self.forbidden[words], -math.inf), (hidden, owners)

    def log_probs(self, picture, history):
        """Log-probabilities of the word after `history`, by the definition."""
        hidden = self.start[picture]
        for word in (END, *history):
            hidden = torch.tanh(hidden @ self.recurrent + self.embedding[word])
        logits = hidden @ self.output + self.look[picture]
        logits[END] += self.end_bias
        last = history[-1] if history else END
        return logits.masked_fill(self.forbidden[last], -math.inf).log_softmax(0).tolist()

    def log_prob(self, picture, caption, max_length):
        """Log-probability of a caption, END included unless it is cut."""
        ended = caption if len(caption) == max_length else (*caption, END)
        return sum(self.log_probs(picture, caption[:t])[word] for t, word in enumerate(ended))


def all_captions(model, picture, max_length, power=0.0):
    """Every caption and its score, the best first."""
    found = [
        (model.log_prob(picture, caption, max_length) / (length + 1) ** power, caption)
        for length in range(max_length + 1)
        for caption in product(range(1, model.words + 1), repeat=length)
    ]
    return sorted((pair for pair in found if pair[0] > -math.inf), reverse=True)


def slow_beam(model, picture, width, max_length, n_best=1, power=0.0):
    """NeuralTalk2's sample_beam word by word, but a finished caption leaves the beam.

    It never stops early.
    """
    live = [(0.0, ())]
    done = []
    for _ in range(max_length):
        candidates = [
            (total + gain, (*caption, word))
            for total, caption in live
            for word, gain in enumerate(model.log_probs(picture, caption))
        ]
        candidates = sorted((c for c in candidates if c[0] > -math.inf), reverse=True)
        done += [(total, words[:-1]) for total, words in candidates[:width] if words[-1] == END]
        live = [c for c in candidates if c[1][-1] != END][:width]
    done += live
    scored = [(total / (len(words) + 1) ** power, words) for total, words in done]
    return sorted(scored, reverse=True)[:n_best]
