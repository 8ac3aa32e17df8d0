"""The model as a whole: shapes, what is so at step 0, and which parts see what."""

import pytest
import torch
from torch.testing import assert_close

from snakecap.config.dense import Describing
from snakecap.inference.regions import captions, find, likelihood, recognise
from snakecap.models.dense.proposals import choose
from tests.dense_systems import dense_model, noise


@pytest.fixture(scope="module")
def model():
    return dense_model().eval()


@torch.no_grad()
def test_at_first_boxes_are_the_anchors(model):
    seen = model.see(noise().inputs)
    proposals = model.proposals(seen.map)
    assert seen.map.shape == (2, 16, 12, 16) and model.trunk.stride == 4
    assert_close(proposals.boxes, proposals.anchors.expand_as(proposals.boxes))
    assert proposals.scores.shape == (2, 3 * 12 * 16, 2)
    _, _, transforms = model.recognition(model.pool(seen, proposals.boxes[:, :9]).flatten(0, 1))
    assert not transforms.any()


@torch.no_grad()
def test_rows_of_scores_follow_the_anchors(model):
    """Box and score of anchor a at row y and column x are channels of the convolution there."""
    seen = model.see(noise().inputs)
    hidden = model.proposals.convolution(seen.map).relu()
    raw, found = model.proposals.score(hidden), model.proposals(seen.map)
    for a, y, x in ((0, 0, 0), (1, 3, 7), (2, 11, 15)):
        row = (a * 12 + y) * 16 + x
        assert_close(found.scores[:, row], raw[:, 2 * a : 2 * a + 2, y, x])
        centre = (found.anchors[row, :2] + found.anchors[row, 2:]) / 2
        assert centre.tolist() == [4 * x + 2, 4 * y + 2]


@torch.no_grad()
def test_a_batch_finds_what_single_pictures_do(model):
    batch, settings = noise(), Describing(proposals=20)
    whole = find(model, batch.inputs, settings)
    for at in range(2):
        values = {name: one[at : at + 1] for name, one in batch.inputs["picture"].items()}
        single = find(model, {"picture": values}, settings)
        own = whole.owners == at
        assert_close(whole.boxes[own], single.boxes)
        assert_close(whole.codes[own], single.codes, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_suppression_before_the_language_model_changes_nothing(model):
    batch, settings = noise(), Describing(proposals=30)
    late = find(model, batch.inputs, settings.model_copy(update={"overlap": 1.0}))
    said = captions(model, late.encoded, settings)
    by_box = {tuple(box): one.words for box, one in zip(late.boxes.tolist(), said, strict=True)}
    early = find(model, batch.inputs, settings)
    assert 0 < len(early.boxes) < len(late.boxes)
    found = captions(model, early.encoded, settings)
    assert [one.words for one in found] == [by_box[tuple(box)] for box in early.boxes.tolist()]


@torch.no_grad()
def test_limits_and_thresholds(model):
    inputs = noise(1).inputs
    counts = [
        len(find(model, inputs, Describing(proposals=60, overlap=most)).boxes)
        for most in (0.3, 0.6, 0.9)
    ]
    assert counts == sorted(counts) and counts[0] < counts[-1]
    assert len(find(model, inputs, Describing(proposals=1)).boxes) == 1
    sure = find(model, inputs, Describing(min_score=0.5))
    assert (sure.logits >= 0).all()
    seen = model.see(inputs)
    [boxes] = choose(model.proposals(seen.map), seen.sizes, overlap=0.7, limit=10)
    assert (boxes >= 0).all() and (boxes[:, 2:] <= seen.sizes).all()


@torch.no_grad()
def test_given_boxes_stay_in_their_order(model):
    batch = noise()
    given = [batch.targets.of(at)[0] for at in range(2)]
    found = recognise(model, batch.inputs, given)
    assert_close(found.boxes, batch.targets.boxes)
    assert found.owners.tolist() == batch.targets.owners.tolist()


@torch.no_grad()
@pytest.mark.parametrize("decoder", ["lstm", "attention", "transformer"])
@pytest.mark.parametrize("context", [False, True])
def test_every_decoder_speaks_of_regions(decoder, context):
    options = {"attention": {"hidden_size": 12}, "lstm": {"hidden_size": 12}}
    row = {"part": decoder, "options": options.get(decoder, {"layers": 1, "heads": 2})}
    model = dense_model(decoder=row, regions={"context": context}).eval()
    found = find(model, noise().inputs, Describing(proposals=8))
    greedy = captions(model, found.encoded, Describing(max_length=4))
    assert len(greedy) == len(found.boxes)
    one = captions(model, found.encoded, Describing(method="beam", beam_width=1, max_length=4))
    assert [each.words for each in one] == [each.words for each in greedy]
    wide = captions(model, found.encoded, Describing(method="beam", beam_width=20, max_length=4))
    assert all(b.log_prob >= g.log_prob - 1e-4 for b, g in zip(wide, greedy, strict=True))


@torch.no_grad()
def test_a_querys_likelihood_is_that_of_the_search(model):
    found = find(model, noise().inputs, Describing(proposals=8))
    for at, one in enumerate(captions(model, found.encoded, Describing(max_length=30))):
        if len(one.words) < 30:
            values = likelihood(model, found.encoded, one.words)
            assert_close(float(values[at]), one.log_prob, rtol=1e-4, atol=1e-4)
