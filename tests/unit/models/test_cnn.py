"""The CNN encoder: projection, activation, dropout and standardised features."""

import pytest
import torch

from snakecap import registry
from snakecap.config import options
from snakecap.models.encoders.cnn import CNNEncoder, Standardise


def encoder(**options):
    torch.manual_seed(0)
    return CNNEncoder(width=5, size=3, **options)


@pytest.mark.parametrize("name", registry.ENCODERS)
def test_what_settings_are_told_of_an_encoder_is_true(name):
    """What it reads, and whether it gives regions, without which attention is refused."""
    inputs = {
        "pooled": torch.rand(2, 3),
        "grid": torch.rand(2, 4, 3),
        "categories": torch.tensor([[1, 2], [3, 0]]),
        "boxes": torch.rand(2, 2, 4),
    }
    reads = options.constant("encoder", name, "reads")
    regions = {"features": inputs["grid"], "geometry": torch.rand(2, 4, 5)}
    several = {
        "layout": {name: inputs[name] for name in ("categories", "boxes")},
        "regions": {**regions, "mask": torch.ones(2, 4, dtype=torch.bool)},
    }
    seen = several.get(reads) or {reads: inputs[reads]}
    sizes = {"width": 8, "categories": 3, "size": 3}
    encoded = options.build("encoder", name, {}, sizes)(seen)
    gives = bool(options.constant("encoder", name, "gives_regions"))
    assert gives == (encoded.regions is not None)


def test_projection_and_relu_by_hand():
    model = encoder()
    features = torch.randn(4, 3)
    expected = (features @ model.project.weight.T + model.project.bias).clamp(min=0)
    torch.testing.assert_close(model({"pooled": features}).summary, expected)
    assert (encoder(activation="none")({"pooled": features}).summary < 0).any()


def test_batch_norm_is_the_tutorials():
    model = encoder(batch_norm=True, activation="none")
    assert model.normalise.momentum == 0.01
    out = model({"pooled": torch.randn(64, 3) * 9 + 4}).summary
    torch.testing.assert_close(out.mean(0), torch.zeros(5), atol=1e-5, rtol=0)


def test_standardise_learns_the_statistics_of_all_batches():
    layer = Standardise(3)
    batches = [torch.randn(16, 3) * 7 + 30 for _ in range(50)]
    for batch in batches:
        layer(batch)
    whole = torch.cat(batches)
    torch.testing.assert_close(layer.running_mean, whole.mean(0))
    out = layer.eval()(whole)
    assert out.mean().abs() < 0.05
    assert (out.std(0) - 1).abs().max() < 0.1


def test_standardise_treats_training_and_evaluation_alike():
    layer = Standardise(3)
    for _ in range(20):
        layer(torch.randn(16, 3) * 7 + 30)
    features = torch.randn(2, 3, requires_grad=True)
    trained = layer(features)
    torch.testing.assert_close(trained, layer.eval()(features))
    trained.sum().backward()
    assert bool((features.grad > 0).all())  # a fixed scale: gradients pass
    layer.train()(features[:1])  # one picture has no variance: nothing is learned from it


def test_dropout_is_on_the_features():
    model = encoder(dropout=0.5, activation="none").train()
    model.project.bias.data.zero_()
    out = [model({"pooled": torch.ones(1, 3)}).summary for _ in range(64)]
    silent = sum(bool((x == 0).all()) for x in out)
    assert silent == pytest.approx(64 / 8, abs=8)


def test_one_picture_is_normalised_as_in_evaluation():
    """The last batch of an epoch may be one picture, and torch's own batch norm refuses it."""
    model = encoder(batch_norm=True, activation="none")
    model.train()
    model({"pooled": torch.randn(5, 3)})
    one = torch.randn(1, 3)
    before = model.normalise.running_mean.clone()
    trained = model({"pooled": one}).summary
    assert torch.equal(model.normalise.running_mean, before)
    assert torch.equal(trained, model.eval()({"pooled": one}).summary)
