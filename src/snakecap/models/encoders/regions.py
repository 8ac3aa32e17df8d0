"""Regions of others, such as bottom-up attention's, projected; their mean is the summary.

Source: Anderson et al., "Bottom-Up and Top-Down Attention", CVPR 2018, section 3.2; the geometry
and the unit length are options of ImageCaptioning.pytorch (use_box, norm_att_feat).

Dimensions: B pictures, R regions, F features, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from snakecap.models.encoded import Encoded


class RegionsEncoder(nn.Module):
    """Linear and ReLU of each region.

    Args:
        geometry: read where a region is, too: 5 numbers beside its features.
        unit: each region's features get length 1 first.
        dropout: on the regions; 0.5 there.
    """

    reads = "regions"
    gives_regions = True

    def __init__(
        self,
        *,
        width: int,
        size: int,
        geometry: bool = False,
        unit: bool = False,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ):
        super().__init__()
        self.geometry, self.unit = geometry, unit
        self.project = nn.Linear(size + 5 * geometry, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """Encode ``features`` (B, R, F), ``geometry`` (B, R, 5) and ``mask`` (B, R)."""
        features, mask = inputs["features"], inputs["mask"]
        if self.unit:
            features = F.normalize(features, dim=-1)
        if self.geometry:
            if "geometry" not in inputs:
                raise ValueError("geometry: true of the encoder regions: the regions have no boxes")
            features = torch.cat([features, inputs["geometry"]], -1)
        regions = self.dropout(self.project(features).relu()).masked_fill(~mask.unsqueeze(2), 0.0)
        number = mask.sum(1, keepdim=True).clamp(min=1)
        return Encoded(regions.sum(1) / number, regions, mask)
