"""A backbone's pooled features, projected: NeuralTalk2's and the Show-and-Tell tutorial's encoder.

Source: neuraltalk2/misc/net_utils.lua build_cnn (Linear + ReLU); yunjey/pytorch-tutorial model.py
(Linear + BatchNorm, momentum 0.01). Known deviation: the projection always trains; NeuralTalk2 left
it at its random start while the CNN was frozen.

Dimensions: B pictures, F backbone width, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from snakecap.models.encoded import Encoded

ACTIVATIONS = {"relu": nn.ReLU, "selu": nn.SELU, "none": nn.Identity}


class CNNEncoder(nn.Module):
    """A picture's pooled features, projected to the decoder's width.

    Args:
        activation: after the projection.
        batch_norm: after the projection, as the tutorial.
        dropout: on the features, cached or not; VGG-16's own last dropout (drop7) is 0.5.
        standardise: each feature to mean 0 and variance 1, by its running statistics; for
            backbones whose features are far from that, such as Caffe's.
    """

    reads = "pooled"

    def __init__(
        self,
        *,
        width: int,
        size: int,
        activation: Literal["relu", "selu", "none"] = "relu",
        batch_norm: bool = False,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        standardise: bool = False,
    ):
        super().__init__()
        self.standardise = Standardise(size) if standardise else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(size, width)
        self.normalise = Normalise(width, momentum=0.01) if batch_norm else nn.Identity()
        self.activate = ACTIVATIONS[activation]()

    def forward(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """Encode ``pooled`` of shape (B, F)."""
        features = self.standardise(inputs["pooled"].float())
        projected = self.project(self.dropout(features))
        return Encoded(self.activate(self.normalise(projected)))


class Normalise(nn.BatchNorm1d):
    """Batch norm that takes a batch of one picture as in evaluation: it has no variance."""

    def forward(self, features: Tensor) -> Tensor:
        if len(features) > 1:
            return super().forward(features)
        return F.batch_norm(
            features, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


class Standardise(nn.BatchNorm1d):
    """Features (B, F) to mean 0 and variance 1 by the statistics of all training batches so far.

    Not by the batch's own, as batch norm does while training: with sixteen pictures those are
    noise, and the model would see other features in evaluation.
    """

    by_process = True  # each process follows its own batches; those of rank 0 are kept

    def __init__(self, width: int):
        # momentum None: the plain average over all batches.
        super().__init__(width, momentum=None, affine=False)

    def forward(self, features: Tensor) -> Tensor:
        if self.training and len(features) > 1:
            super().forward(features.detach())
        return F.batch_norm(features, self.running_mean, self.running_var, eps=self.eps)
