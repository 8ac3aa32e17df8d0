"""The sizes of the published models, their encoders, and where they compute (spec A5, T15, D32)."""

import pytest
import torch

from snakecap import device
from snakecap.models.decoders.lstm import LSTMDecoder
from snakecap.models.encoders.cnn import CNNEncoder


def encoder(width=512, features=4096, **options):
    torch.manual_seed(0)
    return CNNEncoder(width=width, size=features, **options)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


# Sizes.


def test_neuraltalk2_has_its_parameters():
    """Spec A5: 2,097,664 in the projection and 11,908,448 in the language model at V = 9,567."""
    assert count(encoder()) == 2_097_664
    assert count(LSTMDecoder(width=512, vocabulary_size=9567, hidden_size=512)) == 11_908_448


def test_the_tutorial_has_its_parameters():
    """9,400,595 trainable ones at 9,491 words, of which <pad> is our id 0."""
    one = encoder(256, 2048, activation="none", batch_norm=True)
    decoder = LSTMDecoder(width=256, vocabulary_size=9490, hidden_size=512, dropout=0.0)
    assert count(one) + count(decoder) == 9_400_595
    assert one.normalise.momentum == 0.01


# The encoder.


def test_the_projection_is_linear_and_relu():
    model = encoder().eval()
    features = torch.rand(3, 4096)
    encoded = model({"pooled": features}).summary
    expected = torch.relu(features @ model.project.weight.T + model.project.bias)
    torch.testing.assert_close(encoded, expected)
    assert encoded.shape == (3, 512) and bool((encoded >= 0).all())


def test_the_tutorials_projection_is_linear_and_normalised():
    model = encoder(8, 6, activation="none", batch_norm=True)
    encoded = model({"pooled": torch.rand(64, 6)}).summary
    torch.testing.assert_close(encoded.mean(0), torch.zeros(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(encoded.var(0, unbiased=False), torch.ones(8), atol=1e-2, rtol=0)
    model.eval()
    alone, many = torch.rand(1, 6), torch.rand(5, 6)
    both = model({"pooled": torch.cat([alone, many])}).summary[:1]
    torch.testing.assert_close(model({"pooled": alone}).summary, both)


# Where it computes.


def test_a_cpu_is_enough(monkeypatch):
    """Spec T15 and D34; a GPU that is asked for and missing is an error, not a slow run."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose("auto").type == device.choose("cpu").type == "cpu"
    with pytest.raises(ValueError, match="--device cpu"):
        device.choose("cuda")


def test_threads_are_those_asked_for():
    before = torch.get_num_threads()
    try:
        device.choose("cpu", threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
