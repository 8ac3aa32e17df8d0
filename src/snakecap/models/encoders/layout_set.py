"""Objects as a set: a transformer encoder that does not know their order.

Source: Vaswani et al., "Attention Is All You Need", 2017, encoder with the norm first and without
positions, as OBJ2TEXT-Improved used it for layouts. One more token stands for the whole picture: a
learned vector and, if wanted, how often each category occurs.

Dimensions: B pictures, R objects, K categories, D width, A heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from snakecap.models.encoded import Encoded
from snakecap.models.transformer import EncoderLayer, check


class LayoutSetEncoder(nn.Module):
    """The whole's token is the summary; the objects' and the whole's are regions.

    Args:
        width: D; a multiple of `heads`.
        location: read boxes too.
        counts: tell the whole's token how often each category occurs.
        layers: attention and feed-forward, one after the other.
        heads: A.
        hidden_size: of the feed-forward part.
        dropout: inside the layers.
        box_dropout: on the numbers of each box.
    """

    reads = "layout"
    gives_regions = True
    by_object = True  # region r is object r

    def __init__(
        self,
        *,
        width: int,
        categories: int,
        location: bool = True,
        counts: bool = True,
        layers: Annotated[int, Field(ge=1)] = 2,
        heads: Annotated[int, Field(ge=1)] = 4,
        hidden_size: Annotated[int, Field(ge=1)] = 512,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        box_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ):
        super().__init__()
        check(width=width, heads=heads)
        self.categories = categories
        self.names = nn.Embedding(categories + 1, width, padding_idx=0)
        self.place = nn.Linear(7, width) if location else None
        self.whole = nn.Parameter(torch.randn(width) * width**-0.5)
        self.counts = nn.Linear(categories, width) if counts else None
        self.layers = nn.ModuleList(
            EncoderLayer(width, heads, hidden_size, dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.box_dropout = nn.Dropout(box_dropout)

    def forward(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """Encode ``categories``, ids (B, R), 0 behind the last, and ``boxes`` (B, R, 4) in 0..1."""
        ids = inputs["categories"]
        tokens = self.names(ids)
        if self.place is not None:
            tokens = tokens + self.place(self.box_dropout(geometry(inputs["boxes"])))
        whole = self.whole.expand(len(ids), -1)
        if self.counts is not None:
            whole = whole + self.counts(count(ids, self.categories).log1p())
        # Behind the objects: region r is object r, as for the other encoders.
        tokens = torch.cat([tokens, whole.unsqueeze(1)], 1)
        mask = torch.cat([ids > 0, ids.new_ones(len(ids), 1, dtype=torch.bool)], 1)
        for layer in self.layers:
            tokens = layer(tokens, mask)
        tokens = self.norm(tokens)
        return Encoded(tokens[:, -1], tokens, mask)


def geometry(boxes: Tensor) -> Tensor:
    """Left, top, right, bottom, width, height and area of boxes (..., 4), of shape (..., 7)."""
    x, y, width, height = boxes.unbind(-1)
    return torch.stack([x, y, x + width, y + height, width, height, width * height], -1)


def count(ids: Tensor, categories: int) -> Tensor:
    """How often each category occurs: (B, R) ids 0..K to (B, K), float."""
    counts = torch.zeros(len(ids), categories + 1, device=ids.device)
    return counts.scatter_add_(1, ids, torch.ones_like(ids, dtype=counts.dtype))[:, 1:]
