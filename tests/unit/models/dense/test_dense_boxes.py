"""Boxes and transforms: the invariants of densecap's tests, in its own numbers."""

from math import log

import pytest
import torch
from torch.testing import assert_close
from torchvision.ops import box_convert, box_iou, nms

from snakecap.models.dense import boxes as geometry


def corners(*rows):
    return box_convert(torch.tensor(rows, dtype=torch.float64), "cxcywh", "xyxy")


def test_transforms_move_boxes():
    boxes = corners((10, 20, 30, 40), (-30, 50, 100, 200))
    moves = torch.tensor([[0.5, -0.2, 0, log(2)], [0, -0.5, log(0.5), log(1.1)]]).double()
    wanted = corners((25, 12, 30, 80), (-30, -50, 50, 220))
    assert_close(geometry.apply(boxes, moves), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
def test_apply_and_invert_undo_each_other(kind):
    torch.manual_seed(1)
    centres, sides = torch.randn(50, 2) * 100, torch.rand(50, 2) * 90 + 10
    boxes = torch.cat([centres - sides / 2, centres + sides / 2], 1).to(kind)
    others, moves = boxes.flip(0), torch.randn(50, 4).to(kind)
    near = 1e-6 if kind == torch.float64 else 1e-3
    back = geometry.apply(boxes, geometry.invert(boxes, others))
    assert_close(back, others, rtol=near, atol=near)
    again = geometry.invert(boxes, geometry.apply(boxes, moves))
    assert_close(again, moves, rtol=near, atol=near)


def test_gradients_are_those_of_finite_differences():
    boxes = corners((10, 20, 30, 40), (-30, 50, 100, 200)).requires_grad_()
    others = corners((12, 25, 20, 50), (-20, 40, 90, 120)).requires_grad_()
    moves = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(geometry.apply, (boxes, moves))
    assert torch.autograd.gradcheck(geometry.invert, (boxes, others))


def test_plain_overlap():
    """densecap's HEAD computes another, by which a box of 10 x 10 overlaps itself by .68."""
    one, other = corners((10, 10, 10, 10)), corners((15, 15, 10, 10))
    assert_close(box_iou(one, other), torch.tensor([[25 / 175]]).double())
    some = corners((2, 4, 2, 6), (5, 7.5, 2, 5))
    others = corners((5, 8, 4, 2), (4.5, 4.5, 5, 3), (4.5, 0, 5, 4))
    wanted = torch.tensor([[0, 3 / 24, 1 / 31], [4 / 14, 2 / 23, 0]]).double()
    assert_close(box_iou(some, others), wanted)
    assert_close(box_iou(some, some).diagonal(), torch.ones(2).double())


def test_suppression_is_by_falling_score():
    rows = ((-12, 3, -7, 9), (-9, 7, -4, 13), (-8, 8, -3, 14), (3.5, 4.5, 8.5, 12.5))
    rows += ((-6, -6, -1, -1), (4, 5, 9, 13), (4.5, 5.5, 9.5, 13.5))
    boxes = torch.tensor(rows)
    for scores, most, wanted in (
        ((1, 2, 3, 4, 5, 6, 7), 0.7, [7, 5, 4, 3, 2, 1]),
        ((2.5, 2, 3, 4, 5, 10, 7), 0.7, [6, 5, 3, 1, 2]),
        ((1, 2, 3, 4, 5, 6, 7), 0.5, [7, 5, 3, 2, 1]),
    ):
        assert (nms(boxes, torch.tensor(scores, dtype=torch.float32), most) + 1).tolist() == wanted


def test_boxes_are_cut_to_the_picture():
    boxes = corners((0.5, 8.5, 7, 5), (3.5, -0.5, 9, 7), (9.5, 14.5, 7, 5), (9, 7, 4, 4))
    wanted = corners((2, 8.5, 4, 5), (4, 1.5, 8, 3), (9, 13.5, 6, 3), (9, 7, 4, 4))
    size = torch.tensor([12.0, 15.0]).double()
    assert_close(geometry.clip(boxes, size), wanted)
    outside = geometry.clip(corners((-5, 5, 4, 4), (20, 5, 4, 4), (6, 6, 4, 4)), size)
    assert geometry.exists(outside).tolist() == [False, False, True]
    assert geometry.inside(boxes, size).tolist() == [False, False, False, True]


def test_anchors_stand_on_the_centres_of_cells():
    shapes = torch.tensor([(100.0, 200.0), (10.0, 20.0)])
    found = box_convert(geometry.anchors(shapes, (2, 3), 16), "xyxy", "cxcywh")
    centres = [(8, 8), (24, 8), (40, 8), (8, 24), (24, 24), (40, 24)]
    assert found[:, :2].tolist() == [list(map(float, one)) for one in centres * 2]
    assert found[:6, 2:].unique(dim=0).tolist() == [[100, 200]]
    assert found[6:, 2:].unique(dim=0).tolist() == [[10, 20]]
