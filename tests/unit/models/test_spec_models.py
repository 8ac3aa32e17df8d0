"""The encoder, what it reads, and the sizes of the published models (spec A5, I2, M1, T15, D32)."""

import pytest
import torch
from torch import nn

from snakecap import device
from snakecap.inputs.inputs import CachedFeatures, Pixels
from snakecap.inputs.prefetch import Ahead
from snakecap.models.backbones.backbone import Backbone, BackboneOutput
from snakecap.models.captioner import Captioner
from snakecap.models.decoders.lstm import LSTMDecoder
from snakecap.models.encoders.cnn import CNNEncoder

PREPROCESSING = {"crop": None, "scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


class Mean(Backbone):
    """The mean colour, over and over."""

    def __init__(self, width):
        super().__init__("mean", class_scores=False)
        self.width = width
        self.net = nn.Identity()

    def forward(self, images):
        mean = images.mean((2, 3))
        pooled = mean.repeat(1, -(-self.width // 3))[:, : self.width]
        return BackboneOutput(pooled, pooled.unsqueeze(1))


def encoder(width=512, features=4096, **options):
    torch.manual_seed(0)
    backbone = Mean(features)
    return CNNEncoder(width=width, backbone=backbone, preprocessing=PREPROCESSING, **options)


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


def test_features_are_dropped_in_training_only_cached_or_not():
    model = encoder(features=3000, dropout=0.5)
    seen = {}
    model.project.register_forward_hook(lambda module, inputs, output: seen.update(x=inputs[0]))
    images = torch.full((2, 3, 4, 4), 100, dtype=torch.uint8)
    for inputs in ({"pooled": torch.full((2, 3000), 100.0)}, {"images": images}):
        model.train()(inputs)
        assert (seen["x"] == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)
        model.eval()(inputs)
        assert bool((seen["x"] == 100).all())


def test_summaries_of_several_encoders_add_up():
    one, other = encoder(8, 6).eval(), encoder(8, 6).eval()
    inputs = {"pooled": torch.rand(2, 6)}
    model = Captioner([one, other], LSTMDecoder(width=8, vocabulary_size=3, hidden_size=4))
    torch.testing.assert_close(model.encode(inputs).summary, 2 * one(inputs).summary)


# What it reads.


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (6, 3, 10, 10), generator=generator, dtype=torch.uint8).numpy()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_pictures_are_plain_unless_asked(images):
    """Spec I2: no mirroring and no crop by default, and never outside of training."""
    rows = torch.tensor([4, 1])
    plain = Pixels(lambda wanted: images[wanted], torch.device("cpu"))
    both = Pixels(lambda wanted: images[wanted], torch.device("cpu"), margin=2)
    augmented = plain.augmented(rows, None, generator())
    for inputs in (plain.plainly(rows), augmented, both.plainly(rows)):
        assert inputs.keys() == {"images"}
        assert torch.equal(inputs["images"], torch.from_numpy(images[[4, 1]]))


def test_augmented_pictures_have_each_their_own_crop_and_the_batchs_mirroring(images):
    source = Pixels(lambda wanted: images[wanted], torch.device("cpu"), margin=2)
    rows = torch.arange(6)
    flip = torch.tensor([True, False, False, True, True, False])
    found = [source.augmented(rows, flip, generator(seed)) for seed in range(40)]
    offsets = torch.cat([inputs["offset"] for inputs in found])
    assert set(offsets.unique().tolist()) == {0, 1, 2}  # the last one too; the original never
    assert len(offsets[:6].unique(dim=0)) > 1  # the original had one for the whole batch
    assert all(torch.equal(inputs["flip"], flip) for inputs in found)
    again = source.augmented(rows, flip, generator(0))
    assert all(torch.equal(again[name], found[0][name]) for name in again)


@pytest.mark.parametrize("shape", [(50, 2), (50, 4, 2)])
def test_cached_features_are_mirrored_where_the_batch_is_in_training_only(shape):
    plain, mirrored = torch.zeros(shape), torch.ones(shape)
    source = CachedFeatures(torch.cat([plain, mirrored]), mirrored=50, output="grid")
    rows = torch.arange(50).flip(0)
    flip = torch.rand(50, generator=generator()) < 0.5
    assert bool((source.plainly(rows)["grid"] == 0).all())
    seen = source.augmented(rows, flip, generator())["grid"]
    assert torch.equal(seen.flatten(1).amin(1) == 1, flip)
    assert torch.equal(seen.flatten(1).amax(1) == 1, flip)
    some = source.augmented(rows, flip, generator(), slice(1, 30))["grid"]
    assert torch.equal(some, seen[1:30])
    for unmirrored in (
        source.augmented(rows, None, generator()),
        CachedFeatures(plain, output="grid").augmented(rows, flip, generator()),
    ):
        assert bool((unmirrored["grid"] == 0).all())


def test_batches_made_ahead_are_those_asked_for():
    """In any order, as after a restart; an error arrives with its own batch."""

    def make(iteration):
        if iteration == 3:
            raise KeyError(iteration)
        return iteration * 10

    ahead = Ahead(make, 5)
    assert [ahead(0), ahead(1), ahead(2)] == [0, 10, 20]
    with pytest.raises(KeyError):
        ahead(3)
    assert [ahead(4), ahead(0)] == [40, 0]
    ahead.close()


# Where it computes.


def test_a_cpu_is_enough(monkeypatch):
    """Spec T15 and D34; a GPU that is asked for and missing is an error, not a slow run."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose("auto").type == device.choose("cpu").type == "cpu"
    with pytest.raises(ValueError, match="--device cpu"):
        device.choose("cuda")
    assert device.precision("auto", torch.device("cpu")) == "float32"
    assert device.precision("auto", torch.device("cuda")) == "bfloat16"
    assert device.precision("float32", torch.device("cuda")) == "float32"


def test_threads_are_those_asked_for():
    before = torch.get_num_threads()
    try:
        device.choose("cpu", threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
