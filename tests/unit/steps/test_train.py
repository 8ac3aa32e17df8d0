"""Training stages on generated pictures: what trains, what stays, what is written (spec T1-T15)."""

import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from systems import GRID, PICTURE, TINY, caption_test, generate, train_on, training

from snakecap.config import settings as configuration
from snakecap.formats import captions as packing
from snakecap.formats import model as models
from snakecap.inference.model import Model
from snakecap.models.backbones.tiny import Tiny
from snakecap.steps.caption import derangement
from snakecap.steps.features import Extraction, features
from snakecap.steps.vocabulary import vocabulary

STAGE = {
    "name": "frozen",
    "epochs": 2,
    "batch_size": 8,
    "captions_per_picture": 2,
    "language_eval": False,
    "checkpoint_every": 3600,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Sixteen generated pictures, through every step before training."""
    folder = generate(tmp_path_factory.mktemp("data"))
    chosen = configuration.Features(flip=True)
    backbone = configuration.Backbone(**TINY)
    features(
        images=folder / "images.h5",
        features=folder / "features.lmdb",
        settings=Extraction(backbone=backbone, features=chosen),
    )
    return folder


def chosen(**stage):
    return training({**STAGE, **stage})


def run(data, folder, settings, inputs=None, **files):
    reads = "images.h5" if settings.stage.reads_pictures else "features.lmdb"
    train_on(data, folder, settings, [data / reads] if inputs is None else inputs, **files)
    return models.read(folder / "last.safetensors")[0]


def split(weights):
    """The backbone's weights, and the others."""
    inside = {k: v for k, v in weights.items() if k.startswith("backbones.")}
    return inside, {k: v for k, v in weights.items() if k not in inside}


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def frozen(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("frozen")
    weights = run(data, folder, chosen())
    return folder, weights


def test_a_frozen_stage_trains_the_projection_and_not_the_backbone(data, frozen, tmp_path):
    """NeuralTalk2 left the projection at random (issue 117)."""
    fresh = run(data, tmp_path, chosen(max_iterations=1, optimiser={"learning_rate": 1e-12}))
    backbone, others = split(frozen[1])
    assert equal(backbone, split(fresh)[0])
    changed = [name for name, value in others.items() if not torch.equal(value, fresh[name])]
    assert any("project" in name for name in changed) and any(
        "recurrent" in name for name in changed
    )


def test_a_fine_tuned_stage_starts_from_the_model_before_it(data, frozen, tmp_path):
    still = chosen(
        name="finetune",
        finetune_from="all",
        max_iterations=1,
        optimiser={"learning_rate": 1e-20},
        backbone_optimiser={"learning_rate": 1e-20},
    )
    weights = run(data, tmp_path, still, previous=frozen[0] / "last.safetensors")
    for name, value in frozen[1].items():
        torch.testing.assert_close(value, weights[name], rtol=0, atol=1e-12)


def test_a_stage_begins_with_an_optimiser_that_remembers_nothing(data, frozen, tmp_path):
    """Adam's first step is the learning rate for every weight, whatever its gradient was before."""
    rate = 1e-3
    stage = chosen(max_iterations=1, optimiser={"learning_rate": rate, "grad_clip": None})
    weights = run(data, tmp_path, stage, previous=frozen[0] / "last.safetensors")
    moves = torch.cat([(weights[name] - old).flatten() for name, old in frozen[1].items()]).abs()
    assert moves.max().item() == pytest.approx(rate, rel=1e-2)
    assert moves[moves > rate / 10].median().item() == pytest.approx(rate, rel=1e-2)


def test_fine_tuning_changes_the_backbone_from_the_named_layer_up(data, frozen, tmp_path):
    training = chosen(name="finetune", finetune_from="3", max_iterations=2)
    weights = run(data, tmp_path, training, previous=frozen[0] / "last.safetensors")
    for name, value in split(weights)[0].items():
        if "running" in name or "num_batches" in name:
            assert torch.equal(value, frozen[1][name]), name  # batch statistics were not asked for
        else:
            above = ".net.3." in name or ".net.4." in name
            assert torch.equal(value, frozen[1][name]) != above, name


def test_finetune_after_keeps_the_backbone_until_then(data, tmp_path):
    """T5: bit-identical before the iteration, changed from it on; the projection trains anyway."""
    later = {"name": "finetune", "finetune_from": "all", "finetune_after": 3}
    before = run(data, tmp_path / "3", chosen(**later, max_iterations=3))
    after = run(data, tmp_path / "4", chosen(**later, max_iterations=4))
    fresh = run(data, tmp_path / "0", chosen(max_iterations=1))
    assert equal(split(fresh)[0], split(before)[0])
    assert not equal(split(before)[0], split(after)[0])
    assert not torch.equal(before["encoders.0.project.weight"], fresh["encoders.0.project.weight"])


def test_weight_decay_of_the_backbone_is_its_alone(data, tmp_path):
    """T6: with equal steps otherwise, decay changes the backbone's first step only."""
    rate = {"name": "sgd", "learning_rate": 1e-3}
    stage = {"finetune_from": "all", "max_iterations": 1, "optimiser": rate}
    plain = run(data, tmp_path / "a", chosen(**stage, backbone_optimiser=rate))
    decayed_rate = {**rate, "weight_decay": 0.05}
    decayed = run(data, tmp_path / "b", chosen(**stage, backbone_optimiser=decayed_rate))
    assert equal(split(plain)[1], split(decayed)[1])
    assert not equal(split(plain)[0], split(decayed)[0])


def test_cached_features_and_pictures_train_the_same_model(data, tmp_path):
    one = run(data, tmp_path / "a", chosen(max_iterations=3))
    # A crop margin of zero: random crops read pictures, but see the same pixels.
    other = run(data, tmp_path / "b", chosen(max_iterations=3, random_crop=True))
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-4, atol=1e-5)


def test_a_seed_repeats_to_the_bit_and_another_differs(data, frozen, tmp_path):
    assert equal(frozen[1], run(data, tmp_path / "a", chosen()))
    other = run(data, tmp_path / "b", chosen(seed=7))
    assert not torch.equal(
        frozen[1]["decoder.recurrent.weight_hh_l0"], other["decoder.recurrent.weight_hh_l0"]
    )


@pytest.mark.parametrize("stage", [{}, {"finetune_from": "all"}])
def test_bfloat16_trains_nearly_the_same_model_and_repeats_to_the_bit(data, tmp_path, stage):
    losses, weights = {}, {}
    for name, precision in (("a", "float32"), ("b", "bfloat16"), ("c", "bfloat16")):
        settings = chosen(**stage, precision=precision, log_every=1, epochs=4)
        weights[name] = run(data, tmp_path / name, settings)
        history = json.loads((tmp_path / name / "history.json").read_text())
        losses[name] = [*history["loss_history"].values(), *history["val_loss_history"].values()]
    assert losses["b"] == pytest.approx(losses["a"], rel=0.01) and losses["b"] != losses["a"]
    assert losses["b"] == losses["c"] and equal(weights["b"], weights["c"])
    assert all(value.dtype == weights["a"][name].dtype for name, value in weights["b"].items())


def test_half_a_training_goes_on_with_the_same_weights_file_only(data, tmp_path, caplog):
    """The backbone's file counts by its content, wherever the same name leads."""
    torch.manual_seed(0)
    file = tmp_path / "tiny.safetensors"
    save_file(Tiny().net.state_dict(), file)
    settings = chosen(max_iterations=4, checkpoint_every=1e-9, random_crop=True)
    row = settings.backbones["tiny"].model_copy(update={"weights": str(file)})
    settings = settings.model_copy(update={"backbones": {"tiny": row}})

    def broken_off(*_):
        raise KeyboardInterrupt

    def attempt(name, file_changes, resumes):
        caplog.clear()
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("snakecap.tasks.caption.CaptionValidation.__call__", broken_off)
            run(data, tmp_path / name, settings)
        file_changes()
        run(data, tmp_path / name, settings)
        assert ("continuing from checkpoint" in caplog.text) == resumes

    caplog.set_level("INFO", logger="snakecap")
    status = file.stat()
    attempt("same", lambda: os.utime(file, (1e9, 1e9)), True)
    torch.manual_seed(1)
    attempt("other", lambda: save_file(Tiny().net.state_dict(), file), False)
    assert file.stat().st_size == status.st_size


def test_weights_that_explode_leave_the_best_model(data, tmp_path):
    """Their captions cannot be searched for."""
    stage = {"language_eval": True, "validate_every": 2, "log_every": 1, "finetune_from": "all"}
    rate = {"name": "sgd", "learning_rate": 1e30, "grad_clip": None}
    settings = chosen(**stage, max_iterations=40, epochs=None, finetune_after=3,
                      backbone_optimiser=rate)  # fmt: skip
    last = run(data, tmp_path, settings)
    history = json.loads((tmp_path / "history.json").read_text())
    assert "lower the learning rate" in history["stopped"] and history["iteration"] > 3
    assert history["best"]["iteration"] == 2
    best, _ = models.read(tmp_path / "model.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in best.values())
    assert not all(bool(tensor.isfinite().all()) for tensor in last.values())


def test_history_is_complete(frozen):
    """T10: NeuralTalk2's keys, and what a report needs."""
    history = json.loads((frozen[0] / "history.json").read_text())
    keys = {
        "settings",
        "iteration",
        "loss_history",
        "val_loss_history",
        "val_predictions",
        "val_lang_stats_history",
        "best",
        "throughput",
        "parameters",
    }
    assert keys <= set(history)
    assert history["iteration"] == 4 and list(history["val_loss_history"]) == ["2", "4"]
    assert len(history["val_predictions"]) == 4


def test_language_scores_choose_the_best_model(data, tmp_path):
    run(data, tmp_path, chosen(language_eval=True, max_iterations=2))
    history = json.loads((tmp_path / "history.json").read_text())
    assert history["best"]["by"] == "CIDEr"
    assert set(history["val_lang_stats_history"]["2"]) >= {"CIDEr", "Bleu_4", "ROUGE_L"}


@pytest.mark.parametrize(("asked", "used"), [(-1, 4), (3, 3), (100, 4)])
def test_validation_pictures(data, tmp_path, asked, used):
    """T12: -1 is all of them, N exactly N."""
    run(data, tmp_path, chosen(max_iterations=1, validation_pictures=asked))
    history = json.loads((tmp_path / "history.json").read_text())
    assert len(history["val_predictions"]) == used


def test_captions_of_another_vocabulary_are_refused(data, tmp_path):
    other = tmp_path / "other.json"
    row = configuration.Vocabulary(min_count=2)
    vocabulary(pictures=data / "pictures.json", vocabulary=other, settings=row)
    message = r"captions\.h5 was packed with another vocabulary than .*other\.json"
    with pytest.raises(ValueError, match=message):
        run(data, tmp_path, chosen(), vocabulary=other)


def test_missing_inputs_are_named(data, tmp_path):
    message = r"--inputs: give 1 files, in this order: picture \(features or images\.h5\)"
    for inputs in ([], [data / "features.lmdb"] * 2):
        with pytest.raises(ValueError, match=message):
            run(data, tmp_path, chosen(), inputs)
    with pytest.raises(ValueError, match=r"frozen reads pictures: for picture give an images\.h5"):
        run(data, tmp_path, chosen(finetune_from="all"), [data / "features.lmdb"])
    several = training(
        STAGE, inputs={**PICTURE, **GRID}, encoders=[{"part": "cnn"}, {"part": "cnn_grid"}]
    )
    message = r"give 2 files, in this order: grid \(features or images\.h5\), picture"
    with pytest.raises(ValueError, match=message):
        run(data, tmp_path, several)
    with pytest.raises(ValueError, match="no layer 'blokcs'"):
        run(data, tmp_path, chosen(finetune_from="blokcs"))


def test_a_model_alone_captions(data, frozen, tmp_path):
    """C2: vocabulary, settings and preprocessing are inside."""
    copy = tmp_path / "model.safetensors"
    copy.write_bytes((frozen[0] / "model.safetensors").read_bytes())
    photo = sorted((data / "shapes").rglob("*.jpg"))[0]
    model = Model(copy, "cpu")
    text = model.caption(photo)
    assert isinstance(text, str)
    assert model.caption([photo, photo], beam_width=3) == [model.caption(photo, beam_width=3)] * 2
    with pytest.raises(ValueError, match="beam"):
        model.caption(photo, beam=3)


def test_captions_of_a_split_with_and_without_cached_features(data, frozen, tmp_path):
    model, row = frozen[0] / "model.safetensors", configuration.Decoding(batch_size=2)

    def captions(name, *inputs, **given):
        given = {"settings": row, **given}
        caption_test(data, model, tmp_path / name, [data / file for file in inputs], **given)

    captions("a.json", "images.h5", shuffled=tmp_path / "s.json")
    captions("b.json", "features.lmdb")
    seen, cached, shuffled = (json.loads((tmp_path / f"{n}.json").read_text()) for n in "abs")
    assert [r["caption"] for r in seen] == [r["caption"] for r in cached]
    assert [r["image_id"] for r in seen] == [r["image_id"] for r in shuffled]
    assert len({r["image_id"] for r in seen}) == len(seen) == 5
    assert sorted(r["caption"] for r in seen) == sorted(r["caption"] for r in shuffled)
    with pytest.raises(ValueError, match=r"--inputs: give 1 files, in this order: picture"):
        captions("c.json")
    with pytest.raises(ValueError, match="no readable pictures"):
        captions("c.json", "images.h5", split="extra")


@pytest.mark.parametrize("number", [2, 3, 10, 101])
def test_a_derangement_moves_everything(number):
    order = derangement(number, seed=1)
    assert sorted(order) == list(range(number))
    assert not np.any(np.array(order) == np.arange(number))


def test_old_tooling_reads_the_packed_captions(data):
    """The pixels are there too, by an external link."""
    import h5py

    with h5py.File(data / "captions.h5") as file:
        assert file["images"].shape == (25, 3, 32, 32)
        assert len(packing.read(data / "captions.h5").files) == 25
