"""The LSTM language model of NeuralTalk2 and of Show and Tell.

Source: Vinyals et al., Show and Tell, CVPR 2015, eq. 4-12; neuraltalk2/misc/LanguageModel.lua.
The picture is the first input, START the second, then the words; the output of the first input is
not used. Or the picture is the initial state (Xu et al., Show, Attend and Tell, 2015, 3.1.2, by
one layer). Known deviation: START and END share id 0, which is also the padding.

Dimensions: B captions, T words, V vocabulary, D width, H hidden, L layers.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from snakecap.models.decoders.decoder import Decoder, State
from snakecap.models.encoded import Memory


def check(*, tie_embeddings: bool, hidden_size: int, width: int) -> None:
    """Word vectors are output weights only where both have the same size."""
    if tie_embeddings and hidden_size != width:
        raise ValueError(
            f"tie_embeddings needs hidden_size = width; they are {hidden_size} and {width}"
        )


class LSTMDecoder(Decoder):
    """Words from a picture's summary, one at a time.

    `Decoder` explains the other arguments.

    Args:
        layers: L, LSTMs on top of each other.
        dropout: on the inputs of layers 2.. and on the top output, as NeuralTalk2.

    Raises:
        ValueError: tied embeddings, and H is not D.
    """

    def __init__(
        self,
        *,
        width: int,
        vocabulary_size: int,
        hidden_size: Annotated[int, Field(ge=1)] = 512,
        layers: Annotated[int, Field(ge=1)] = 1,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        input_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        tie_embeddings: bool = False,
        picture: Literal["input", "state"] = "input",
    ):
        super().__init__()
        check(tie_embeddings=tie_embeddings, hidden_size=hidden_size, width=width)
        self.words = nn.Embedding(vocabulary_size + 1, width)
        self.scale = 1.0
        between = dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(width, hidden_size, layers, batch_first=True, dropout=between)
        self.opening = Opening(width, hidden_size, layers) if picture == "state" else None
        self.between = nn.Dropout(between)
        self.dropout = nn.Dropout(dropout)
        self.input_dropout = nn.Dropout(input_dropout)
        self.output = nn.Linear(hidden_size, vocabulary_size + 1)
        if tie_embeddings:
            self.tie(self.output)

    def tie(self, output: nn.Linear) -> None:
        """Make the word vectors the weights of a layer that predicts words, of D inputs."""
        width = self.words.embedding_dim
        nn.init.normal_(self.words.weight, std=width**-0.5)
        output.weight = self.words.weight
        self.scale = width**0.5

    def embed(self, words: Tensor) -> Tensor:
        """Word vectors as the LSTM reads them, of shape (..., D)."""
        vectors: Tensor = self.words(words)
        return vectors if self.scale == 1 else vectors * self.scale

    def hidden(self, memory: Memory, words: Tensor) -> Tensor:
        start = words.new_zeros(len(words), 1)
        embedded = self.embed(torch.cat([start, words], 1))
        dropped: Tensor = self.dropout(self._states(memory.encoded.summary, embedded))
        return dropped

    def _states(self, summary: Tensor, embedded: Tensor) -> Tensor:
        """The top layer's output for START and each word, after the picture."""
        if self.opening is not None:
            opened: Tensor = self.lstm(self.input_dropout(embedded), self.opening(summary))[0]
            return opened
        inputs = torch.cat([summary.unsqueeze(1), embedded], 1)
        states: Tensor = self.lstm(self.input_dropout(inputs))[0]
        return states[:, 1:]

    def logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.output(hidden)
        return logits

    def start(self, memory: Memory) -> State:
        """Returns h and c, each of shape (B, L, H)."""
        summary = memory.encoded.summary
        if self.opening is not None:
            h, c = self.opening(summary)
        else:
            _, (h, c) = self.lstm(self.input_dropout(summary).unsqueeze(1))
        return h.transpose(0, 1), c.transpose(0, 1)

    def step(self, words: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        states, state = self.advance(words, state)
        return self.logits(self.dropout(states)), state

    def advance(self, words: Tensor, state: State) -> tuple[Tensor, State]:
        """The top layer's output after one more word, of shape (B * W, H), and the new state.

        Much of the time of a search; so each different word is multiplied with the LSTM's weights
        once, however many captions say it, and no weights are packed anew for every word.
        """
        h, c = (part.unbind(1) for part in state)
        # What is dropped of a word is drawn for each caption.
        said, places = (words, slice(None)) if self.training else _different(words)
        below = self.input_dropout(self.embed(said))
        after: list[tuple[Tensor, Tensor]] = []
        for layer, (ih, hh, ih_bias, hh_bias) in enumerate(self.lstm.all_weights):
            gates = F.linear(self.between(below) if layer else below, ih, ih_bias + hh_bias)
            gates = torch.addmm(gates if layer else gates[places], h[layer], hh.t())
            after.append(_cell(gates, c[layer]))
            below = after[-1][0]
        return below, tuple(torch.stack(parts, 1) for parts in zip(*after, strict=True))


def _different(words: Tensor) -> tuple[Tensor, Tensor | slice]:
    """The words without repetition, and the place of each among them; on a GPU all as they are."""
    if words.is_cuda:  # which would have to wait for their number
        return words, slice(None)
    return torch.unique(words, return_inverse=True)  # type: ignore[no-any-return]


def _cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """A step's h and c, each of shape (N, H), of gates (N, 4 H) in torch's order."""
    inner, forget, candidate, outer = gates.chunk(4, 1)
    c = forget.sigmoid() * c + inner.sigmoid() * candidate.tanh()
    return outer.sigmoid() * c.tanh(), c


class Opening(nn.Module):
    """A picture's summary as the state that an LSTM starts from: h = tanh(U v + a), c = W v + b."""

    def __init__(self, width: int, hidden_size: int, layers: int):
        super().__init__()
        self.layers = layers
        self.h = nn.Linear(width, layers * hidden_size)
        self.c = nn.Linear(width, layers * hidden_size)

    def forward(self, summary: Tensor) -> State:
        """Vectors (B, D) to h and c, each of shape (L, B, H)."""
        h, c = (
            part.unflatten(1, (self.layers, -1)).transpose(0, 1).contiguous()
            for part in (self.h(summary).tanh(), self.c(summary))
        )
        return h, c
