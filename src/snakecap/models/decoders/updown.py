"""Top-down attention over bottom-up regions: one LSTM looks, the other speaks.

Source: Anderson et al., "Bottom-Up and Top-Down Attention for Image Captioning and Visual Question
Answering", CVPR 2018, 3.2: the first LSTM reads the second's state, the mean of the regions and the
word; its new state looks at the regions; the second reads what was seen and that state, and its own
predicts the word. Known deviation: the summary, a grid's mean, in the mean's place.

Dimensions: P pictures, N captions of each, R regions, V vocabulary, D width, H hidden, S attention,
K numbers that are fed at every step.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from snakecap.models.decoders.attending import AdditiveAttention, BeforeDecoder
from snakecap.models.decoders.decoder import State
from snakecap.models.decoders.lstm import cell
from snakecap.models.encoded import Encoded, Memory


class UpDownDecoder(BeforeDecoder):
    """Words from what a first LSTM looks at.

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
            beside=width + constant_size,
            attention=AdditiveAttention(width, hidden_size, attention_size, torch.tanh_),
            dropout=dropout,
        )
        self.looking = nn.Linear(2 * hidden_size, 4 * hidden_size, bias=False)
        self.speaking = nn.Linear(width + 2 * hidden_size, 4 * hidden_size)

    def beside(self, encoded: Encoded) -> Tensor:
        """The summary, and the constant numbers: of shape (P, D + K)."""
        constant = () if encoded.constant is None else (encoded.constant,)
        return torch.cat([encoded.summary, *constant], 1)

    def start(self, memory: Memory) -> State:
        """Returns zeros: h and c of both LSTMs, each of shape (P, H)."""
        summary = memory.encoded.summary
        return (summary.new_zeros(len(summary), self.output.in_features),) * 4

    def advance(self, gates: Tensor, state: State, memory: Memory) -> tuple[Tensor, Tensor, State]:
        look, look_c, say, say_c = (part.view(*gates.shape[:2], -1) for part in state)
        look, look_c = cell(gates + self.looking(torch.cat([say, look], 2)), look_c)
        context, weights = self.attention(look, memory.prepared[0], memory.encoded)
        say, say_c = cell(self.speaking(torch.cat([context, look, say], 2)), say_c)
        after = tuple(part.flatten(0, 1) for part in (look, look_c, say, say_c))
        return say, weights, after
