"""Soft attention: an LSTM that reads, beside each word, what it looked at before it.

Source: Xu et al., "Show, Attend and Tell", ICML 2015, 3.1.2 and 4.2.1 (the gate, here one number
for each of the context's), in DeepCaption's form: a ReLU in the scores; the state alone predicts
the word. Known deviation: h and c start from the summary (a grid's mean), as `Opening` has it.

Dimensions: P pictures, N captions of each, R regions, V vocabulary, D width, H hidden, S attention.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from snakecap.models.decoders.attending import AdditiveAttention, BeforeDecoder
from snakecap.models.decoders.decoder import State
from snakecap.models.decoders.lstm import Opening, cell
from snakecap.models.encoded import Memory


class SoftAttentionDecoder(BeforeDecoder):
    """Words from what the state looks at.

    `Decoder` explains the other arguments.

    Args:
        attention_size: S.
        dropout: on the output.
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
    ):
        super().__init__(
            width=width,
            vocabulary_size=vocabulary_size,
            hidden_size=hidden_size,
            beside=constant_size,
            attention=AdditiveAttention(width, hidden_size, attention_size, torch.relu_),
            dropout=dropout,
        )
        self.opening = Opening(width, hidden_size, 1)
        self.gate = nn.Linear(hidden_size, width)
        self.recurrent = nn.Linear(width + hidden_size, 4 * hidden_size, bias=False)

    def start(self, memory: Memory) -> State:
        """Returns h and c, each of shape (P, H)."""
        h, c = self.opening(memory.encoded.summary)
        return h[0], c[0]

    def advance(self, gates: Tensor, state: State, memory: Memory) -> tuple[Tensor, Tensor, State]:
        h, c = (part.view(*gates.shape[:2], -1) for part in state)
        context, weights = self.attention(h, memory.prepared[0], memory.encoded)
        context = context * self.gate(h).sigmoid()
        h, c = cell(gates + self.recurrent(torch.cat([context, h], 2)), c)
        return h, weights, (h.flatten(0, 1), c.flatten(0, 1))
