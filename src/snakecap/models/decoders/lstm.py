"""The LSTM language model of NeuralTalk2 and of Show and Tell, or a GRU in its place.

Source: Vinyals et al., Show and Tell, CVPR 2015, eq. 4-12; neuraltalk2/misc/LanguageModel.lua; Cho
et al., "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP 2014 (the GRU, as torch
has it); DeepCaption, whose persistent features are beside every input.
The picture is the first input, START the second, then the words; the output of the first input is
not used. Or the picture is the initial state (Xu et al., Show, Attend and Tell, 2015, 3.1.2, by
one layer). Known deviation: START and END share id 0, which is also the padding.

Dimensions: B and N captions, T words, V vocabulary, D width, H hidden, L layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from snakecap.models.decoders.decoder import Decoder, State, Words, fed
from snakecap.models.encoded import Memory

Places = Tensor | slice
Cell = Callable[[Tensor, Places, Sequence[Tensor], Sequence[Tensor]], State]


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
        cell: of an LSTM or of a GRU, which has three quarters of its weights.
        layers: L, on top of each other.
        dropout: on the inputs of layers 2.. and on the top output, as NeuralTalk2.

    Raises:
        ValueError: tied embeddings, and H is not D.
    """

    def __init__(
        self,
        constant_size: int = 0,
        *,
        width: int,
        vocabulary_size: int,
        cell: Literal["lstm", "gru"] = "lstm",
        hidden_size: Annotated[int, Field(ge=1)] = 512,
        layers: Annotated[int, Field(ge=1)] = 1,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        input_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        tie_embeddings: bool = False,
        picture: Literal["input", "state"] = "input",
    ):
        super().__init__()
        check(tie_embeddings=tie_embeddings, hidden_size=hidden_size, width=width)
        self.words = Words(vocabulary_size, width)
        between = dropout if layers > 1 else 0.0
        network, self.cell = CELLS[cell]
        size = width + constant_size
        self.recurrent = network(size, hidden_size, layers, batch_first=True, dropout=between)
        states = 2 if cell == "lstm" else 1
        self.opening = Opening(width, hidden_size, layers, states) if picture == "state" else None
        self.between = nn.Dropout(between)
        self.dropout = nn.Dropout(dropout)
        self.input_dropout = nn.Dropout(input_dropout)
        self.output = nn.Linear(hidden_size, vocabulary_size + 1)
        if tie_embeddings:
            self.words.tie(self.output)

    def hidden(self, memory: Memory, words: Tensor) -> Tensor:
        dropped: Tensor = self.dropout(self.states(memory, words))
        return dropped

    def states(self, memory: Memory, words: Tensor) -> Tensor:
        """What `hidden` gives, before dropout."""
        vectors, opened = self.words(F.pad(words, (1, 0))), self._opened(memory)
        if opened is None:
            vectors = torch.cat([memory.encoded.summary.unsqueeze(1), vectors], 1)
        states, _ = self._read(vectors, memory, opened)
        return states[:, 1:] if opened is None else states

    def _opened(self, memory: Memory) -> State | None:
        return None if self.opening is None else self.opening(memory.encoded.summary)

    def _read(self, vectors: Tensor, memory: Memory, state: State | None) -> tuple[Tensor, State]:
        """The top layer's outputs of vectors (B, T, D), and the state, each of shape (L, B, H)."""
        inputs = self.input_dropout(fed(vectors, memory.encoded.constant))
        given = state[0] if state is not None and len(state) == 1 else state
        outputs, last = self.recurrent(inputs, given)
        return outputs, last if isinstance(last, tuple) else (last,)

    def logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.output(hidden)
        return logits

    def start(self, memory: Memory) -> State:
        """Returns h, and an LSTM's c, each of shape (B, L, H)."""
        state = self._opened(memory)
        if state is None:
            _, state = self._read(memory.encoded.summary.unsqueeze(1), memory, None)
        return tuple(part.transpose(0, 1) for part in state)

    def step(self, words: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        states, state = self.advance(words, state, memory)
        return self.logits(self.dropout(states)), state

    def advance(self, words: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """The top layer's output after one more word, of shape (N, H), and the new state.

        Much of the time of a search; so each different word is multiplied with the first layer's
        weights once, however many captions say it, and no weights are packed anew for every word.
        """
        before, constant = [part.unbind(1) for part in state], memory.encoded.constant
        # What is dropped of a word is drawn for each caption.
        alone = self.training or constant is not None
        said, places = (words, slice(None)) if alone else _different(words)
        below = self.words(said)
        if constant is not None:
            below = fed(below.view(len(constant), -1, below.shape[1]), constant).flatten(0, 1)
        below = self.input_dropout(below)
        after: list[State] = []
        for layer, weights in enumerate(self.recurrent.all_weights):
            if layer:
                below, places = self.between(below), slice(None)
            after.append(self.cell(below, places, [part[layer] for part in before], weights))
            below = after[-1][0]
        return below, tuple(torch.stack(parts, 1) for parts in zip(*after, strict=True))


def _different(words: Tensor) -> tuple[Tensor, Places]:
    """The words without repetition, and the place of each among them; on a GPU all as they are."""
    if words.is_cuda:  # which would have to wait for their number
        return words, slice(None)
    return torch.unique(words, return_inverse=True)  # type: ignore[no-any-return]


def _lstm(
    inputs: Tensor, places: Places, state: Sequence[Tensor], weights: Sequence[Tensor]
) -> State:
    """A step's h and c, each of shape (N, H); caption n reads input ``places[n]``."""
    (h, c), (ih, hh, ih_bias, hh_bias) = state, weights
    gates = torch.addmm(F.linear(inputs, ih, ih_bias + hh_bias)[places], h, hh.t())
    return cell(gates, c)


def cell(gates: Tensor, c: Tensor) -> State:
    """An LSTM's h and c, each of shape (..., H), of gates (..., 4 H) in torch's order."""
    inner, forget, candidate, outer = gates.chunk(4, -1)
    c = forget.sigmoid() * c + inner.sigmoid() * candidate.tanh()
    return outer.sigmoid() * c.tanh(), c


def _gru(
    inputs: Tensor, places: Places, state: Sequence[Tensor], weights: Sequence[Tensor]
) -> State:
    """As `_lstm`, without a c."""
    (h,), (ih, hh, ih_bias, hh_bias) = state, weights
    read = F.linear(inputs, ih, ih_bias)[places].chunk(3, 1)
    kept = F.linear(h, hh, hh_bias).chunk(3, 1)
    reset, update = (read[0] + kept[0]).sigmoid(), (read[1] + kept[1]).sigmoid()
    candidate = (read[2] + reset * kept[2]).tanh()
    return (candidate + update * (h - candidate),)


CELLS: dict[str, tuple[type[nn.LSTM | nn.GRU], Cell]] = {
    "lstm": (nn.LSTM, _lstm),
    "gru": (nn.GRU, _gru),
}


class Opening(nn.Module):
    """A picture's summary as the state that is started from: h = tanh(U v + a), c = W v + b."""

    def __init__(self, width: int, hidden_size: int, layers: int, states: int = 2):
        super().__init__()
        self.layers = layers
        self.h = nn.Linear(width, layers * hidden_size)
        self.c = nn.Linear(width, layers * hidden_size) if states > 1 else None

    def forward(self, summary: Tensor) -> State:
        """Vectors (B, D) to h, and c of an LSTM, each of shape (L, B, H)."""
        parts = [self.h(summary).tanh(), *(() if self.c is None else (self.c(summary),))]
        return tuple(
            part.unflatten(1, (self.layers, -1)).transpose(0, 1).contiguous() for part in parts
        )
