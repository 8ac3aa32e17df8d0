"""DenseCap's boxes: the five numbers of its preprocess.py, and its code, line by line."""

import math

import numpy as np
import pytest

from snakecap.formats.densecap import encode


@pytest.mark.parametrize(
    ("box", "wanted"),
    [
        ((100, 50, 200, 100), [141, 70, 141, 70]),
        ((0, 0, 1024, 768), [360, 271, 719, 540]),
        ((-5, 700, 50, 100), [18, 527, 35, 70]),
        ((1000, 10, 100, 40), [711, 21, 17, 28]),
        ((1, 1, 1, 1), [1, 1, 1, 1]),
    ],
)
def test_the_five_numbers(box, wanted):
    assert encode(np.array([box], float), np.array([1024.0]), 720).tolist() == [wanted]


def round_2(value):
    """Python 2's round."""
    return math.copysign(math.floor(abs(value) + 0.5), value)


def theirs(box, side, size):
    x, y, w, h = box
    scale = size / side
    x, y = round_2(scale * (x - 1) + 1), round_2(scale * (y - 1) + 1)
    w, h = round_2(scale * w), round_2(scale * h)
    x, y = min(size - 1, max(1, x)), min(size - 1, max(1, y))
    if x + w > size:
        w = size - x
    if y + h > size:
        h = size - y
    return [x + math.floor(w / 2), y + math.floor(h / 2), w, h]


def test_it_is_the_originals_code_on_random_boxes():
    random = np.random.default_rng(7)
    boxes = random.integers(-50, 1100, (2000, 4)).astype(float)
    boxes[:, 2:] = abs(boxes[:, 2:])
    sides = random.choice([1024.0, 800.0, 1440.0, 333.0], 2000)  # halves occur at 1440
    found = encode(boxes, sides, 720)
    assert found.dtype == np.int32
    assert found.tolist() == [theirs(*pair, 720) for pair in zip(boxes, sides, strict=True)]
