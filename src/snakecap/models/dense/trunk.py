"""The map that regions are found in and pooled from: a backbone up to some of its layers.

VGG-16 as published ends at ``features.29``, the ReLU of conv5_3 before the last pool. Of several
layers a feature pyramid (Lin et al., CVPR 2017) makes one map, of the finest's cells.

Dimensions: B pictures, H and W their sides, C channels, h and w cells.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.ops import FeaturePyramidNetwork

from snakecap.models.backbones.backbone import Backbone

SQUARE = 224  # pixels of the picture that a trunk is measured with


class Trunk(nn.Module):
    """A backbone's map.

    Args:
        layers: their names, as in a stage's `finetune_from`, the finest map first; none: the
            backbone's own grid. What comes after them is cut off the backbone.
        channels: C of a feature pyramid.

    Raises:
        ValueError: the backbone has no such layer, or its outputs are no maps.
    """

    def __init__(self, backbone: Backbone, layers: Sequence[str] = (), channels: int = 256):
        super().__init__()
        self.backbone, self.layers = backbone, tuple(layers)
        if layers:
            backbone.net = _upto(backbone.net, self.layers)
        widths, cells, fewest = self._measured()
        self.pyramid = FeaturePyramidNetwork(widths, channels) if len(widths) > 1 else None
        self.channels = channels if self.pyramid else widths[0]
        self.stride = SQUARE // cells  # pixels of a cell
        self.least = SQUARE // fewest  # pixels of the coarsest map's cell

    def forward(self, images: Tensor) -> Tensor:
        """Preprocessed images (B, 3, H, W), whole cells, to a map (B, C, h, w)."""
        maps = self._maps(images)
        if self.pyramid is None:
            return maps[self.layers[0] if self.layers else ""]
        merged: dict[str, Tensor] = self.pyramid(maps)
        return merged[self.layers[0]]

    def _maps(self, images: Tensor) -> OrderedDict[str, Tensor]:
        if self.layers:
            found = self.backbone.net(images)
            return OrderedDict((name, found[name]) for name in self.layers)
        cells = self.backbone(images).grid  # (B, h * w, C), row by row
        across = round((cells.shape[1] * images.shape[3] / images.shape[2]) ** 0.5)
        return OrderedDict({"": cells.transpose(1, 2).unflatten(2, (-1, across))})

    @torch.no_grad()
    def _measured(self) -> tuple[list[int], int, int]:
        """The channels of the maps, and the first's and last's cells along a side of `SQUARE`."""
        self.eval()
        maps = [*self._maps(torch.zeros(1, 3, SQUARE, SQUARE)).values()]
        self.train()
        if any(one.ndim != 4 for one in maps):
            raise ValueError(f"not all of {', '.join(self.layers)} give maps: name convolutions")
        return [one.shape[1] for one in maps], maps[0].shape[3], maps[-1].shape[3]


def _upto(net: nn.Module, layers: Sequence[str]) -> nn.Module:
    """A network that gives the outputs of some layers by name, and has nothing after them."""
    known = dict(net.named_modules())
    if unknown := [name for name in layers if name not in known]:
        names = ", ".join(name for name in known if name and name.count(".") < 2)
        raise ValueError(f"the backbone has no layer {unknown[0]!r}; it has: {names}")
    cut: nn.Module = create_feature_extractor(net, {name: name for name in layers})
    return cut
