"""Layouts as a batch: as long as the longest, mirrored together with pictures and captions."""

import numpy as np
import pytest
import torch
from systems import CPU, Stored

from snakecap.config.settings import Stage
from snakecap.formats.captions import Captions, pack
from snakecap.formats.layouts import LayoutArrays
from snakecap.inputs.batches import CaptionBatches, mirror
from snakecap.inputs.input import Draw
from snakecap.inputs.layout import LayoutInput, jittered
from snakecap.objects.layout import Reading

IDS = torch.tensor([[3, 1, 2, 0, 0], [4, 0, 0, 0, 0], [0] * 5, [1, 2, 3, 4, 5]])
BOXES = torch.rand(4, 5, 4, generator=torch.Generator().manual_seed(0)) / 2
FILES = tuple(f"{row}.jpg" for row in range(4))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def source(ids=IDS, boxes=BOXES, place=CPU, **reading):
    one = LayoutInput(place=place, source="seen")
    one.reading = Reading(("a", "b", "c", "d", "e"), **reading)
    one.store = LayoutArrays(ids.numpy(), boxes.numpy(), FILES[: len(ids)], one.reading)
    return one


def augmented(one, rows=range(4), flip=None, seed=0, **shares):
    return one.read([FILES[row] for row in rows], Draw(generator(seed), flip, **shares))


def test_a_batch_is_as_long_as_its_longest_layout():
    inputs = source().read([FILES[1], FILES[0]])
    assert inputs["categories"].tolist() == [[4, 0, 0], [3, 1, 2]]
    torch.testing.assert_close(inputs["boxes"][1], BOXES[0, :3])
    empty = source().read([FILES[2]] * 2)
    assert empty["categories"].shape == (2, 0) and empty["boxes"].shape == (2, 0, 4)


def test_plain_unless_asked():
    inputs = augmented(source())
    assert torch.equal(inputs["categories"], IDS) and torch.equal(inputs["boxes"], BOXES)


def test_mirrored_boxes_are_those_of_the_mirrored_picture():
    flip = torch.tensor([True, False, False, True])
    boxes = augmented(source(), flip=flip)["boxes"]
    torch.testing.assert_close(boxes[1], BOXES[1])
    left, width = BOXES[3, :, 0], BOXES[3, :, 2]
    torch.testing.assert_close(boxes[3, :, 0] + boxes[3, :, 2], 1 - left)
    torch.testing.assert_close(boxes[3, :, 2], width)
    again = augmented(source(boxes=boxes), flip=flip)["boxes"]
    torch.testing.assert_close(again[3], BOXES[3])


def test_what_is_ordered_from_left_to_right_still_is_when_mirrored():
    centre = BOXES[..., 0] + BOXES[..., 2] / 2
    order = centre[3].argsort()
    one = source(IDS[3:, order], BOXES[3:, order], order="left_to_right")
    inputs = augmented(one, [0], torch.tensor([True]))
    seen = inputs["boxes"][0, :, 0] + inputs["boxes"][0, :, 2] / 2
    assert bool((seen.diff() >= 0).all())
    assert inputs["categories"][0].tolist() == IDS[3, order].flip(0).tolist()


def test_left_out_objects_leave_no_hole_and_the_others_keep_their_order_and_box():
    inputs = augmented(source(), [3] * 500, object_dropout=0.3)
    kept = 0
    for ids, boxes in zip(inputs["categories"].tolist(), inputs["boxes"], strict=True):
        number = sum(i > 0 for i in ids)
        assert ids[:number] == sorted(ids[:number]) and not any(ids[number:])
        for place, i in enumerate(ids[:number]):
            torch.testing.assert_close(boxes[place], BOXES[3, i - 1])
        kept += number
    assert kept / 2500 == pytest.approx(0.7, abs=0.03)
    everything = augmented(source(), [3] * 500, object_dropout=1.0)
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
    one, other = (augmented(source(), seed=3, object_dropout=0.5, box_jitter=0.1) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_part_is_what_the_whole_batch_gives_it():
    """However a batch is split among processes; it is as long as the part needs."""
    flip = torch.tensor([True, False, True, False])
    shares = {"flip": flip, "object_dropout": 0.3, "box_jitter": 0.1}
    whole = augmented(source(), **shares)
    part = augmented(source(), **shares, part=slice(1, 3))
    for name, value in part.items():
        torch.testing.assert_close(value, whole[name][1:3, : value.shape[1]])
    assert not whole["categories"][1:3, part["categories"].shape[1] :].any()


def test_left_becomes_right_in_a_mirrored_pictures_caption():
    words = ("a", "left", "dog", "right", "west")
    table = mirror(words, [("left", "right"), ("west", "east")])
    assert table[torch.tensor([[1, 2, 3, 0], [4, 5, 0, 0]])].tolist() == [
        [1, 4, 3, 0],
        [2, 5, 0, 0],
    ]
    assert mirror(words, []).tolist() == list(range(6))


def packed(pictures, words):
    """Pictures of one caption each, of words 1 and 2."""
    labels, lengths = pack([[1, 2]] * pictures, 3)
    starts = np.arange(pictures)
    return Captions(
        labels,
        starts,
        starts + 1,
        lengths,
        FILES[:pictures],
        ("train",) * pictures,
        tuple(range(pictures)),
        words,
    )


def test_a_batch_mirrors_captions_exactly_where_it_mirrors_layouts():
    row = {"name": "x", "batch_size": 4, "captions_per_picture": 2, "shuffle": False}
    pairs = {"mirror_words": [("left", "right")]}
    seen = set()
    for flip in (False, True):
        stage = Stage.model_validate({**row, **pairs, "flip": flip})
        batches = CaptionBatches(packed(4, ("left", "right")), {"seen": source()}, stage, CPU)
        for iteration in range(8):
            (part,) = batches(iteration)
            boxes, targets = part.batch.inputs["seen"]["boxes"], part.batch.targets
            moved = (boxes[:, 0, 0] != BOXES[:, 0, 0])[[0, 1, 3]]  # 2 has no object
            for picture, mirrored in zip((0, 1, 3), moved.tolist(), strict=True):
                said = targets.words[targets.owners == picture][:, :2].tolist()
                assert said == [[2, 1] if mirrored else [1, 2]] * 2
                seen.add((flip, mirrored))
    assert seen == {(False, False), (True, False), (True, True)}


def test_all_inputs_of_a_batch_are_mirrored_together():
    """Two layouts here; each input takes the batch's own choice."""
    stage = Stage(name="x", batch_size=4, shuffle=False, flip=True)
    inputs = {"one": source(), "other": source()}
    batches = CaptionBatches(packed(4, ("x", "y")), inputs, stage, CPU)
    for iteration in range(4):
        (part,) = batches(iteration)
        one, other = (part.batch.inputs[name]["boxes"] for name in inputs)
        assert torch.equal(one, other)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_batchs_rows_are_the_rows_of_its_pictures(shuffle, accumulate):
    """By which an objective finds their references."""
    stage = Stage(name="x", batch_size=3, shuffle=shuffle, accumulate=accumulate)
    inputs = {"number": Stored(FILES, pooled=torch.arange(4))}
    batches = CaptionBatches(packed(4, ("x", "y")), inputs, stage, CPU)
    for iteration in range(5):
        parts = batches(iteration)
        for part in parts:
            assert part.batch.rows.tolist() == part.batch.inputs["number"]["pooled"].tolist()
            assert part.batch.targets.owners.max() == len(part.batch.rows) - 1
        assert sum(len(part.batch.rows) for part in parts) == (3, 1)[iteration % 2]
        assert sum(part.share for part in parts) == pytest.approx(1)
        assert {part.whole for part in parts} == {5 * (3, 1)[iteration % 2]}


def test_captions_stay_on_the_cpu_whatever_the_device():
    """There `caption_loss` learns what there is to predict without a wait."""
    meta = torch.device("meta")
    stage = Stage(name="x", batch_size=2)
    inputs = {"seen": source(place=meta)}
    (part,) = CaptionBatches(packed(2, ("x", "y")), inputs, stage, meta)(0)
    inputs, targets = part.batch.inputs["seen"], part.batch.targets
    assert targets.words.device == part.batch.rows.device == CPU
    assert {value.device for value in (*inputs.values(), targets.owners)} == {meta}


# A user's own.


def test_layouts_of_several_requests_join_to_one_batch():
    one, files = source(boxes=BOXES * (IDS > 0).unsqueeze(2)), list(FILES)
    parts = [one.read([file]) for file in files]
    joined, whole = one.join(parts), one.read(files)
    assert joined.keys() == whole.keys()
    assert all(torch.equal(joined[name], whole[name]) for name in whole)


def test_a_layout_input_needs_a_layout():
    from snakecap.inputs.input import Request

    with pytest.raises(ValueError, match="reads the layout of objects: give layouts"):
        source().of(Request(photo="x.jpg"))
