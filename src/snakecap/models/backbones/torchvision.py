"""Any torchvision classification network as a backbone, under torchvision's own layer names.

Pooled features are what the network's last Linear sees: fc7 after its ReLU for VGG (NeuralTalk2's
VGG-16: 4096), the average pool for ResNet and most others, the class token for ViT. SqueezeNet has
no Linear: the mean of its last map (512). The grid is the last feature map; for ViT, the patches'
tokens. Auxiliary classifiers are left out, and so is a dropout just before the last Linear: that
is an option of the encoder, which drops cached features alike.
"""

from __future__ import annotations

import difflib
from typing import Any

import torch
from torch import Tensor, nn

from snakecap.models.backbones.backbone import Backbone, BackboneOutput, as_grid

# The submodule whose output is the last feature map; the first of these that a network has.
GRIDS = (
    "layer4",  # ResNet, ResNeXt, wide ResNet
    "trunk_output",  # RegNet
    "conv5",  # ShuffleNet
    "Mixed_7c",  # Inception
    "inception5b",  # GoogLeNet
    "permute",  # Swin: channels first again, after the norm
    "blocks",  # MaxVit
    "encoder",  # ViT
    "layers",  # MNASNet
    "features",  # AlexNet, VGG, SqueezeNet, DenseNet, MobileNet, EfficientNet, ConvNeXt
)
# No auxiliary heads; torchvision's own slow initialisation is deprecated there.
OPTIONS = {
    "googlenet": {"aux_logits": False, "init_weights": False, "transform_input": True},
    "inception_v3": {"aux_logits": False, "init_weights": False, "transform_input": True},
}
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")


class Torchvision(Backbone):
    """A torchvision network that hands out its last feature map and its last vector."""

    def __init__(self, architecture: str, class_scores: bool = False):
        super().__init__(architecture, class_scores)
        self.net = _network(architecture)
        head_name, self._reads_map = _head(self.net)
        _leave_dropout_to_the_encoder(self.net, head_name)
        self.dropped = AUXILIARY
        if not class_scores:  # an unused classifier would be stored in every model
            self.net.set_submodule(head_name, nn.Identity())
            self.dropped += (f"{head_name}.",)
        self._seen: dict[str, Tensor] = {}
        self.net.get_submodule(head_name).register_forward_pre_hook(self._see_head)
        _grid_module(self.net).register_forward_hook(self._see_grid)
        self.width, self.grid_width = self._widths()

    def _see_head(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._seen["head"] = inputs[0]

    def _see_grid(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self._seen["grid"] = output

    def forward(self, images: Tensor) -> BackboneOutput:
        try:
            logits = self.net(images)
            return self._output(self._seen["head"], self._seen["grid"], logits)
        finally:
            self._seen.clear()

    def _output(self, head: Tensor, grid: Tensor, logits: Tensor) -> BackboneOutput:
        if grid.ndim == 3:  # ViT: the class token is the first
            cells = grid[:, 1:]
        else:
            # DenseNet's forward has a ReLU between its features and the pool.
            is_dense = self.architecture.startswith("densenet")
            cells = as_grid(grid.relu() if is_dense else grid)
        pooled = head.mean((2, 3)) if self._reads_map else head
        if not self.class_scores:
            return BackboneOutput(pooled, cells)
        scores = logits.float().softmax(1).to(pooled.dtype)
        return BackboneOutput(torch.cat([pooled, scores], 1), cells, scores)

    def _widths(self) -> tuple[int, int]:
        """F and C, from a pass that computes shapes only."""
        state = {**dict(self.net.named_parameters()), **dict(self.net.named_buffers())}
        shapes = {name: torch.empty_like(value, device="meta") for name, value in state.items()}
        side = 299 if self.architecture == "inception_v3" else 224
        images = torch.empty(1, 3, side, side, device="meta")
        self.eval()
        with torch.no_grad():
            logits = torch.func.functional_call(self.net, shapes, (images,))
        output = self._output(self._seen["head"], self._seen["grid"], logits)
        self._seen.clear()
        self.train()
        return output.pooled.shape[1], output.grid.shape[2]


def _network(architecture: str) -> nn.Module:
    from torchvision import models

    known = models.list_models(module=models)
    if architecture not in known:
        close = ", ".join(difflib.get_close_matches(architecture, known, 5, 0.4)) or "none"
        raise ValueError(
            f"torchvision has no classification network {architecture!r}; the closest names: "
            f"{close}; all: torchvision.models.list_models(module=torchvision.models)"
        )
    options = OPTIONS.get(architecture, {})
    net: nn.Module = models.get_model(architecture, weights=None, **options)
    return net


def _head(net: nn.Module) -> tuple[str, bool]:
    """The classifier's name, and whether it reads a feature map rather than a vector."""
    linear = [name for name, module in net.named_modules() if isinstance(module, nn.Linear)]
    return (linear[-1], False) if linear else ("classifier", True)


def _leave_dropout_to_the_encoder(net: nn.Module, head: str) -> None:
    """Otherwise a fine-tuned network would drop its features, and the encoder once more.

    That is the dropout just before the head, and what is in it, which would blur class scores.
    """
    names = [name for name, _ in net.named_modules()]
    for name in names[names.index(head) - 1 :]:
        if isinstance(net.get_submodule(name), nn.Dropout):
            net.set_submodule(name, nn.Identity())


def _grid_module(net: nn.Module) -> nn.Module:
    found: Any = net.get_submodule(next(name for name in GRIDS if hasattr(net, name)))
    return found[-1] if isinstance(found, nn.ModuleList) else found
