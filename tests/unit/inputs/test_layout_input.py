"""Layouts as a batch: as long as the longest, mirrored together with pictures and captions."""

import numpy as np
import pytest
import torch

from snakecap.config.settings import Stage
from snakecap.formats.captions import Captions, pack
from snakecap.inputs.inputs import CachedFeatures, LayoutArrays, Together, jittered
from snakecap.training.batches import Batches, mirror

IDS = torch.tensor([[3, 1, 2, 0, 0], [4, 0, 0, 0, 0], [0] * 5, [1, 2, 3, 4, 5]])
BOXES = torch.rand(4, 5, 4, generator=torch.Generator().manual_seed(0)) / 2
CPU = torch.device("cpu")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def source(**options):
    return LayoutArrays(IDS, BOXES, CPU, **options)


def test_a_batch_is_as_long_as_its_longest_layout():
    inputs = source().plainly(torch.tensor([1, 0]))
    assert inputs["categories"].tolist() == [[4, 0, 0], [3, 1, 2]]
    torch.testing.assert_close(inputs["boxes"][1], BOXES[0, :3])
    empty = source().plainly(torch.tensor([2, 2]))
    assert empty["categories"].shape == (2, 0) and empty["boxes"].shape == (2, 0, 4)


def test_plain_unless_asked():
    rows = torch.arange(4)
    inputs = source().augmented(rows, None, generator())
    assert torch.equal(inputs["categories"], IDS) and torch.equal(inputs["boxes"], BOXES)


def test_mirrored_boxes_are_those_of_the_mirrored_picture():
    flip = torch.tensor([True, False, False, True])
    boxes = source().augmented(torch.arange(4), flip, generator())["boxes"]
    torch.testing.assert_close(boxes[1], BOXES[1])
    left, width = BOXES[3, :, 0], BOXES[3, :, 2]
    torch.testing.assert_close(boxes[3, :, 0] + boxes[3, :, 2], 1 - left)
    torch.testing.assert_close(boxes[3, :, 2], width)
    again = LayoutArrays(IDS, boxes, CPU).augmented(torch.arange(4), flip, generator())["boxes"]
    torch.testing.assert_close(again[3], BOXES[3])


def test_what_is_ordered_from_left_to_right_still_is_when_mirrored():
    centre = BOXES[..., 0] + BOXES[..., 2] / 2
    order = centre[3].argsort()
    arrays = LayoutArrays(IDS[3:, order], BOXES[3:, order], CPU, sorted_by_x=True)
    inputs = arrays.augmented(torch.tensor([0]), torch.tensor([True]), generator())
    seen = inputs["boxes"][0, :, 0] + inputs["boxes"][0, :, 2] / 2
    assert bool((seen.diff() >= 0).all())
    assert inputs["categories"][0].tolist() == IDS[3, order].flip(0).tolist()


def test_left_out_objects_leave_no_hole_and_the_others_keep_their_order_and_box():
    rows = torch.tensor([3] * 500)
    inputs = source(drop=0.3).augmented(rows, None, generator())
    kept = 0
    for ids, boxes in zip(inputs["categories"].tolist(), inputs["boxes"], strict=True):
        number = sum(i > 0 for i in ids)
        assert ids[:number] == sorted(ids[:number]) and not any(ids[number:])
        for place, i in enumerate(ids[:number]):
            torch.testing.assert_close(boxes[place], BOXES[3, i - 1])
        kept += number
    assert kept / 2500 == pytest.approx(0.7, abs=0.03)
    everything = source(drop=1.0).augmented(rows, None, generator())
    assert everything["categories"].shape == (500, 0)


def test_moved_edges_stay_near_and_inside():
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.4]]).expand(1000, 4)
    moved = jittered(boxes, 0.1, generator())
    edges = torch.cat([moved[:, :2], moved[:, :2] + moved[:, 2:]], 1)
    limits = torch.tensor([0.02, 0.04, 0.02, 0.04])
    offsets = (edges - torch.tensor([0.5, 0.5, 0.7, 0.9])).abs()
    assert bool((offsets <= limits + 1e-6).all()) and bool((offsets.amax(0) > 0.9 * limits).all())
    whole = jittered(torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(100, 4), 0.5, generator())
    assert float(whole.min()) >= 0 and float((whole[:, :2] + whole[:, 2:]).max()) <= 1
    nothing = jittered(torch.zeros(3, 4), 0.5, generator())
    assert not nothing.any()


def test_the_same_generator_gives_the_same_batch():
    one, other = (
        source(drop=0.5, jitter=0.1).augmented(torch.arange(4), None, generator(3))
        for _ in range(2)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_pictures_and_layouts_are_mirrored_together():
    features = CachedFeatures(torch.tensor([[0.0], [1.0]]).repeat_interleave(4, 0), mirrored=4)
    flip = torch.tensor([True, False, True, False])
    both = Together([features, source()]).augmented(torch.arange(4), flip, generator())
    moved = (both["boxes"][:, 0, 0] != BOXES[:, 0, 0]).tolist()
    assert both["pooled"][:, 0].tolist() == flip.float().tolist() and moved == flip.tolist()
    assert Together([]).plainly(torch.arange(4)) == {}


def test_left_becomes_right_in_a_mirrored_pictures_caption():
    words = ("a", "left", "dog", "right", "west")
    table = mirror(words, [("left", "right"), ("west", "east")])
    assert table[torch.tensor([[1, 2, 3, 0], [4, 5, 0, 0]])].tolist() == [
        [1, 4, 3, 0],
        [2, 5, 0, 0],
    ]
    assert mirror(words, []).tolist() == list(range(6))


def test_a_batch_mirrors_captions_exactly_where_it_mirrors_layouts():
    labels, lengths = pack([[1, 2], [1, 2], [1, 2], [1, 2]], 3)
    starts = np.arange(4)
    files = tuple(f"{row}.jpg" for row in range(4))
    packed = Captions(
        labels, starts, starts + 1, lengths, files, ("train",) * 4, (0, 1, 2, 3), ("left", "right")
    )
    row = {"name": "x", "batch_size": 4, "captions_per_picture": 2, "shuffle": False}
    pairs = {"mirror_words": [("left", "right")]}
    seen = set()
    for flip in (False, True):
        stage = Stage.model_validate({**row, **pairs, "flip": flip, "epochs": 8})
        batches = Batches(packed, LayoutArrays(IDS, BOXES, CPU), stage, CPU)
        for iteration in range(batches.iterations):
            (part,) = batches(iteration)
            inputs, words, owners = part.examples
            moved = (inputs["boxes"][:, 0, 0] != BOXES[:, 0, 0])[[0, 1, 3]]  # 2 has no object
            for picture, mirrored in zip((0, 1, 3), moved.tolist(), strict=True):
                said = words[owners == picture][:, :2].tolist()
                assert said == [[2, 1] if mirrored else [1, 2]] * 2
                seen.add((flip, mirrored))
    assert seen == {(False, False), (True, False), (True, True)}


def test_captions_stay_on_the_cpu_whatever_the_device():
    """There `caption_loss` learns what there is to predict without a wait."""
    labels, lengths = pack([[1, 2], [1, 2]], 3)
    starts = np.arange(2)
    packed = Captions(
        labels, starts, starts + 1, lengths, ("a", "b"), ("train",) * 2, (0, 1), ("x", "y")
    )
    meta = torch.device("meta")
    source = LayoutArrays(IDS, BOXES, meta)
    (part,) = Batches(packed, source, Stage(name="x", batch_size=2), meta)(0)
    inputs, words, owners = part.examples
    assert words.device == CPU
    assert {value.device for value in (*inputs.values(), owners)} == {meta}
