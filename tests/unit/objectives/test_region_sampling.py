"""Which proposals teach: densecap's BoxSampler test, in its own numbers."""

import torch
from torchvision.ops import box_convert

from snakecap.objectives.region_sampling import Matched, draw, match

BOXES = [(-4, 6, 4, 4), (-6.5, 1.5, 2, 6), (-4.5, -0.5, 6, 6), (-6.5, -6.5, 3, 3)]
BOXES += [(-0.5, -7.5, 3, 3), (7.5, -5.5, 3, 5), (5.5, -3, 6, 3), (4.5, 2, 3, 7)]
BOXES += [(6.5, 5, 6, 3), (4, 5, 3, 5)]
REGIONS = [(-6.5, 1.5, 3, 7), (4.5, 4.5, 3, 5), (5, -2.5, 6, 3)]


def corners(rows):
    return box_convert(torch.tensor(rows, dtype=torch.float64), "cxcywh", "xyxy")


def bits(mask):
    return "".join(str(int(one)) for one in mask)


def test_who_shows_a_region():
    every = torch.ones(10, dtype=torch.bool)
    found = match(corners(BOXES), corners(REGIONS), every, low=0.2, high=0.4)
    assert (bits(found.positive), bits(found.negative)) == ("0100001101", "1001110000")
    assert found.regions[found.positive].tolist() == [0, 2, 1, 1]


def test_outside_is_neither_but_for_the_best_of_a_region():
    moved = [*BOXES[:4], (0.5, -7.5, 3, 3), *BOXES[5:]]
    boxes = corners(moved)
    low, high = torch.tensor([-1.0, -9.0]), torch.tensor([9.0, 8.0])
    allowed = (boxes[:, :2] >= low).all(1) & (boxes[:, 2:] <= high).all(1)
    found = match(boxes, corners(REGIONS), allowed, low=0.2, high=0.4)
    assert (bits(found.positive), bits(found.negative)) == ("0100001101", "0000110000")


def test_without_negatives_all_others_are():
    every = torch.ones(3, dtype=torch.bool)
    found = match(corners(REGIONS), corners(REGIONS[:1]), every, low=0.0, high=0.4)
    assert (bits(found.positive), bits(found.negative)) == ("100", "011")


def test_a_picture_without_regions_has_negatives_alone():
    every = torch.ones(10, dtype=torch.bool)
    found = match(corners(BOXES), torch.zeros(0, 4), every, low=0.2, high=0.4)
    sample = draw(found, 4)
    assert len(sample.rows) == 4 and not len(sample.regions)


def test_as_many_as_are_wanted_positives_first():
    torch.manual_seed(0)
    for positives, negatives in ((100, 900), (2, 3), (7, 0), (0, 1)):
        kinds = torch.arange(positives + negatives) < positives
        regions = torch.arange(len(kinds)) * 2
        rows, chosen = draw(Matched(kinds, ~kinds, regions), 16)
        number = min(positives, 8) if negatives else 16
        assert len(rows) == 16 and len(chosen) == number
        assert kinds[rows].tolist() == [True] * number + [False] * (16 - number)
        assert chosen.tolist() == (rows[:number] * 2).tolist()
        if negatives >= 16:
            assert len(set(rows.tolist())) == 16
