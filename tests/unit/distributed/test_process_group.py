"""Two processes are as one: the same losses, features and captions, to a stated tolerance."""

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from systems import TINY, generate, training
from torch import nn

from snakecap.config.detection import Detector
from snakecap.config.settings import Stage
from snakecap.distributed.process_group import ProcessGroup, share
from snakecap.formats.features import Features
from snakecap.inputs.batches import split
from snakecap.provenance import code, sidecar
from snakecap.workflow.resources import start

HERE = Path(__file__).parent
READS = (("captions", "h5"), ("vocabulary", "json"), ("pictures", "json"))
# Sums are taken in another order, in float32, over a few dozen steps of a small network.
TOLERANCE = {"rel": 2e-4, "abs": 2e-5}


def settings(dropout=0.0, **stage):
    """A CNN that is fine-tuned, with batch norm, mirroring and a last batch that is smaller."""
    row = {
        "name": "finetune",
        "finetune_from": "all",
        "train_batch_norm": True,
        "epochs": 6,
        "batch_size": 8,
        "captions_per_picture": 2,
        "flip": True,
        "log_every": 1,
        "validate_every": 7,
        "optimiser": {"learning_rate": 1e-2},
        "backbone_optimiser": {"learning_rate": 1e-3},
        "precision": "float32",  # sums in another order: bfloat16 would show it
        "schedule": {"name": "plateau", "options": {"patience": 0, "threshold": 0.9, "by": 0.5}},
    }
    encoder = {"part": "cnn", "options": {"batch_norm": True}}
    decoder = {"part": "lstm", "options": {"hidden_size": 12, "dropout": dropout}}
    return training({**row, **stage}, encoders=[encoder], decoder=decoder)


def detector():
    options = {"size": 32, "width": 4, "depth": 2, "anchors": 2}
    learning = {"epochs": 2, "batch_size": 5, "log_every": 1, "precision": "float32"}
    return Detector(part="yolov2", options=options, training=learning)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("data"), train=20, val=7)


def jobs(data, out):
    """A list of stages and their arguments, as JSON."""
    images, pictures = str(data / "images.h5"), str(data / "pictures.json")
    packed = {"captions": str(data / "captions.h5"), "vocabulary": str(data / "vocabulary.json")}

    def train(name, row):
        made = {key: f"{out}/{name}/{key}" for key in ("model", "last", "history")}
        chosen = row.model_dump(mode="json")
        return ["train", {**packed, "pictures": pictures, "inputs": [images], **made}, chosen]

    found = [
        train("plain", settings()),
        train("one_picture_a_process", settings(batch_size=3, epochs=1)),
        train("parts", settings(batch_size=7, epochs=1, accumulate=4)),
        train("self_critical", settings(epochs=1, objective={"part": "self_critical"})),
        ["train_detector", {"pictures": pictures, "images": images, "model": f"{out}/detector",
          "history": f"{out}/detector.json"}, detector().model_dump(mode="json")],
        ["features", {"images": images, "features": f"{out}/features.lmdb"},
         {"backbone": {**TINY, "batch_size": 4}, "features": {"flip": True}}],
        ["caption", {"model": [f"{out}/plain/model"], "pictures": pictures, "inputs": [images],
          "captions": f"{out}/captions.json", "shuffled": f"{out}/shuffled.json"},
         {"beam_width": 2, "batch_size": 2, "precision": "float32"}],
    ]  # fmt: skip
    return [
        [stage, {**files, "settings": chosen, "device": "cpu"}] for stage, files, chosen in found
    ]


TWO = tuple(start(2).split()[1:])


def run(*words):
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return done.stderr


@pytest.fixture(scope="module")
def both(data, tmp_path_factory):
    """The folders of one process and of two."""
    out = tmp_path_factory.mktemp("out")
    for name, launcher in (("one", ()), ("two", TWO)):
        (out / name).mkdir()
        (out / f"{name}.jobs").write_text(json.dumps(jobs(data, out / name)))
        run(*launcher, HERE / "group_jobs.py", out / f"{name}.jobs")
    return out / "one", out / "two"


def read(folder, name):
    return json.loads((folder / name).read_text())


@pytest.mark.parametrize(
    "name", ["plain/history", "one_picture_a_process/history", "detector.json"]
)
def test_the_losses_are_those_of_one_process(both, name):
    one, two = (read(folder, name) for folder in both)
    assert one["iteration"] == two["iteration"] and one["captions"] == two["captions"]
    for history in ("loss_history", "val_loss_history"):
        assert list(one[history]) == list(two[history])
        assert list(two[history].values()) == pytest.approx(
            list(one[history].values()), **TOLERANCE
        )
    assert one["loss_history"]["1"] > one["loss_history"][str(one["iteration"])], "nothing learnt"


def test_what_an_objective_reports_is_put_together(both):
    """Each process has its own samples; the training split's words are the same for all."""
    one, two = (read(folder, "self_critical/history")["objective_history"] for folder in both)
    for history in (one, two):
        assert list(history) == ["1", "2", "3"]
        assert all(0 < row["diversity"] <= 4 for row in history.values())
    assert one != two


def test_validation_is_shared_and_put_together_in_order(both):
    one, two = (read(folder, "plain/history") for folder in both)
    assert one["val_predictions"] == two["val_predictions"] and len(one["val_predictions"]) == 7
    assert one["best"]["iteration"] == two["best"]["iteration"]
    assert two["processes"] == 2 and "processes" not in one


def test_features_are_the_same(both):
    one, two = (Features(folder / "features.lmdb") for folder in both)
    names = [f"{name}{end}" for name in one_names(both[0]) for end in ("", "@flip")]
    assert len(one) == len(two) == len(names) == 2 * 32
    np.testing.assert_allclose(one.read(names), two.read(names), rtol=1e-5, atol=1e-6)


def one_names(folder):
    from snakecap.formats.images import Images

    job = json.loads(folder.with_suffix(".jobs").read_text())[0][1]
    return Images(Path(job["inputs"][0])).files


def test_captions_are_the_same_in_the_same_order(both):
    for name in ("captions.json", "shuffled.json"):
        one, two = (read(folder, name) for folder in both)
        assert [r["image_id"] for r in one] == [r["image_id"] for r in two]
        assert [r["caption"] for r in one] == [r["caption"] for r in two]
        assert len(one) == 5


def test_nothing_but_results_is_left(both):
    one, two = (sorted(p.relative_to(f) for p in f.rglob("*") if p.is_file()) for f in both)
    assert one == two


@pytest.mark.parametrize("number", [1, 2, 5, 8])
@pytest.mark.parametrize("accumulate", [1, 2, 9])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_slices_count_every_picture_once(number, accumulate, size):
    counted = [Fraction(0)] * number
    together = {len(split(number, accumulate, ProcessGroup(rank, size))) for rank in range(size)}
    assert len(together) == 1, "processes meet once a part"
    for rank in range(size):
        mine = split(number, accumulate, ProcessGroup(rank, size))
        assert mine and len(mine) <= accumulate
        for part, times in mine:
            assert part.stop > part.start
            for row in range(number)[part]:
                counted[row] += Fraction(1, times)
    assert counted == [1] * number


def test_a_group_of_one_changes_nothing():
    processes = ProcessGroup()
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    state = torch.get_rng_state()
    assert processes.is_rank_0 and processes.broadcast(3) == 3 and processes.gather("a") == ["a"]
    assert list(processes.mine([1, 2, 3])) == [1, 2, 3] and processes.merged([[1, 2, 3]]) == [
        1,
        2,
        3,
    ]
    processes.gradients(model.parameters())
    processes.reseed(1, 1)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(state, torch.get_rng_state())
    assert type(share(model, processes)[1]) is nn.BatchNorm1d


def test_what_is_taken_apart_comes_together():
    for number in range(8):
        shares = [ProcessGroup(rank, 3).mine(range(number)) for rank in range(3)]
        assert ProcessGroup().merged(shares) == list(range(number))


def test_accumulation_is_a_setting_that_must_be_positive():
    assert Stage(name="x", accumulate=4).accumulate == 4
    with pytest.raises(ValueError, match="accumulate"):
        Stage(name="x", accumulate=0)


def test_what_rank_0_need_not_make_the_others_do_not_wait_for(data, tmp_path):
    """A job whose outputs another process made before ends, in all of its processes."""
    script = HERE.parents[2] / "workflow" / "scripts" / "features.py"
    made = tmp_path / "features.lmdb"
    settings = json.dumps({"backbone": TINY})
    names = "snakecap.steps.features,snakecap.models.backbones.tiny"
    rule = ["--code", f"{names}={code.digest(*names.split(','))}", "--lock", "none"]
    words = [*TWO, script, *rule, "--makes", made, "--images", data / "images.h5"]
    words += ["--features", made, "--settings", settings, "--device", "cpu"]
    run(*words)
    first = made.stat()
    assert "was made by the process before: nothing to do" in run(*words)
    assert made.stat().st_mtime_ns == first.st_mtime_ns


def test_a_group_computes_nothing_that_is_in_the_shared_folder(data, tmp_path, monkeypatch):
    """Rank 0 looks, and broadcasts; also for one process, which takes what the group made."""
    monkeypatch.setenv("SNAKECAP_CACHE", str(tmp_path / "shared"))
    names = "snakecap.steps.features,snakecap.models.backbones.tiny"
    script = HERE.parents[2] / "workflow" / "scripts" / "features.py"
    words = [script, "--code", f"{names}={code.digest(*names.split(','))}", "--lock", "none"]
    words += ["--images", data / "images.h5", "--device", "cpu"]
    words += ["--settings", json.dumps({"backbone": TINY})]
    said, made = [], []
    for name, launcher in (("first", TWO), ("second", TWO), ("alone", ())):
        made.append(tmp_path / name / "features.lmdb")
        said.append(run(*launcher, *words, "--makes", made[-1], "--features", made[-1]))
    assert "features: 100%" in said[0] and "taken from" not in said[0]
    for text in said[1:]:
        assert text.count("taken from the shared folder, not made again") == 1
        assert "features: " not in text
    assert len({path.resolve() for path in made}) == 1 and len(Features(made[1])) == 32
    first, *later = [sidecar.read(path) for path in made]
    assert [record["started"] for record in later] == [first["started"]] * 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1])
def test_a_group_that_is_stopped_goes_on_to_the_same_bits(data, tmp_path, number):
    """Dropout is drawn by process and iteration: checkpoints hold rank 0's state alone."""
    chosen = settings(0.5, checkpoint_every=1e-6).model_dump(mode="json")
    for name in ("whole", "stopped"):
        files = {key: str(tmp_path / name / key) for key in ("model", "last", "history")}
        given = {key: str(data / f"{key}.{end}") for key, end in READS}
        given["inputs"] = [str(data / "images.h5")]
        job = ["train", {**given, **files, "settings": chosen, "device": "cpu"}]
        (tmp_path / f"{name}.jobs").write_text(json.dumps([job]))
    run(*TWO, HERE / "group_jobs.py", tmp_path / "whole.jobs")
    words = [*TWO, HERE / "group_jobs.py", tmp_path / "stopped.jobs"]
    with (tmp_path / "log").open("w") as log:
        processes = subprocess.Popen([sys.executable, *map(str, words)], stderr=log)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("stopped/.work/*/checkpoint-*")):
        assert processes.poll() is None and time.monotonic() < deadline, (
            tmp_path / "log"
        ).read_text()
        time.sleep(0.02)
    if number == signal.SIGKILL:  # torchrun's processes are no children of its group
        subprocess.run(["pkill", "-KILL", "-f", str(words[-1])], check=True)
    else:
        processes.send_signal(number)
    assert processes.wait() == (-signal.SIGKILL if number == signal.SIGKILL else 75)
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert not (tmp_path / "stopped" / "model").exists()
    assert "continuing from checkpoint" in run(*words)
    one, two = ((tmp_path / name / "last").read_bytes() for name in ("whole", "stopped"))
    assert one == two


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5, 5)])
def test_shared_batch_norm_is_torchs_on_the_whole_batch(monkeypatch, shape):
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: None)
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    plain, shared = nn.Sequential(kind(3)), share(nn.Sequential(kind(3)), ProcessGroup(0, 2))
    for _ in range(3):
        inputs = torch.randn(shape) * 3 + 1
        one, two = inputs.clone().requires_grad_(), inputs.clone().requires_grad_()
        torch.testing.assert_close(shared(two), plain(one))
        plain(one).square().sum().backward()
        shared(two).square().sum().backward()
        torch.testing.assert_close(two.grad, one.grad, atol=1e-4, rtol=1e-4)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(shared.state_dict()[name], value)
