"""Pictures to regions, and each region to what a decoder reads.

Source: Johnson, Karpathy and Fei-Fei, "DenseCap: Fully Convolutional Localization Networks for
Dense Captioning" (CVPR 2016), and its code. docs/systems.md lists what differs.

Dimensions: B pictures, R regions of each, N regions of all, C channels, S side, F numbers of a
code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snakecap import registry
from snakecap.config import options
from snakecap.config.settings import Training
from snakecap.models.backbones.backbone import Backbone
from snakecap.models.backbones.preprocess import preprocess
from snakecap.models.backbones.weights import load_weights
from snakecap.models.decoders.decoder import Decoder
from snakecap.models.dense.pooling import pool
from snakecap.models.dense.proposals import ProposalNetwork
from snakecap.models.dense.recognition import RecognitionNetwork, RegionEncoder
from snakecap.models.dense.trunk import Trunk

Inputs = Mapping[str, Mapping[str, Tensor]]


class Seen(NamedTuple):
    """Pictures that the trunk has looked at."""

    map: Tensor  # (B, C, h, w)
    sizes: Tensor  # widths and heights in pixels of the network's image, (B, 2)
    frame: tuple[int, int]  # width and height of the map in such pixels


class DenseCaptioner(nn.Module):
    """A trunk, what finds regions, what recognises them, and a decoder.

    Args:
        preprocessing: arguments of `preprocess` that the trunk was trained with.
        side: S.
    """

    def __init__(
        self,
        trunk: Trunk,
        proposals: ProposalNetwork,
        recognition: RecognitionNetwork,
        encoder: RegionEncoder,
        decoder: Decoder,
        preprocessing: Mapping[str, Any],
        side: int,
    ):
        super().__init__()
        self.trunk, self.proposals, self.recognition = trunk, proposals, recognition
        self.encoder, self.decoder = encoder, decoder
        self.preprocessing, self.side = dict(preprocessing), side

    def see(self, inputs: Inputs) -> Seen:
        """Look at the one input's ``images``, uint8 (B, 3, H, W), of ``sizes`` (B, 2)."""
        [values] = inputs.values()
        stride, least = self.trunk.stride, self.trunk.least
        sides = (max(side, least) for side in values["images"].shape[2:])
        height, width = (-(-side // stride) * stride for side in sides)
        pixels = preprocess(values["images"], **self.preprocessing)
        right, below = width - pixels.shape[3], height - pixels.shape[2]
        whole = F.pad(_without_padding(pixels, values["sizes"]), (0, right, 0, below))
        return Seen(self.trunk(whole), values["sizes"], (width, height))

    def pool(self, seen: Seen, boxes: Tensor) -> Tensor:
        """The features (B, R, C, S, S) of boxes (B, R, 4)."""
        return pool(seen.map, boxes, seen.frame, self.side)

    def in_context(self, seen: Seen, codes: Tensor, owners: Tensor) -> Tensor:
        """Codes (N, F) of regions of pictures `owners` (N,) as `encoder` reads them.

        Returns:
            The same, or with a context (N, 2 F): each beside its whole picture's.
        """
        if not self.encoder.context:
            return codes
        whole = torch.cat([torch.zeros_like(seen.sizes), seen.sizes], 1).unsqueeze(1)
        pictures = self.recognition.base(self.pool(seen, whole).squeeze(1))
        return torch.cat([codes, pictures[owners]], 1)


def _without_padding(pixels: Tensor, sizes: Tensor) -> Tensor:
    """Preprocessed pixels (B, 3, H, W) with zeros outside of the pictures, as convolutions pad."""
    columns, rows = (
        torch.arange(side, device=pixels.device) for side in (pixels.shape[3], pixels.shape[2])
    )
    inside = (columns < sizes[:, :1])[:, None, None] & (rows < sizes[:, 1:])[:, None, :, None]
    return pixels * inside


def build(training: Training, *, vocabulary_size: int, published: bool) -> DenseCaptioner:
    """Compose the model of a training job, with fresh weights.

    Args:
        published: whether the backbone has its row's weights; of VGG the region's two layers
            are then its fc6 and fc7.
    """
    [row] = training.backbones.values()
    given = training.regions
    backbone: Backbone = registry.load("backbone", row.family)(row.architecture, row.class_scores)
    if published:
        load_weights(backbone, row.architecture, row.weights)
    classifier = getattr(backbone.net, "classifier", None)
    trunk = Trunk(backbone, given.layers, given.pyramid)
    anchors = [(w * given.anchor_scale, h * given.anchor_scale) for w, h in given.anchors]
    proposals = ProposalNetwork(
        trunk.channels, filters=given.filters, anchors=anchors, stride=trunk.stride
    )
    recognition = RecognitionNetwork(
        trunk.channels, side=given.side, code=given.code, dropout=given.dropout
    )
    if published and classifier is not None:
        _take_over(recognition, classifier)
    part = training.decoder
    looks = any(options.constant("decoder", part.part, w) for w in ("reads_regions", "attends"))
    encoder = RegionEncoder(
        training.width,
        code=given.code,
        channels=trunk.channels if looks else 0,
        context=given.context,
    )
    known = {"width": training.width, "vocabulary_size": vocabulary_size, "constant_size": 0}
    decoder: Decoder = options.build("decoder", part.part, part.options, known)
    preprocessing = {**row.preprocess.model_dump(exclude={"crops"}), "crop": None}
    return DenseCaptioner(
        trunk, proposals, recognition, encoder, decoder, preprocessing, given.side
    )


def _take_over(recognition: RecognitionNetwork, classifier: nn.Module) -> None:
    """The weights of VGG's fc6 and fc7, where their sizes are those of the region's two layers."""
    given = [one for one in classifier.modules() if isinstance(one, nn.Linear)]
    own = [one for one in recognition.base if isinstance(one, nn.Linear)]
    shapes = [[one.weight.shape for one in layers] for layers in (given[:2], own)]
    if shapes[0] == shapes[1]:
        for mine, published in zip(own, given, strict=False):
            mine.load_state_dict(published.state_dict())
