"""OBJ2TEXT's layout encoder: an LSTM over a picture's objects.

Source: Yin and Ordonez, EMNLP 2017, eq. 3-5: x_t = W_o o_t + (W_l l_t + b_l), h_t = LSTM(x_t); and
misc/LayoutEncoder.lua, LayoutEncoderLocation.lua. Known deviations: every layout ends at its own
last object (the original went on to the longest of the batch with persons of size 0, so that an
encoding depended on its batch); no all-zero step before START.

Dimensions: B pictures, R objects, K categories, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from snakecap.models.encoded import Encoded


def check(*, distinct: bool, location: bool | None) -> None:
    """Distinct categories have no boxes."""
    if distinct and location:
        raise ValueError("distinct: categories alone have no boxes, so set location: false")


class LayoutLSTMEncoder(nn.Module):
    """Objects as a sequence; the last state is the summary, all states are regions.

    Args:
        width: D, also the size of the state.
        location: read boxes too: objname_location; without them objname. null: unless distinct.
        distinct: each category once, in ascending order: objclass. Has no location.
        distinct_limit: categories that are then read, the first; OBJ2TEXT: 16.
        normalise: layer norm on the states; ours, it learns faster (docs/log.md).
        dropout: on the summary and the regions.
        box_dropout: on the numbers of each box.

    Raises:
        ValueError: distinct categories have no boxes.
    """

    reads = "layout"
    gives_regions = True

    def __init__(
        self,
        *,
        width: int,
        categories: int,
        location: bool | None = None,
        distinct: bool = False,
        distinct_limit: Annotated[int, Field(ge=1)] = 16,
        normalise: bool = False,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        box_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ):
        super().__init__()
        check(distinct=distinct, location=location)
        if location is None:
            location = not distinct
        self.limit = distinct_limit if distinct else None
        self.by_object = not distinct  # whether region r is object r
        self.categories = categories
        self.names = nn.Embedding(categories + 2, width, padding_idx=0)  # START is K + 1
        self.place = nn.Linear(4, width) if location else None
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.normalise = nn.LayerNorm(width) if normalise else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.box_dropout = nn.Dropout(box_dropout)

    def forward(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """Encode ``categories``, ids (B, R), 0 behind the last, and ``boxes`` (B, R, 4) in 0..1."""
        ids = inputs["categories"]
        if self.limit is not None:
            ids = distinct(ids, self.categories)[:, : self.limit]
        embedded = self.names(nn.functional.pad(ids, (1, 0), value=self.categories + 1))
        if self.place is not None:
            # START has a box of zeros, as there: it contributes the bias.
            boxes = nn.functional.pad(self.box_dropout(inputs["boxes"]), (0, 0, 1, 0))
            embedded = embedded + self.place(boxes)
        # A state depends on what came before it alone, so that the one of a layout's own last
        # object is that of the layout packed by its true length, whatever follows as padding.
        states: Tensor = self.dropout(self.normalise(self.lstm(embedded)[0]))
        mask = ids > 0
        last = mask.sum(1).view(-1, 1, 1).expand(-1, 1, states.shape[2])
        return Encoded(states.gather(1, last).squeeze(1), states[:, 1:], mask)


def distinct(ids: Tensor, categories: int) -> Tensor:
    """The different ids of each row, ascending, 0 behind the last: (B, R) ids 0..K to (B, r).

    Here r is the largest number of different ids in a row.
    """
    seen = torch.zeros(len(ids), categories + 1, dtype=torch.bool, device=ids.device)
    seen.scatter_(1, ids, torch.ones_like(ids, dtype=torch.bool))
    seen[:, 0] = False
    number = int(seen.sum(1).max()) if len(ids) else 0
    every = torch.arange(categories + 1, device=ids.device)
    kept = every.masked_fill(~seen, categories + 1).sort(1).values[:, :number]
    return kept.masked_fill(kept > categories, 0)
