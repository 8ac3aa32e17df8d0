"""What decoders that look at regions share: additive attention, before each word or after it.

Source of additive attention: Bahdanau et al., "Neural Machine Translation by Jointly Learning to
Align and Translate", ICLR 2015, eq. 6 and A.1.2.

Dimensions: B captions, P pictures, N captions of a picture or words of a caption, T words, R
regions, V vocabulary, D width, H hidden, S attention.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snakecap.models.decoders.decoder import Decoder, State, Words
from snakecap.models.encoded import Encoded, Memory

if TYPE_CHECKING:
    from snakecap.models.decoders.lstm import LSTMDecoder


def regions_of(encoded: Encoded) -> Tensor:
    """The regions.

    Raises:
        ValueError: there are none.
    """
    if encoded.regions is None:
        raise ValueError("attention needs an encoder that gives regions, such as cnn_grid")
    return encoded.regions


def normalised(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Scores (P, ..., R) as weights; zeros where a picture has no regions at all."""
    if mask is None:
        return scores.softmax(-1)
    absent = ~mask.view(len(mask), *[1] * (scores.dim() - 2), -1)
    # Not -inf: a row without any region would be NaN, and so would all gradients.
    least = torch.finfo(scores.dtype).min
    return scores.masked_fill(absent, least).softmax(-1).masked_fill(absent, 0.0)


class AdditiveAttention(nn.Module):
    """Means of regions v, weighted by softmax_r(w . f(W v_r + U h + b)) for states h.

    Args:
        width: D.
        hidden_size: H.
        size: S.
        activation: f, in place.
    """

    def __init__(
        self, width: int, hidden_size: int, size: int, activation: Callable[[Tensor], Tensor]
    ):
        super().__init__()
        self.keys = nn.Linear(width, size)
        self.query = nn.Linear(hidden_size, size, bias=False)
        self.score = nn.Linear(size, 1, bias=False)
        self.activation = activation

    def forward(self, states: Tensor, keys: Tensor, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """States (P, N, H) to means (P, N, D) and weights (P, N, R); `keys` are of all regions."""
        sums = keys.unsqueeze(1) + self.query(states).unsqueeze(2)
        scores = self.score(self.activation(sums)).squeeze(3)
        weights = normalised(scores, encoded.mask)
        return weights @ regions_of(encoded), weights


class AttendingDecoder(Decoder):
    """A decoder that looks at regions."""

    def attend(self, memory: Memory, words: Tensor) -> tuple[Tensor, Tensor]:
        """What `hidden` gives, and what `weights` gives."""
        raise NotImplementedError

    def hidden(self, memory: Memory, words: Tensor) -> Tensor:
        return self.attend(memory, words)[0]

    def weights(self, memory: Memory, words: Tensor) -> Tensor:
        """Each word's attention to each region, of shape (B, T + 1, R).

        A row sums to 1 over existing regions.
        """
        return self.attend(memory, words)[1]


class AfterDecoder(AttendingDecoder):
    """An LSTM whose new state looks; what it sees predicts the word and is not fed back."""

    language: LSTMDecoder

    def look(self, states: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """What predicts the words, of states (P, N, H), and the weights (P, N, R)."""
        raise NotImplementedError

    def attend(self, memory: Memory, words: Tensor) -> tuple[Tensor, Tensor]:
        return self.look(self.language.hidden(memory, words), memory)

    def logits(self, hidden: Tensor) -> Tensor:
        return self.language.logits(hidden)

    def start(self, memory: Memory) -> State:
        return self.language.start(memory)

    def step(self, words: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        states, state = self.language.advance(words, state, memory)
        each = states.view(len(memory.encoded.summary), -1, states.shape[1])
        return self.logits(self.look(each, memory)[0].flatten(0, 1)), state


class BeforeDecoder(AttendingDecoder):
    """LSTMs that look before each word, one of which reads the word first.

    The word's share of its gates is computed for a whole caption at once, what the picture gives
    to each of them (`beside`) once a picture.

    Args:
        beside: how many numbers `beside` gives.
        attention: whose keys are computed once a picture.
        dropout: on what predicts the words.
    """

    def __init__(
        self,
        *,
        width: int,
        vocabulary_size: int,
        hidden_size: int,
        beside: int,
        attention: AdditiveAttention,
        dropout: float,
    ):
        super().__init__()
        self.words = Words(vocabulary_size, width)
        self.read = nn.Linear(width, 4 * hidden_size)
        self.feed = nn.Linear(beside, 4 * hidden_size, bias=False) if beside else None
        self.attention = attention
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, vocabulary_size + 1)

    def beside(self, encoded: Encoded) -> Tensor | None:
        """What is read beside each word, one row a picture."""
        return encoded.constant

    def advance(self, gates: Tensor, state: State, memory: Memory) -> tuple[Tensor, Tensor, State]:
        """One word further, whose share of the gates is of shape (P, N, 4 H).

        Returns:
            What predicts the next word, of shape (P, N, H), the weights, of shape (P, N, R), and
            the new state.
        """
        raise NotImplementedError

    def prepare(self, encoded: Encoded) -> Memory:
        """Keys of the regions, and the picture's share of the gates."""
        keys = self.attention.keys(regions_of(encoded))
        return Memory(
            encoded, (keys,) if self.feed is None else (keys, self.feed(self.beside(encoded)))
        )

    def _gates(self, words: Tensor, memory: Memory) -> Tensor:
        """Of words (P, N), all of their picture."""
        gates: Tensor = self.read(self.words(words))
        return gates if self.feed is None else gates + memory.prepared[1].unsqueeze(1)

    def attend(self, memory: Memory, words: Tensor) -> tuple[Tensor, Tensor]:
        state, states, weights = self.start(memory), [], []
        for gates in self._gates(F.pad(words, (1, 0)), memory).unsqueeze(2).unbind(1):
            said, looked, state = self.advance(gates, state, memory)
            states.append(said)
            weights.append(looked)
        return self.dropout(torch.cat(states, 1)), torch.cat(weights, 1)

    def logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.output(hidden)
        return logits

    def step(self, words: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        gates = self._gates(words.view(len(memory.encoded.summary), -1), memory)
        said, _, state = self.advance(gates, state, memory)
        return self.logits(self.dropout(said).flatten(0, 1)), state
