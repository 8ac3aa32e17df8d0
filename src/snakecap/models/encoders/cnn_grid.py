"""A backbone's last feature map as regions to attend to.

Source: Xu et al., "Show, Attend and Tell", ICML 2015, section 3.1.1 (annotation vectors); the
projection and the summary, their mean, are ours.

Dimensions: B pictures, R grid cells, C backbone's grid width, D width, S side of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from snakecap.models.backbones.backbone import Backbone
from snakecap.models.encoded import Encoded
from snakecap.models.encoders.cnn import Standardise, seen


class CNNGridEncoder(nn.Module):
    """Grid cells projected to the decoder's width; their mean is the summary."""

    reads = "grid"
    gives_regions = True

    def __init__(
        self,
        *,
        width: int,
        backbone: Backbone,
        preprocessing: Mapping[str, Any],
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        standardise: bool = False,
    ):
        """Build the encoder.

        Args:
            width: D.
            backbone: images to an output with ``grid`` of shape (B, R, C); has ``grid_width`` C.
            preprocessing: keyword arguments of `preprocess` that the backbone was trained with.
            dropout: on the features, cached or not.
            standardise: each feature to mean 0 and variance 1, by its running statistics.
        """
        super().__init__()
        self.backbone = backbone
        self.preprocessing = dict(preprocessing)
        size = backbone.grid_width
        self.standardise = Standardise(size) if standardise else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Sequential(nn.Linear(size, width), nn.ReLU())

    def forward(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """Encode a batch.

        Args:
            inputs: ``grid`` features of shape (B, R, C); or ``images`` uint8 of shape (B, 3, S, S)
                with, when augmenting, ``offset`` (B, 2) and ``flip`` (B,).
        """
        grid = inputs.get("grid")
        if grid is None:
            grid = seen(self.backbone, self.preprocessing, inputs).grid
        cells = self.standardise(grid.flatten(0, 1).float()).view(grid.shape)
        regions: Tensor = self.project(self.dropout(cells))
        return Encoded(regions.mean(1), regions)
