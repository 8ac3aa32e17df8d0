"""The networks of DenseCap's recipes, with random weights, on small pictures."""

import pytest
import torch

from snakecap.models.dense.dense_captioner import build
from snakecap.objectives.dense import DenseObjective
from tests.dense_systems import dense_training, noise
from tests.systems import TINY

ROWS = {
    "vgg16": (["features.29"], 512, 16),
    "resnet50": (["layer2", "layer3", "layer4"], 16, 8),
}


@pytest.mark.parametrize("architecture", ROWS)
def test_published_trunks_learn(architecture):
    layers, channels, stride = ROWS[architecture]
    training = dense_training(
        inputs={"picture": {"part": "photos", "source": architecture, "options": {"size": 96}}},
        regions={"layers": layers, "side": 3},
        backbones={architecture: {**TINY, "architecture": architecture}},
    )
    model = build(training, vocabulary_size=9, published=False)
    assert (model.trunk.channels, model.trunk.stride) == (channels, stride)
    losses = DenseObjective(model=model, regions=16)(noise(1, 96, 70), 0)
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    first = next(model.trunk.backbone.parameters())
    assert first.grad is not None and first.grad.abs().sum() > 0
