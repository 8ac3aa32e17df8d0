"""Backbones, encoders and a decoder as one model: who sees what."""

import pytest
import torch
from torch import nn

from snakecap.models.backbones.backbone import Backbone, BackboneOutput
from snakecap.models.captioner import Captioner, Look
from snakecap.models.decoders.lstm import LSTMDecoder
from snakecap.models.encoders.cnn import CNNEncoder
from snakecap.models.encoders.cnn_grid import CNNGridEncoder

PREPROCESSING = {"crop": None, "scale": 1.0, "mean": (0.0,) * 3, "std": (1.0,) * 3}


class Mean(Backbone):
    """The mean colour, over and over; its grid are the pixels."""

    def __init__(self, width=3, factor=1):
        super().__init__("mean", class_scores=False)
        self.width, self.factor = width, factor
        self.net = nn.Identity()

    def forward(self, images):
        images = images * self.factor
        pooled = images.mean((2, 3)).repeat(1, -(-self.width // 3))[:, : self.width]
        return BackboneOutput(pooled, images.flatten(2).transpose(1, 2))


def captioner(encoders, reads, backbones=None, looks=None):
    return Captioner(
        encoders, LSTMDecoder(width=5, vocabulary_size=3, hidden_size=4), reads, backbones, looks
    )


def looking(width=3, **encoder):
    """One encoder of a picture's pooled features."""
    torch.manual_seed(0)
    crop = {**PREPROCESSING, "crop": encoder.pop("crop", None)}
    cnn = CNNEncoder(width=5, size=width, **encoder)
    return captioner([cnn], ["picture"], {"x": Mean(width)}, {"picture": Look("x", "pooled", crop)})


def pixels(number=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 255, (number, 3, 8, 8), dtype=torch.uint8, generator=generator)


def test_pictures_and_their_features_encode_alike():
    model, images = looking(), pixels()
    pooled = images.float().mean((2, 3))
    seen = model.encode({"picture": {"images": images}}).summary
    torch.testing.assert_close(seen, model.encode({"picture": {"pooled": pooled}}).summary)


def test_flip_and_offset_reach_the_pixels():
    model, images = looking(crop=4), pixels(1)
    corner = {"images": images, "offset": torch.tensor([[0, 0]])}
    expected = {"pooled": images[:, :, :4, :4].float().mean((2, 3))}
    torch.testing.assert_close(
        model.encode({"picture": corner}).summary, model.encode({"picture": expected}).summary
    )
    mirrored = {"images": images.flip(3), "offset": torch.tensor([[0, 4]])}
    mirrored["flip"] = torch.tensor([True])
    torch.testing.assert_close(
        model.encode({"picture": mirrored}).summary, model.encode({"picture": expected}).summary
    )


def test_features_are_dropped_in_training_only_cached_or_not():
    model, seen = looking(3000, dropout=0.5), {}
    project = model.encoders[0].project
    project.register_forward_hook(lambda module, inputs, output: seen.update(x=inputs[0]))
    images = torch.full((2, 3, 4, 4), 100, dtype=torch.uint8)
    for inputs in ({"pooled": torch.full((2, 3000), 100.0)}, {"images": images}):
        model.train().encode({"picture": inputs})
        assert (seen["x"] == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)
        model.eval().encode({"picture": inputs})
        assert bool((seen["x"] == 100).all())


def test_summaries_of_several_encoders_add_up():
    one, other = (CNNEncoder(width=5, size=6).eval() for _ in range(2))
    inputs = {"pooled": torch.rand(2, 6)}
    model = captioner([one, other], ["a", "a"])
    expected = one(inputs).summary + other(inputs).summary
    torch.testing.assert_close(model.encode({"a": inputs}).summary, expected)


def test_each_encoder_reads_its_own_input_and_each_input_its_own_backbone():
    """Two backbones; the second's pooled features and its grid are two inputs."""
    pooled = [CNNEncoder(width=5, size=3), CNNEncoder(width=5, size=3)]
    grid = CNNGridEncoder(width=5, size=3)
    looks = {
        "first": Look("plain", "pooled", PREPROCESSING),
        "second": Look("tenfold", "pooled", PREPROCESSING),
        "cells": Look("tenfold", "grid", {**PREPROCESSING, "crop": 4}),
    }
    backbones = {"plain": Mean(), "tenfold": Mean(factor=10)}
    reads = ["second", "cells", "first"]
    model = captioner([pooled[0], grid, pooled[1]], reads, backbones, looks).eval()
    images = pixels()
    mean = images.float().mean((2, 3))
    found = model.encode({name: {"images": images} for name in looks})
    cells = grid({"grid": 10 * images[:, :, 2:6, 2:6].float().flatten(2).transpose(1, 2)})
    summary = pooled[0]({"pooled": 10 * mean}).summary + pooled[1]({"pooled": mean}).summary
    torch.testing.assert_close(found.summary, summary + cells.summary)
    torch.testing.assert_close(found.regions, cells.regions)
