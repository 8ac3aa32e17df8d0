"""What every backbone is, and which of its layers train.

A backbone turns preprocessed images into one vector and a grid of vectors. `registry.BACKBONES`
names the families, each a class with random weights at first.

Dimensions: B images, H and W their sides, F pooled width, R grid cells (row by row), C grid width,
K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn


class BackboneOutput(NamedTuple):
    """A batch of features."""

    pooled: Tensor  # (B, F); with class scores these are its last K numbers
    grid: Tensor  # (B, R, C), the last feature map row by row
    scores: Tensor | None = None  # (B, K), class probabilities


class Backbone(nn.Module):
    """Base class.

    Args:
        architecture: what it is called in ``config.yaml``.
        class_scores: whether the classes' probabilities are appended to the pooled features.
    """

    width: int  # F
    grid_width: int  # C
    net: nn.Module  # the layers, under the names of the published state dicts
    # Prefixes of published weights that have no use here, such as an unused classifier.
    dropped: tuple[str, ...] = ()

    def __init__(self, architecture: str, class_scores: bool):
        super().__init__()
        self.architecture, self.class_scores = architecture, class_scores

    def forward(self, images: Tensor) -> BackboneOutput:
        """The images (B, 3, H, W) are preprocessed."""
        raise NotImplementedError

    def translated(self, found: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Published weights under the names of `net`."""
        return found


def as_grid(feature_map: Tensor) -> Tensor:
    """A feature map (B, C, h, w) as cells (B, R, C), R = h * w."""
    return feature_map.flatten(2).transpose(1, 2)


def trainable(backbone: Backbone, finetune_from: str) -> list[nn.Parameter]:
    """The parameters from a layer up.

    Args:
        finetune_from: ``all``, or a layer's name such as ``layer3`` or ``features.10``: it and
            every layer after it, in the order of their definition, which is that of the pass.

    Raises:
        ValueError: no such layer; lists the names.
    """
    modules = _from(backbone.net, finetune_from)
    return [parameter for module in modules for parameter in module.parameters(recurse=False)]


def set_mode(backbone: Backbone, finetune_from: str | None, *, batch_norm: bool = False) -> None:
    """Evaluation mode for the frozen layers, training mode for those that train.

    Args:
        finetune_from: as in `trainable`; None: all frozen.
        batch_norm: whether batch norm in the training layers uses and updates batch statistics;
            otherwise its running statistics stay, which small batches need.
    """
    backbone.eval()
    if finetune_from is None:
        return
    for module in _from(backbone.net, finetune_from):
        is_norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        module.training = batch_norm or not is_norm


def _from(net: nn.Module, name: str) -> list[nn.Module]:
    """The module `name` and all that are defined after it; their parents not."""
    named = list(net.named_modules())
    if name == "all":
        return [module for _, module in named]
    places = [place for place, (found, _) in enumerate(named) if found == name]
    if not places or not name:
        known = ", ".join(layer for layer, _ in named if layer and layer.count(".") < 2)
        raise ValueError(f"the backbone has no layer {name!r}; it has: all, {known}")
    return [module for _, module in named[places[0] :]]
