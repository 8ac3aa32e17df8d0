"""A picture's features, fed at every step beside the word: DeepCaption's persistent features.

Source: DeepCaption's model/encoder_decoder.py, DecoderRNN, whose own training crashed on them. They
are projected neither there nor here.

Dimensions: B pictures, K features, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from snakecap.models.encoded import Encoded


class ConstantEncoder(nn.Module):
    """Pooled features as they are; the summary is zero, which adds nothing to others'.

    Args:
        dropout: on the features.
    """

    reads = "pooled"
    gives_constant = True

    def __init__(
        self, *, width: int, size: int, dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ):
        super().__init__()
        self.width, self.constant_size = width, size
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """Encode ``pooled`` of shape (B, K)."""
        features = inputs["pooled"].float()
        return Encoded(
            features.new_zeros(len(features), self.width), constant=self.dropout(features)
        )
