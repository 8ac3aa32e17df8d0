"""An LSTM that looks at the regions before each word.

Source: OBJ2TEXT's misc/LSTM.lua (lstm_attention) and LanguageModelAttention.lua; Luong et al.,
"Effective Approaches to Attention-based Neural Machine Translation", EMNLP 2015, eq. 5 and 8
(general score): s = v_r . W_a h_t, c = softmax(s) v, h~ = tanh(W_c [c; h_t]), and h~ predicts the
word; it is not fed back. Known deviations: the picture's summary is the first input, as without
attention (there a vector of zeros); regions that do not exist have no weight (there padding had
some); several heads if wanted.

Dimensions: P pictures, N states of each, R regions, V vocabulary, D width, H hidden, A heads.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from snakecap.models.decoders.attending import AfterDecoder, normalised, regions_of
from snakecap.models.decoders.lstm import LSTMDecoder
from snakecap.models.encoded import Memory
from snakecap.models.transformer import check, split


class AttentionDecoder(AfterDecoder):
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

    def look(self, states: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """h~ of states (P, N, H), and the mean of all heads' weights."""
        regions = split(regions_of(memory.encoded), self.heads)
        scores = split(self.query(states), self.heads) @ regions.transpose(-1, -2)
        weights = normalised(scores, memory.encoded.mask)
        context = (weights @ regions).transpose(1, 2).flatten(2)
        combined: Tensor = self.dropout(self.combine(torch.cat([context, states], -1)).tanh())
        return combined, weights.mean(1)
