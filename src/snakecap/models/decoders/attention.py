"""An LSTM that looks at the regions before each word.

Source: OBJ2TEXT's misc/LSTM.lua (lstm_attention) and LanguageModelAttention.lua; Luong et al.,
"Effective Approaches to Attention-based Neural Machine Translation", EMNLP 2015, eq. 5 and 8
(general score): s = v_r . W_a h_t, c = softmax(s) v, h~ = tanh(W_c [c; h_t]), and h~ predicts the
word; it is not fed back. Known deviations: the picture's summary is the first input, as without
attention (there a vector of zeros); regions that do not exist have no weight (there padding had
some); several heads if wanted.

Dimensions: B pictures, C captions, T words, R regions, V vocabulary, D width, H hidden, A heads.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from snakecap.models.decoders.decoder import Decoder, State
from snakecap.models.decoders.lstm import LSTMDecoder
from snakecap.models.encoded import Encoded, Memory


def check(*, width: int, heads: int) -> None:
    """Each head has an equal share of the width."""
    if width % heads:
        raise ValueError(f"width {width} is not a multiple of {heads} heads")


class AttentionDecoder(Decoder):
    """Words from a picture's summary and regions, one at a time.

    `Decoder` explains the other arguments.

    Args:
        heads: A, weighted means of the regions, each of D / A numbers.
        dropout: on h~.

    Raises:
        ValueError: D is not a multiple of A.
    """

    reads_regions = True

    def __init__(
        self,
        constant_size: int = 0,
        *,
        width: int,
        vocabulary_size: int,
        hidden_size: Annotated[int, Field(ge=1)] = 512,
        heads: Annotated[int, Field(ge=1)] = 1,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        input_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        tie_embeddings: bool = False,
        picture: Literal["input", "state"] = "input",
    ):
        super().__init__()
        check(width=width, heads=heads)
        self.heads = heads
        self.language = LSTMDecoder(
            constant_size,
            width=width,
            vocabulary_size=vocabulary_size,
            hidden_size=hidden_size,
            dropout=0.0,
            input_dropout=input_dropout,
            picture=picture,
        )
        self.query = nn.Linear(hidden_size, width, bias=False)
        self.combine = nn.Linear(width + hidden_size, width, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.language.output = nn.Linear(width, vocabulary_size + 1)
        if tie_embeddings:
            self.language.words.tie(self.language.output)

    def hidden(self, memory: Memory, words: Tensor) -> Tensor:
        """h~ of every word and END, of shape (C, T + 1, D)."""
        return self._look(self.language.hidden(memory, words), memory.encoded)

    def logits(self, hidden: Tensor) -> Tensor:
        return self.language.logits(hidden)

    def start(self, memory: Memory) -> State:
        return self.language.start(memory)

    def step(self, words: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        states, state = self.language.advance(words, state, memory)
        pictures = len(memory.encoded.summary)
        each = states.view(pictures, -1, states.shape[1])  # captions of a picture
        return self.logits(self._look(each, memory.encoded).flatten(0, 1)), state

    def weights(self, memory: Memory, words: Tensor) -> Tensor:
        """Each word's attention to each region, of shape (B, T + 1, R), a mean over the heads.

        A row sums to 1 over existing regions.
        """
        states = self.language.hidden(memory, words)
        return self._weights(states, _regions(memory.encoded), memory.encoded.mask).mean(1)

    def _look(self, states: Tensor, encoded: Encoded) -> Tensor:
        """h~ of states (B, T, H), all of which look at the regions of their picture."""
        regions = _regions(encoded)
        weights = self._weights(states, regions, encoded.mask)
        context = (weights @ _split(regions, self.heads)).transpose(1, 2).flatten(2)
        combined: Tensor = self.dropout(self.combine(torch.cat([context, states], -1)).tanh())
        return combined

    def _weights(self, states: Tensor, regions: Tensor, mask: Tensor | None) -> Tensor:
        """Of shape (B, A, T, R); zeros where a picture has no regions at all."""
        queries = _split(self.query(states), self.heads)
        scores = queries @ _split(regions, self.heads).transpose(-1, -2)
        if mask is None:
            return scores.softmax(-1)
        absent = ~mask[:, None, None, :]
        # Not -inf: a row without any region would be NaN, and so would all gradients.
        least = torch.finfo(scores.dtype).min
        return scores.masked_fill(absent, least).softmax(-1).masked_fill(absent, 0.0)


def _regions(encoded: Encoded) -> Tensor:
    if encoded.regions is None:
        raise ValueError("attention needs an encoder that gives regions, such as cnn_grid")
    return encoded.regions


def _split(vectors: Tensor, heads: int) -> Tensor:
    """(B, N, D) as (B, A, N, D / A)."""
    pictures, number, width = vectors.shape  # no -1: there may be no regions at all
    return vectors.view(pictures, number, heads, width // heads).transpose(1, 2)
