"""Spatial attention: an LSTM reads the word, and its new state looks before the next is predicted.

Source: Lu et al., "Knowing When to Look", CVPR 2017, eq. 6-8, in DeepCaption's form: a ReLU in the
scores, and the state beside what it saw predicts the word. Known deviation: the picture's summary
is the first input or the initial state, as of the `lstm`.

Dimensions: P pictures, N states of each, R regions, V vocabulary, D width, H hidden, S attention.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from snakecap.models.decoders.attending import AdditiveAttention, AfterDecoder, regions_of
from snakecap.models.decoders.lstm import LSTMDecoder
from snakecap.models.encoded import Encoded, Memory


class SpatialAttentionDecoder(AfterDecoder):
    """Words from a state and what it looks at.

    `Decoder` explains the other arguments.

    Args:
        attention_size: S.
        dropout: on the state and what it saw.
    """

    reads_regions = True

    def __init__(
        self,
        constant_size: int = 0,
        *,
        width: int,
        vocabulary_size: int,
        hidden_size: Annotated[int, Field(ge=1)] = 512,
        attention_size: Annotated[int, Field(ge=1)] = 512,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        input_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        picture: Literal["input", "state"] = "input",
    ):
        super().__init__()
        self.language = LSTMDecoder(
            constant_size,
            width=width,
            vocabulary_size=vocabulary_size,
            hidden_size=hidden_size,
            dropout=0.0,
            input_dropout=input_dropout,
            picture=picture,
        )
        self.attention = AdditiveAttention(width, hidden_size, attention_size, torch.relu_)
        self.dropout = nn.Dropout(dropout)
        self.language.output = nn.Linear(hidden_size + width, vocabulary_size + 1)

    def prepare(self, encoded: Encoded) -> Memory:
        return Memory(encoded, (self.attention.keys(regions_of(encoded)),))

    def look(self, states: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        context, weights = self.attention(states, memory.prepared[0], memory.encoded)
        return self.dropout(torch.cat([states, context], 2)), weights
