"""A backbone's last feature map as regions to attend to.

Source: Xu et al., "Show, Attend and Tell", ICML 2015, section 3.1.1 (annotation vectors); the
projection and the summary, their mean, are ours.

Dimensions: B pictures, R grid cells, C backbone's grid width, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from snakecap.models.encoded import Encoded
from snakecap.models.encoders.cnn import Standardise


class CNNGridEncoder(nn.Module):
    """Grid cells projected to the decoder's width; their mean is the summary.

    Args:
        dropout: on the features, cached or not.
        standardise: each feature to mean 0 and variance 1, by its running statistics.
    """

    reads = "grid"
    gives_regions = True
    by_cell = True  # region r is cell r of the grid

    def __init__(
        self,
        *,
        width: int,
        size: int,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        standardise: bool = False,
    ):
        super().__init__()
        self.standardise = Standardise(size) if standardise else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Sequential(nn.Linear(size, width), nn.ReLU())

    def forward(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """Encode ``grid`` of shape (B, R, C)."""
        grid = inputs["grid"]
        cells = self.standardise(grid.flatten(0, 1).float()).view(grid.shape)
        regions: Tensor = self.project(self.dropout(cells))
        return Encoded(regions.mean(1), regions)
