"""Bilinear pooling: densecap's affine numbers, exact maps, and gradients in the boxes."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close
from torchvision.ops import box_convert

from snakecap.models.dense.pooling import _samples, pool


def maps(height=6, width=8, pictures=2, channels=3):
    torch.manual_seed(0)
    return torch.randn(pictures, channels, height, width, dtype=torch.float64)


def test_a_box_is_densecaps_affine_transform():
    """Its BoxToAffine: 1-counted centres in a picture of 30 x 20, scale and offset by axis."""
    for (xc, yc, w, h), across, down in (
        ((15.5, 10.5, 30, 20), (1, 0), (1, 0)),
        ((10, 12, 4, 5), (2 / 15, -11 / 29), (1 / 4, 3 / 19)),
        ((15, 17, 2, 3), (1 / 15, -1 / 29), (3 / 20, 13 / 19)),
    ):
        box = torch.tensor([[xc - 0.5, yc - 0.5, w, h]], dtype=torch.float64)
        edges = box_convert(box, "cxcywh", "xyxy")
        spread = torch.linspace(-1, 1, 7, dtype=torch.float64)
        for axis, length, (scale, offset) in ((0, 30, across), (1, 20, down)):
            found = _samples(edges[:, axis::2], length, 7)[0]
            assert_close(found, scale * spread + offset)


def test_the_whole_picture_gives_the_map_itself():
    features = maps(7, 7)
    whole = torch.tensor([[[0, 0, 70, 50]]] * 2, dtype=torch.float64)
    assert_close(pool(features, whole, (70, 50))[:, 0], features)


def test_a_ramp_gives_the_boxs_own_grid():
    ramp = torch.linspace(0, 1, 9, dtype=torch.float64).expand(1, 1, 5, 9)
    box = torch.tensor([[[20.0, 10.0, 60.0, 30.0]]], dtype=torch.float64)
    [values] = pool(ramp, box, (90, 50))[0, 0, 0, :1]
    spread = torch.linspace(-1, 1, 7, dtype=torch.float64)
    assert_close(values, (40 / 90 * spread + (80 - 90) / 89 + 1) / 2)


def test_a_constant_map_is_constant_and_nothing_is_outside():
    features = torch.ones(1, 2, 5, 5)
    boxes = torch.tensor([[[5.0, 5.0, 20.0, 20.0], [200.0, 200.0, 220.0, 220.0]]])
    found = pool(features, boxes, (40, 40))
    assert_close(found[:, 0], torch.ones(1, 2, 7, 7))
    assert_close(found[:, 1], torch.zeros(1, 2, 7, 7))


def test_a_batch_is_its_boxes_one_by_one():
    """By torch's own affine grid, forward and backward."""
    features = maps().requires_grad_()
    edges = torch.rand(2, 4, 2, 2, dtype=torch.float64).sort(2).values * 50
    boxes = edges.flatten(2)
    found = pool(features, boxes, (64, 48))
    found.square().sum().backward()
    batched, features.grad = features.grad, None
    singles = [[_single(features[b], boxes[b, r]) for r in range(4)] for b in range(2)]
    whole = torch.stack([torch.stack(row) for row in singles])
    assert_close(found, whole)
    whole.square().sum().backward()
    assert_close(batched, features.grad)


def _single(features, box, width=64, height=48):
    x0, y0, x1, y1 = box.tolist()
    theta = torch.tensor(
        [
            [(x1 - x0) / width, 0, (x0 + x1 - width) / (width - 1)],
            [0, (y1 - y0) / height, (y0 + y1 - height) / (height - 1)],
        ],
        dtype=torch.float64,
    )
    grid = F.affine_grid(theta[None], [1, 3, 7, 7], align_corners=True)
    return F.grid_sample(features[None], grid, align_corners=True)[0]


@pytest.mark.parametrize("side", [2, 7])
def test_gradients_reach_the_boxes(side):
    features = maps(pictures=1).requires_grad_()
    boxes = torch.tensor([[[3.3, 4.1, 40.7, 30.9], [10.2, 8.4, 20.6, 19.3]]]).double()
    boxes.requires_grad_()
    assert torch.autograd.gradcheck(lambda f, b: pool(f, b, (64, 48), side), (features, boxes))
