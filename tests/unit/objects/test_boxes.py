"""Frames between an image and a detector's square, clipping and suppression, by second formulas."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from snakecap.objects import categories
from snakecap.objects.boxes import Detections, Frame, clip, fitted, letterbox, scaled, suppress
from snakecap.objects.object import Object

SIDES = st.integers(1, 900)


@given(SIDES, SIDES, st.sampled_from([32, 416, 608]), st.booleans())
def test_boxes_come_back_from_the_square(width, height, size, centred):
    frame = Frame.around(width, height, size, centred=centred)
    box = np.array([[0.2 * width, 0.1 * height, 0.5 * width, 0.7 * height]], np.float32)
    np.testing.assert_allclose(frame.out(frame.into(box)), box, rtol=1e-3, atol=1e-2)
    whole = frame.into(np.array([[0, 0, width, height]], np.float32))
    assert whole.min() >= 0 and (whole[:, :2] + whole[:, 2:]).max() <= size + 1


@given(SIDES, SIDES, st.sampled_from([32, 416, 608]))
def test_the_longer_side_is_the_squares(width, height, size):
    """In whole numbers, as darknet's letterbox_image: floats lose a pixel at 720 of 416."""
    inner = fitted(width, height, size)
    assert max(inner) == size and min(inner) >= 1
    long, short = max(width, height), min(width, height)
    assert min(inner) == max(1, short * size // long)


@pytest.mark.parametrize("centred", [True, False])
def test_a_letterbox_is_the_image_and_its_padding(centred):
    image = np.full((3, 20, 40), 200, np.uint8)
    square, frame = letterbox(image, 80, value=114, centred=centred)
    assert square.shape == (3, 80, 80) and frame.scale == 2
    top = 20 if centred else 0
    assert (square[:, top : top + 40] == 200).all()
    rest = np.delete(square, np.s_[top : top + 40], axis=1)
    assert (rest == 114).all() and rest.shape[1] == 40


def test_an_image_of_the_right_size_stays_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (3, 64, 64), np.uint8)
    assert (letterbox(image, 64)[0] == image).all()


def test_a_letterbox_does_not_depend_on_the_number_of_threads():
    image = np.random.default_rng(0).integers(0, 256, (3, 97, 131), np.uint8)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = letterbox(image, 64)[0]
        torch.set_num_threads(2)
        assert (letterbox(image, 64)[0] == one).all()
    finally:
        torch.set_num_threads(before)


@given(st.lists(st.tuples(*[st.floats(-50, 150)] * 2, *[st.floats(0, 100)] * 2), max_size=6))
def test_clipped_boxes_are_the_overlap_with_the_image(rows):
    boxes = np.array(rows, np.float32).reshape(-1, 4)
    found = clip(boxes, 100, 60)
    for (x, y, w, h), (left, top, width, height) in zip(boxes, found, strict=True):
        assert width == pytest.approx(max(0.0, min(x + w, 100) - max(x, 0)), abs=1e-3)
        assert height == pytest.approx(max(0.0, min(y + h, 60) - max(y, 0)), abs=1e-3)
        assert 0 <= left <= 100 and 0 <= top <= 60


def overlap(one, other):
    (ax, ay, aw, ah), (bx, by, bw, bh) = one, other
    width = max(0, min(ax + aw, bx + bw) - max(ax, bx))
    height = max(0, min(ay + ah, by + bh) - max(ay, by))
    return width * height / (aw * ah + bw * bh - width * height)


def test_suppression_is_greedy_within_a_category_and_keeps_the_order():
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(60, 4, generator=generator) * 10 + 1
    scores, groups = torch.rand(60, generator=generator), torch.arange(60) % 3
    expected = []
    for place in scores.argsort(descending=True).tolist():
        rivals = [k for k in expected if groups[k] == groups[place]]
        if all(overlap(boxes[place].tolist(), boxes[k].tolist()) <= 0.4 for k in rivals):
            expected.append(place)
    found = Detections(boxes.numpy(), groups.numpy(), scores.numpy())
    assert len(expected) < 60
    for limit in (100, 5):
        kept = suppress(found, overlap=0.4, limit=limit)
        assert kept.scores.tolist() == scores[sorted(expected[:limit])].tolist()


BOX = st.tuples(*[st.floats(0, 1000, width=32)] * 4)
OBJECTS = st.builds(Object, st.sampled_from(categories.NAMES), BOX, st.floats(0, 1, width=32))


@given(st.lists(OBJECTS, max_size=5))
def test_objects_come_back_from_arrays_and_from_json(objects):
    places = {name: place for place, name in enumerate(categories.NAMES)}
    found = Detections.of(objects, places)
    assert found.objects(categories.NAMES) == objects and len(found) == len(objects)
    read = TypeAdapter(Object).validate_python
    assert [read(json.loads(json.dumps(one.as_json()))) for one in objects] == objects
    arrays = [read({"category": one.category, "box": np.float32(one.box)}) for one in objects]
    assert [one.box for one in arrays] == [one.box for one in objects]


def test_an_object_in_shares_of_its_picture():
    half = Object("dog", (320, 120, 64, 48), 0.5, crowd=True).divided(640, 480)
    assert half == Object("dog", (0.5, 0.25, 0.1, 0.1), 0.5, crowd=True)
    moved = Detections.of([Object("motorbike", (1, 2, 3, 4))], {"motorcycle": 7})
    assert moved.categories.tolist() == [7], "darknet's spelling is known"
    assert scaled(moved.boxes, 10, 100).tolist() == [[10, 200, 30, 400]]


def test_some_of_the_detections():
    found = Detections(np.eye(4, dtype=np.float32), np.arange(4), np.arange(4, dtype=np.float32))
    assert found.take(np.array([2, 0])).scores.tolist() == [2, 0]
    assert len(Detections.none()) == 0


def test_categories_are_cocos():
    assert len(categories.NAMES) == 80 and categories.IDS["toothbrush"] == 90
    assert categories.NAMES[0] == "person" and categories.IDS["stop sign"] == 13
    assert {categories.canonical(name) for name in categories.DARKNET} <= set(categories.NAMES)
    assert categories.ordered(["sofa", "dog"]) == categories.NAMES
    assert categories.ordered(["star", "dog"]) == ("dog", "star")
    assert categories.ids(["dog", "person"]) == [18, 1] and categories.ids(["star"]) == [1]


def test_darknet_spells_six_names_otherwise():
    """The lines of darknet's coco.names that are not COCO's."""
    theirs = ["motorbike", "aeroplane", "sofa", "pottedplant", "diningtable", "tvmonitor"]
    cocos = ["motorcycle", "airplane", "couch", "potted plant", "dining table", "tv"]
    assert list(map(categories.canonical, theirs)) == cocos
    assert categories.DARKNET.keys() == set(theirs)


def test_a_data_sets_own_ids_come_first_and_no_two_are_the_same():
    own = {1: "dog", 18: "tvmonitor", 7: "unicorn"}
    assert categories.ids(["dog", "tv"], own) == [1, 18]
    assert categories.ids(["person", "dog", "tv"], own) == [73, 1, 18], "1 is the dog's"
    assert categories.ids(["cat", "dog"], own) == [17, 1], "COCO's, which is free"
    assert categories.ids(["star", "b", "dog"], own) == [19, 2, 1]
    everything = categories.ids(categories.NAMES, own)
    assert len(set(everything)) == 80 and 7 not in everything


def test_ids_that_files_disagree_on_mean_nothing():
    tables = [{1: "dog", 2: "cat", 4: "sofa"}, {1: "dog", 2: "car", 3: "bus", 4: "couch"}]
    assert categories.unambiguous(tables) == {1: "dog", 3: "bus", 4: "couch"}
