"""The training loop: resume to the bit, best and last, explosion, and histories (spec T7-T14)."""

import contextlib
import json
import math
import signal

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from snakecap.config.training import Learning
from snakecap.distributed import signals
from snakecap.inputs.batches import Batch, MicroBatch
from snakecap.training import loop
from snakecap.training.checkpoints import History
from snakecap.training.loop import fit
from snakecap.training.optimisers import Group, Numbers
from snakecap.training.optimisers import adam as update
from snakecap.training.task import Validation


class KilledError(Exception):
    pass


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))


def batch(iteration):
    generator = torch.Generator().manual_seed(iteration)
    return torch.randn(16, 4, generator=generator)


class Run:
    """A task, and a run of it that can be killed after some iterations."""

    title, unit, epoch_length = "train", "captions", 1000

    def __init__(
        self, work, *, iterations=20, kill_at=None, scores=None, rate=0.01, parts=1, **learning
    ):
        self.model = network()
        self.number = parts
        self.every_group = [Group(self.model.named_parameters(), update, Numbers(rate))]
        self.kill_at = kill_at
        self.scores = scores
        self.reports = []
        self.iterations = []
        self.validated = 0
        self.work = work
        chosen = {"validate_every": 5, "log_every": 2, "checkpoint_every": 1e-9, **learning}
        self.settings = Learning(epochs=None, max_iterations=iterations, **chosen)

    def parts(self, iteration):
        if iteration == self.kill_at:
            raise KilledError
        examples = batch(iteration)
        size = len(examples) // self.number
        return [
            MicroBatch(Batch(torch.arange(size), {}, some), 1 / self.number, len(examples))
            for some in examples.split(size)
        ]

    def groups(self, iteration):
        self.model.train()
        return self.every_group

    def loss(self, batch, iteration):
        self.iterations.append(iteration)
        return {"square": self.square(batch.targets)}

    def square(self, examples):
        return (self.model(examples) - examples.sum(1, keepdim=True)).square().mean()

    def validate(self):
        with torch.no_grad():
            value = self.square(batch(-1 % 1000)).item()
        self.validated += 1
        scores = {"CIDEr": self.scores[self.validated - 1]} if self.scores else {}
        return Validation(value, scores, [{"image_id": 1, "caption": "a"}], "CIDEr")

    def go(self):
        def report(history):
            self.reports.append(json.dumps(vars(history)))

        return fit(self, self.settings, self.work, report=report)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kill_at", [1, 7, 10, 19])
def test_a_killed_run_resumes_to_the_bit(tmp_path, kill_at, precision):
    whole = Run(tmp_path / "whole", precision=precision)
    expected = whole.go()
    with pytest.raises(KilledError):
        Run(tmp_path / "killed", kill_at=kill_at, precision=precision).go()
    # Whatever happened to the global random state in between does not matter.
    torch.manual_seed(999)
    resumed = Run(tmp_path / "killed", precision=precision)
    resumed.model.load_state_dict({k: v + 1 for k, v in resumed.model.state_dict().items()})
    history = resumed.go()
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    for name in ("loss_history", "val_loss_history", "best", "iteration", "captions"):
        assert getattr(history, name) == getattr(expected, name), name


def test_two_runs_are_identical(tmp_path):
    one = Run(tmp_path / "a")
    first = one.go()
    other = Run(tmp_path / "b")
    assert first.loss_history == other.go().loss_history
    assert torch.equal(one.model[0].weight, other.model[0].weight)


def truncate(path):
    path.write_bytes(path.read_bytes()[:100])


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


def flip_a_weight(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 16
    path.write_bytes(data)


def flip_the_history(path):
    data = path.read_bytes()
    at = data.index(b"iteration") + len(b"iteration")
    at = next(place for place in range(at, len(data)) if data[place : place + 1].isdigit())
    path.write_bytes(data[:at] + b"8" + data[at + 1 :])


def drop_the_metadata(path):
    save_file(load_file(path), path)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "damage", [truncate, zero, flip_a_weight, flip_the_history, drop_the_metadata, empty]
)
@pytest.mark.parametrize("name", ["checkpoint", "best", "both"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, caplog, damage, name):
    """Its best weights are a part of it; with no whole one, training starts anew."""
    caplog.set_level("INFO", logger="snakecap")
    whole = Run(tmp_path / "whole")
    expected = whole.go()
    with pytest.raises(KilledError):
        Run(tmp_path, kill_at=11).go()
    files = sorted(tmp_path.glob("checkpoint-*"))
    assert len(files) == 2  # the newest two are kept
    damaged = {
        "checkpoint": files[1:],
        "best": sorted(tmp_path.glob("best-*"))[-1:],
        "both": files,
    }[name]
    for path in damaged:
        damage(path)
    resumed = Run(tmp_path)
    history = resumed.go()
    assert "is damaged" in caplog.text
    goes_on = "continuing from checkpoint-000000010" in caplog.text
    assert goes_on == (name == "checkpoint")
    for key, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[key]), key
    assert history.loss_history == expected.loss_history and history.best == expected.best


def test_best_weights_stay_as_long_as_a_checkpoint_needs_them(tmp_path):
    scores = [0.1, 0.2, 0.3, 0.4]
    with pytest.raises(KilledError):
        Run(tmp_path, scores=scores, kill_at=10).go()
    assert [path.name for path in sorted(tmp_path.glob("best-*"))] == [
        "best-000000005.safetensors",
        "best-000000010.safetensors",
    ]


@pytest.mark.parametrize("at", ["step", "validation"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_saves_and_the_next_run_ends_with_the_same_bits(tmp_path, at, number):
    class Signalled(Run):
        def groups(self, iteration):
            if at == "step" and iteration == 6:
                signal.raise_signal(number)
            return super().groups(iteration)

        def validate(self):
            if at == "validation":
                signal.raise_signal(number)
                raise AssertionError("a signal breaks off the validation")
            return super().validate()

    plan = {"checkpoint_every": 3600.0}
    whole = Run(tmp_path / "whole", **plan)
    whole.validate = lambda: plain(whole)
    expected = whole.go()
    with pytest.raises(signals.Interrupted) as ended, signals.handled():
        run = Signalled(tmp_path, **plan)
        if at == "step":
            run.validate = lambda: plain(run)
        run.go()
    assert ended.value.code == signals.CODES[number]
    saved = {"step": 7, "validation": 5}[at]
    assert [p.stem for p in tmp_path.glob("checkpoint-*")] == [f"checkpoint-{saved:09d}"]
    resumed = Run(tmp_path, **plan)
    resumed.validate = lambda: plain(resumed)
    history = resumed.go()
    for key, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[key]), key
    for key in ("loss_history", "val_loss_history", "best", "captions"):
        assert getattr(history, key) == getattr(expected, key), key


def plain(run):
    """A validation that draws no random numbers, as those of the stages."""
    run.model.eval()
    with torch.no_grad():
        return Validation(run.model(batch(-1 % 1000)).square().mean().item(), {}, [], "loss")


def test_the_best_is_kept_by_score_and_only_a_better_one_replaces_it(tmp_path):
    run = Run(tmp_path, scores=[0.3, 0.5, 0.5, 0.2])
    history = run.go()
    assert history.best == {"iteration": 10, "score": 0.5, "by": "CIDEr"}
    assert list(history.val_lang_stats_history) == ["5", "10", "15", "20"]
    ten = Run(tmp_path / "ten", iterations=10, scores=[0.3, 0.5])
    ten.go()
    assert torch.equal(run.model[0].weight, ten.model[0].weight)
    assert (tmp_path / "last.safetensors").is_file()


def test_without_language_scores_the_lowest_loss_is_best(tmp_path):
    history = Run(tmp_path).go()
    lowest = min(history.val_loss_history, key=history.val_loss_history.get)
    assert history.best["iteration"] == int(lowest)
    assert history.best["score"] == -history.val_loss_history[lowest]


def test_the_final_iteration_is_evaluated_and_reported(tmp_path):
    run = Run(tmp_path, iterations=13)
    history = run.go()
    assert list(history.val_loss_history) == ["5", "10", "13"]
    assert history.iteration == 13 and "13" in history.loss_history
    last = History(**json.loads(run.reports[-1]))
    assert last.iteration == 13 and last.captions == 13 * 16


def test_between_validations_the_history_is_reported_now_and_then(tmp_path, monkeypatch):
    def reported(seconds):
        monkeypatch.setattr(loop, "REFRESH_EVERY", seconds)
        run = Run(tmp_path / str(seconds), iterations=9, validate_every=9, checkpoint_every=1e6)
        (tmp_path / str(seconds)).mkdir()
        run.go()
        return [json.loads(one)["iteration"] for one in run.reports]

    assert set(reported(0)) == {2, 4, 6, 8, 9} and set(reported(1e6)) == {9}


def test_an_exploding_loss_stops_training_with_a_message(tmp_path, caplog):
    run = Run(tmp_path, iterations=500, rate=30.0, validate_every=1)
    history = run.go()
    assert history.iteration < 500
    assert "lower the learning rate" in history.stopped
    assert "lower the learning rate" in caplog.text
    assert str(history.iteration) not in history.val_loss_history, "it is not worth judging"
    assert 0 < history.best["iteration"] < history.iteration
    kept = load_file(tmp_path / f"best-{history.best['iteration']:09d}.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in run.model.state_dict().items())
    again = Run(tmp_path, iterations=500, rate=30.0, validate_every=1).go()
    assert (again.stopped, again.best) == (history.stopped, history.best)


def test_an_explosion_before_any_validation_leaves_no_model(tmp_path):
    for _ in range(2):  # the second goes on from the first one's checkpoint
        with pytest.raises(RuntimeError, match="lower the learning rate; no model was judged"):
            Run(tmp_path, iterations=500, rate=30.0, validate_every=1000).go()
    assert (tmp_path / "last.safetensors").exists()


def test_a_loss_that_is_not_a_number_stops_training(tmp_path):
    run = Run(tmp_path, iterations=50)
    run.loss = lambda batch, _: {"nan": run.model(batch.targets).mean() * float("nan")}
    with pytest.raises(RuntimeError, match="loss nan at iteration 1 is over"):
        run.go()


def test_a_validation_that_is_not_a_number_is_never_the_best(tmp_path):
    run = Run(tmp_path, iterations=10)
    losses = iter([math.nan, 3.0])
    run.validate = lambda: Validation(next(losses), {"CIDEr": 9.0}, [], "CIDEr")
    assert run.go().best["iteration"] == 10
    run = Run(tmp_path / "none", iterations=5)
    run.validate = lambda: Validation(math.inf, {}, [], "loss")
    with pytest.raises(RuntimeError, match="the validation loss is not finite; no model was"):
        run.go()


def test_a_loss_is_told_the_iteration_also_after_a_kill(tmp_path):
    with pytest.raises(KilledError):
        Run(tmp_path, kill_at=7, parts=2).go()
    resumed = Run(tmp_path, parts=2)
    resumed.go()
    assert resumed.iterations == [now for now in range(7, 20) for _ in range(2)]


def test_a_batch_in_parts_is_the_whole_batch(tmp_path):
    """Without dropout, whose draws differ."""
    runs = [Run(tmp_path / str(parts), parts=parts) for parts in (1, 4)]
    for run in runs:
        run.model[1].p = 0.0
    one, other = [run.go() for run in runs]
    assert one.captions == other.captions == 20 * 16
    for name, value in one.loss_history.items():
        assert other.loss_history[name] == pytest.approx(value, rel=1e-5)
    torch.testing.assert_close(runs[0].model[0].weight, runs[1].model[0].weight)


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        # The best score is the first: the rate falls after each validation from the second on.
        ({"name": "plateau", "options": {"patience": 0, "metric": "score"}},
         [1.0] * 10 + [0.1] * 5 + [0.01] * 5),
        ({"name": "step", "options": {"every": 7, "by": 0.1}},
         [1.0] * 7 + [0.1] * 7 + [0.01] * 6),
    ],
)  # fmt: skip
def test_a_schedule_reads_validations_and_epochs_also_after_a_kill(tmp_path, schedule, wanted):
    found = []

    class Recorded(Group):
        def step(self, factor=1.0):
            found.append(factor)
            super().step(factor)

    scores = [0.5, 0.4, 0.3, 0.2]
    for kill_at, left in ((12, scores), (None, scores[2:])):
        run = Run(tmp_path, kill_at=kill_at, scores=left, schedule=schedule)
        run.epoch_length = 1
        run.every_group = [Recorded(run.model.named_parameters(), update, Numbers(0.01))]
        with contextlib.suppress(KilledError):
            run.go()
    assert found == pytest.approx(wanted)
