"""DenseCap's losses: at step 0, over pictures, and whom their gradients reach."""

from math import log

import pytest
import torch
from torch.testing import assert_close

from snakecap.objectives.dense import DenseObjective
from tests.dense_systems import dense_model, noise

UNWEIGHTED = dict.fromkeys(
    ("proposal_objectness", "proposal_boxes", "objectness", "boxes", "caption"), 1.0
)


def test_untrained_losses():
    """Of n words (n + 1) ln(V + 1); of two classes ln 2, of positives and of negatives."""
    model, batch = dense_model(), noise()
    for layer in (model.decoder.output, model.recognition.score, model.proposals.score):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    losses = DenseObjective(model=model, regions=32, **UNWEIGHTED)(batch, 0)
    assert_close(losses["proposal_objectness"].item(), 2 * log(2), rtol=1e-5, atol=0)
    assert_close(losses["objectness"].item(), log(2), rtol=1e-5, atol=0)
    assert 3 * log(10) - 1e-4 <= losses["caption"].item() <= 4 * log(10) + 1e-4
    assert losses["box_decay"].item() == 0


def test_a_loss_is_a_mean_over_pictures():
    """Where nothing is left to chance: all positive anchors are drawn, and nothing dropped."""
    plain = {"part": "lstm", "options": {"hidden_size": 12, "dropout": 0.0}}
    model, batch = dense_model(decoder=plain), noise(2, regions=1)
    objective = DenseObjective(model=model, regions=6000, inside=False, **UNWEIGHTED)
    whole = objective(batch, 0)["caption"]
    owners, said = batch.targets.owners, batch.targets.words
    assert owners.tolist() == [0, 1] and len(said) == 2
    singles = []
    for at in range(2):
        boxes, words = batch.targets.of(at)
        targets = type(batch.targets)(boxes, words, torch.zeros(1, dtype=torch.long))
        values = {name: one[at : at + 1] for name, one in batch.inputs["picture"].items()}
        part = type(batch)(batch.rows[at : at + 1], {"picture": values}, targets)
        singles.append(objective(part, 0)["caption"])
    assert_close(whole, torch.stack(singles).mean(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["boxes", "caption", "objectness"])
def test_regions_teach_the_proposals_boxes(name):
    """The pooling is smooth in them: what the paper's layer is for."""
    model = dense_model()
    torch.nn.init.normal_(model.recognition.box.weight, std=0.1)
    DenseObjective(model=model, regions=32)(noise(), 0)[name].backward()
    assert model.proposals.box.weight.grad.abs().sum() > 0


def test_pictures_without_regions_teach_that_nothing_is_there():
    batch = noise()
    none = type(batch.targets)(torch.zeros(0, 4), torch.zeros(0, 3).long(), torch.zeros(0).long())
    objective = DenseObjective(model=dense_model(), regions=32)
    losses = objective(type(batch)(batch.rows, batch.inputs, none), 0)
    assert all(loss.isfinite() for loss in losses.values())
    assert losses["boxes"].item() == losses["caption"].item() == 0
    sum(losses.values()).backward()
