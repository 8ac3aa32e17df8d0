"""Preprocessing: crops, mirroring, normalisation and channel order (spec I1, I2)."""

import pytest
import torch
from torch import nn

from snakecap.config.settings import Preprocess
from snakecap.models.backbones.preprocess import preprocess

PLAIN = {"crop": None, "scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def pictures(number: int = 3, side: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (number, 3, side, side), dtype=torch.uint8, generator=generator)


def test_it_equals_the_formula():
    images, settings = pictures(), Preprocess(crop=None)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (settings.mean, settings.std))
    found = preprocess(images, **settings.model_dump(exclude={"crops"}))
    assert found.dtype == torch.float32 and found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, (images / 255 - mean) / std, rtol=1e-5, atol=1e-5)


def test_neuraltalk2s_mean_of_0_to_255():
    values = {"crop": None, "scale": 1, "mean": (123.68, 116.779, 103.939), "std": (1, 1, 1)}
    images = pictures()
    found = preprocess(images, **Preprocess(**values).model_dump(exclude={"crops"}))
    torch.testing.assert_close(found[:, 0], images[:, 0].float() - 123.68)
    torch.testing.assert_close(found[:, 2], images[:, 2].float() - 103.939)


SUBTRACT_HALF = {"mean": (0.5, 0.5, 0.5), "std": (1, 1, 1)}
SKIP = {"mean": (0, 0, 0), "std": (1, 1, 1)}
CAFFE = {"scale": 1, "mean": (123.68, 116.779, 103.939), "std": (1, 1, 1), "bgr": True}


@pytest.mark.parametrize(
    ("values", "formula"),
    [
        (SKIP, lambda rgb: rgb / 255),
        (SUBTRACT_HALF, lambda rgb: rgb / 255 - 0.5),
        (CAFFE, lambda rgb: rgb.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)),
    ],
)
def test_deepcaptions_normalisations(values, formula):
    """Spec D11; what it calls default is ours, above."""
    images = pictures()
    settings = Preprocess(crop=None, **values)
    found = preprocess(images, **settings.model_dump(exclude={"crops"}))
    torch.testing.assert_close(found, formula(images.float()), rtol=1e-5, atol=1e-4)


def test_bgr_into_caffes_filters_equals_rgb_into_swapped_filters():
    """Spec I1: NeuralTalk2 swapped the first convolution's inputs, not the picture's channels."""
    torch.manual_seed(0)
    caffe, swapped = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    swapped.load_state_dict({"weight": caffe.weight.flip(1), "bias": caffe.bias})
    values = {
        "crop": None,
        "scale": 1.0,
        "mean": (123.68, 116.779, 103.939),
        "std": (1.0, 2.0, 3.0),
    }
    images = pictures()
    found = caffe(preprocess(images, **values, bgr=True))
    expected = swapped(preprocess(images, **values))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-2)
    assert not torch.allclose(caffe(preprocess(images, **values)), expected, atol=1)


@pytest.mark.parametrize(
    ("side", "crop", "start"), [(256, 224, 16), (12, 8, 2), (12, 7, 2), (9, 9, 0)]
)
def test_the_centre_crop(side, crop, start):
    images = pictures(2, side)
    found = preprocess(images, **{**PLAIN, "crop": crop})
    assert torch.equal(found, images[:, :, start : start + crop, start : start + crop].float())


def test_every_picture_has_its_own_crop():
    images = pictures()
    offset = torch.tensor([[0, 0], [4, 1], [2, 4]])
    found = preprocess(images, **{**PLAIN, "crop": 8}, offset=offset)
    for k, (top, left) in enumerate(offset.tolist()):
        assert torch.equal(found[k], images[k, :, top : top + 8, left : left + 8].float())


@pytest.mark.parametrize("flip", [True, torch.tensor([True, False, True])])
def test_mirroring_comes_after_the_crop(flip):
    images = pictures()
    offset = torch.tensor([[0, 0], [4, 1], [2, 4]])
    values = {**PLAIN, "crop": 8, "offset": offset}
    plain, found = preprocess(images, **values), preprocess(images, **values, flip=flip)
    for k in range(3):
        mirrored = flip is True or bool(flip[k])
        assert torch.equal(found[k], plain[k].flip(2) if mirrored else plain[k])


def test_the_input_stays_as_it_was():
    images = pictures()
    before = images.clone()
    preprocess(images, **PLAIN, flip=True)
    assert torch.equal(images, before)


def test_a_crop_that_does_not_fit_says_what_to_change():
    with pytest.raises(ValueError, match=r"crop of 224 .* pictures of 12: .*crop.* resize\.size"):
        preprocess(pictures())


def test_what_inference_made_serves_training():
    """Gain and shift are made once, perhaps by `features`, in inference mode."""
    values = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "crop": None}
    with torch.inference_mode():
        preprocess(pictures(), **values)
    weight = nn.Parameter(torch.ones(()))
    (preprocess(pictures(), **values) * weight).sum().backward()
    assert weight.grad is not None
