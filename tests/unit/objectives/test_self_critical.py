"""Self-critical training follows the expected reward's gradient, and finds what is best."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from systems import CPU, Pooled, Stored, packed
from torch import nn

from snakecap import device
from snakecap.config import options
from snakecap.config.settings import Stage
from snakecap.distributed.process_group import ProcessGroup
from snakecap.formats.vocabulary import Vocabulary
from snakecap.inputs.batches import Batch, CaptionBatches, CaptionTargets
from snakecap.models.captioner import Captioner
from snakecap.models.decoders.decoder import Decoder
from snakecap.objectives import self_critical
from snakecap.objectives.reward import Agreement
from snakecap.objectives.self_critical import SelfCritical
from snakecap.search.greedy import likeliest
from snakecap.tasks.caption import CaptionTask
from snakecap.training.loop import fit
from snakecap.training.optimisers import Group, Numbers, adam
from snakecap.training.task import Validation

SAID = [[[1, 2], [1]], [[2, 1], [2, 2]]]


class Urn(Decoder):
    """Words drawn again and again from one distribution."""

    def __init__(self, logits):
        super().__init__()
        self.urn = nn.Parameter(torch.tensor(logits))

    def start(self, memory):
        return (memory.encoded.summary[:, :1],)

    def step(self, words, state, memory):
        return self.urn.expand(len(words), -1), state


def model(vocabulary=2, dropout=0.0, size=6):
    torch.manual_seed(0)
    given = {"width": 4, "vocabulary_size": vocabulary}
    decoder = options.build("decoder", "lstm", {"hidden_size": size, "dropout": dropout}, given)
    return Captioner([Pooled()], decoder, ["picture"])


def batch(rows=(0, 1)):
    features = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    words = torch.tensor([SAID[row % 2][0] for row in rows])
    inputs = {"picture": {"pooled": features[list(rows)]}}
    return Batch(torch.tensor(rows), inputs, CaptionTargets(words, torch.arange(len(rows))))


def objective(captioner, said=SAID, longest=2, **given):
    references, mirror = packed(said, longest), torch.arange(9)
    return SelfCritical(model=captioner, references=references, mirror=mirror, **given)


def test_the_gradient_by_hand(monkeypatch):
    """Of one word that is drawn and worth 3, where the likeliest is worth 1: -(3 - 1)(e - p)."""
    worth = np.array([0.0, 3.0, 1.0])
    captioner = Captioner([Pooled()], Urn([0.0, 0.5, 1.0]), ["picture"])
    one = objective(captioner, [[[1]], [[2]]], 1, baseline="greedy", samples=1)
    one.agreement = lambda rows, said: Agreement(worth[said[:, :, 0]], 0 * said[:, :, 0], 0.0, 0.0)
    monkeypatch.setattr(self_critical, "by_chance", lambda logits: torch.ones(len(logits)).long())
    found = one(batch(), 0)
    p = captioner.decoder.urn.softmax(0).detach()
    assert found["self_critical"].item() == pytest.approx(-2 * p[1].log().item())
    found["self_critical"].backward()
    wanted = -2 * (torch.tensor([0.0, 1.0, 0.0]) - p)
    torch.testing.assert_close(captioner.decoder.urn.grad, wanted)


@pytest.mark.parametrize(("baseline", "samples"), [("greedy", 1), ("leave_one_out", 2)])
def test_its_mean_gradient_is_that_of_the_expected_reward(baseline, samples):
    """Over all that two words can say, by finite differences: no baseline changes it."""
    captioner = model().double()
    one = objective(captioner, bleu=0.5, baseline=baseline, samples=samples)
    given = batch((0,))
    given.inputs["picture"]["pooled"] = given.inputs["picture"]["pooled"].double()
    every = torch.tensor([[0, 0], [1, 0], [2, 0], [1, 1], [1, 2], [2, 1], [2, 2]])
    ends = torch.tensor([1, 2, 2, 2, 2, 2, 2])  # words and END; of two words nothing ends
    plain = one._say

    def log_probs(captions):
        memory = captioner.prepare(given.inputs).select(torch.zeros(len(captions)).long())
        each = captioner.decoder(memory, captions)
        said = each.gather(2, nn.functional.pad(captions, (0, 1)).unsqueeze(2)).squeeze(2)
        counted = torch.arange(3) < ends[(captions[:, None] == every).all(2).long().argmax(1), None]
        return (said * counted).sum(1)

    expected = torch.zeros(())
    for chosen in itertools.product(range(len(every)), repeat=samples):
        captions = every[list(chosen)]
        values = log_probs(captions)
        one._say = lambda memory, choose, copies, said=captions, log=values: (
            plain(memory, choose, copies) if choose is likeliest else (said[None], log[None])
        )
        total = one(given, 0)["self_critical"] * ends[list(chosen)].sum() / samples
        expected = expected + values.sum().exp().detach() * total

    def mean_reward():
        with torch.no_grad():
            found = one.agreement(np.array([0]), every.numpy()[None])
            worth = torch.from_numpy(found.cider + 0.5 * found.bleu)[0]
            return (log_probs(every).exp() * worth).sum().item()

    assert log_probs(every).exp().sum().item() == pytest.approx(1)
    weight = captioner.decoder.output.weight
    (gradient,) = torch.autograd.grad(expected, weight)
    assert gradient.abs().max() > 0.01
    for place in [(0, 0), (1, 3), (2, 5)]:
        ends_at = []
        for move in (1e-5, -2e-5):
            weight.data[place] += move
            ends_at.append(mean_reward())
        weight.data[place] += 1e-5
        slope = (ends_at[0] - ends_at[1]) / 2e-5
        assert gradient[place].item() == pytest.approx(-slope, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("baseline", ["greedy", "leave_one_out"])
def test_a_model_finds_the_captions_that_are_best(baseline):
    """Which are the only references; it never sees them."""
    said = [[[1, 2]], [[3, 1]], [[2]]]
    captioner = model(vocabulary=3, size=16)
    one = objective(captioner, said, 3, baseline=baseline, samples=16)
    group = Group(captioner.named_parameters(), adam, Numbers(0.03))
    given = batch((0, 1, 2))
    for iteration in range(60):
        one(given, iteration)["self_critical"].backward()
        group.step()
    found, _ = one._say(captioner.prepare(given.inputs), likeliest, 1)
    assert [caption[caption != 0].tolist() for caption in found[:, 0]] == [row[0] for row in said]


def test_cross_entropy_takes_its_share_and_numbers_have_no_gradient():
    captioner = model()
    torch.manual_seed(5)
    alone = objective(captioner)(batch(), 0)
    torch.manual_seed(5)
    mixed = objective(captioner, cross_entropy=0.25)(batch(), 0)
    enforced = options.build("objective", "cross_entropy", {}, {"model": captioner})(batch(), 0)
    torch.testing.assert_close(mixed["self_critical"], 0.75 * alone["self_critical"])
    torch.testing.assert_close(mixed["caption"], 0.25 * enforced["caption"])
    reported = {"reward", "Bleu_4", "diversity", "repetition"}
    assert {name for name, value in mixed.items() if not value.requires_grad} == reported


def test_it_computes_in_single_precision_under_autocast():
    captioner = model(dropout=0.5)
    with device.autocast("bfloat16", CPU):
        losses = objective(captioner)(batch(), 0)
    assert {value.dtype for value in losses.values()} == {torch.float32}
    losses["self_critical"].backward()
    assert all(parameter.grad.isfinite().all() for parameter in captioner.parameters())


def test_processes_draw_their_own_samples():
    one, found = objective(model(), samples=20), []
    for rank in (0, 1, 0):
        ProcessGroup(rank, 2).reseed(123, 7)
        found.append(one._say(one.model.prepare(batch().inputs), self_critical.by_chance, 20)[0])
    assert torch.equal(found[0], found[2]) and not torch.equal(found[0], found[1])


def test_the_greedy_baseline_leaves_every_module_in_its_mode():
    captioner = model(dropout=0.5)
    captioner.encoders.eval()
    before = {name: module.training for name, module in captioner.named_modules()}
    objective(captioner, baseline="greedy")(batch(), 0)
    assert before == {name: module.training for name, module in captioner.named_modules()}
    assert any(before.values()) and not all(before.values())


def test_words_of_mirrored_pictures_are_judged_as_mirrored():
    one, given = objective(model()), batch()
    one.mirror = torch.tensor([0, 2, 1])
    flipped = replace(given.targets, flipped=torch.tensor([False, True]))
    said = torch.tensor([[[1, 2], [2, 1]], [[1, 2], [2, 1]]])
    plain = one._judge(given, said)[0]
    mirrored = one._judge(replace(given, targets=flipped), said)[0]
    assert plain[1, 0] != plain[1, 1]
    np.testing.assert_array_equal(mirrored, [plain[0], plain[1, ::-1]])


def test_a_reward_that_is_not_a_number_names_the_pictures():
    one = objective(model())
    broken = Agreement(np.array([[1.0] * 5, [np.nan] * 5]), np.zeros((2, 5)), 0.0, 0.0)
    one.agreement = lambda *_: broken
    with pytest.raises(ValueError, match=r"of captions of 1\.jpg is not a finite number"):
        one(batch(), 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"samples": 1}, "needs 2 or more"),
        ({"cider": 0}, "must be above 0"),
        ({"baseline": "mean"}, "baseline"),
        ({"cross_entropy": 1}, "cross_entropy"),
    ],
)
def test_options_that_teach_nothing_are_refused_in_the_settings(given, message):
    row = {"part": "self_critical", "options": given}
    with pytest.raises(ValueError, match=message):
        Stage.model_validate({"name": "x", "objective": row})


def task(said=SAID, **given):
    references = packed(said, 2)
    inputs = {"picture": Stored(references.files, pooled=batch().inputs["picture"]["pooled"])}
    row = {"part": "self_critical", "options": {"cross_entropy": 0.5}}
    stage = Stage.model_validate(
        {"name": "x", "batch_size": 1, "epochs": 4, "log_every": 1, "objective": row,
         "checkpoint_every": 1e-9, **given}
    )  # fmt: skip
    batches = CaptionBatches(references, inputs, stage, CPU)
    judged = Validation(1.0, {}, [], "loss")
    return CaptionTask(
        model(dropout=0.5), batches, lambda: judged, inputs, Vocabulary(("1", "2")), stage
    )


def test_a_batch_says_which_pictures_are_mirrored():
    one, seen = task([[[1, 1]], [[1, 1], [3]]], flip=True, mirror_words=[("1", "3")]), set()
    assert one.objective.mirror.tolist() == [0, 3, 2, 1]
    for iteration in range(16):
        (part,) = one.parts(iteration)
        flipped = part.batch.targets.flipped.item()
        first = part.batch.targets.words[0].tolist()
        assert (first in ([3, 3], [1, 0])) == flipped and one.objective.mirror.tolist() == [
            0,
            3,
            2,
            1,
        ]
        seen.add(flipped)
    assert seen == {True, False}


def test_a_stage_reports_what_it_does_not_minimise_and_resumes_to_the_bit(tmp_path):
    whole = fit(task(), task().stage, tmp_path / "whole", report=lambda _: None)
    for number, value in whole.loss_history.items():
        parts = whole.objective_history[number]
        assert value == pytest.approx(parts["self_critical"] + parts["caption"])
        assert {"reward", "diversity"} <= parts.keys()
    killed, plain = task(), SelfCritical.__call__

    def dying(given, iteration):
        if iteration == 5:
            raise KeyboardInterrupt
        return plain(objective, given, iteration)

    objective, killed.objective = killed.objective, dying
    with pytest.raises(KeyboardInterrupt):
        fit(killed, killed.stage, tmp_path / "killed", report=lambda _: None)
    torch.manual_seed(99)
    again = fit(task(), task().stage, tmp_path / "killed", report=lambda _: None)
    assert again.objective_history == whole.objective_history
    assert again.loss_history == whole.loss_history
