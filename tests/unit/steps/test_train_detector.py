"""Training a detector on generated pictures: it learns, and it resumes to the bit."""

import json
import shutil
from dataclasses import replace

import darknet_oracle as oracle
import numpy as np
import pytest
import torch
from PIL import Image

from snakecap.config import settings as configuration
from snakecap.config.detection import Detector
from snakecap.detectors.yolov2 import YOLOv2
from snakecap.formats import decode
from snakecap.formats import model as models
from snakecap.formats import pictures as records
from snakecap.objects.object import Object
from snakecap.steps import train_detector as stage
from snakecap.steps.annotations import annotations
from snakecap.steps.train_detector import train_detector
from snakecap.tasks import detect as task

TRAINING = {
    "epochs": 2,
    "batch_size": 4,
    "flip": True,
    "optimiser": {"learning_rate": 5e-3, "alpha": 0.9, "beta": 0.99, "grad_clip": None},
    "checkpoint_every": 3600,
    "log_every": 1,
}
KINDS = ["circle", "square", "star", "triangle"]


def row(options=None, **training):
    chosen = {"size": 32, "width": 4, "depth": 2, "anchors": 2, **(options or {})}
    return Detector(part="yolov2", options=chosen, training={**TRAINING, **training})


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    options = {"train": 12, "val": 4, "test": 2, "size": 32}
    annotations(
        pictures=folder / "pictures.json",
        folder=folder / "shapes",
        settings=configuration.Dataset(reader="shapes", options=options),
    )
    return folder / "pictures.json"


def run(pictures, folder, settings, **given):
    train_detector(
        pictures=pictures,
        model=folder / "model.safetensors",
        history=folder / "history.json",
        settings=settings,
        device="cpu",
        **given,
    )
    weights, header = models.read(folder / "model.safetensors")
    return weights, header, json.loads((folder / "history.json").read_text())


def changed(pictures, folder, change):
    """The pictures, some of their records replaced."""
    collection = records.read(pictures)
    found = tuple(change(picture) for picture in collection.pictures)
    records.write(folder / "pictures.json", replace(collection, pictures=found))
    return folder / "pictures.json"


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return folder, *run(pictures, folder, row())


def test_the_model_alone_detects(trained, pictures):
    folder, weights, header, _ = trained
    detector = YOLOv2(
        file=folder / "model.safetensors",
        min_score=0.0,
        overlap=0.4,
        limit=100,
        place=torch.device("cpu"),
    )
    assert list(detector.categories) == header["categories"] == KINDS
    assert (detector.network.size, detector.network.stride) == (32, 4)
    assert len(detector.network.anchors) == 2
    assert torch.equal(
        detector.network.state_dict()["layers.0.norm.bias"], weights["layers.0.norm.bias"]
    )
    collection = records.read(pictures)
    images = [decode.load_whole(collection.root / p.file) for p in collection.pictures]
    found = detector.detect(collection.pictures, images)
    assert len(found) == len(images) and sum(map(len, found)) > 0


def test_history_is_complete(trained):
    _, weights, header, history = trained
    assert history["iteration"] == 6 and list(history["loss_history"]) == list("123456")
    assert list(history["val_loss_history"]) == ["3", "6"]
    assert set(history["val_lang_stats_history"]["6"]) == {"AP", "AP50", "AP75"}
    assert history["captions"] == 24 and history["throughput"] > 0
    assert history["best"] == header["best"] and history["best"]["by"] == "AP"
    assert history["parameters"] == sum(
        tensor.numel()
        for name, tensor in weights.items()
        if "running" not in name and "num_" not in name
    )
    assert Detector.model_validate(header["settings"]) == row()


def test_a_network_learns_eight_pictures_by_heart(pictures, tmp_path):
    """Judged on the pictures that it learns from."""

    def both(picture):
        number = int(picture.file[-6:-4])
        keep = picture.split == "train" and number < 8
        return replace(picture, split="train" if keep else "extra")

    again = changed(pictures, tmp_path, both)
    collection = records.read(again)
    learnt = collection.split("train")
    # Copies of the same files under other names, to be judged by.
    copies = []
    for picture in learnt:
        name = f"copy-{picture.file.replace('/', '-')}"
        (collection.root / name).write_bytes((collection.root / picture.file).read_bytes())
        copies.append(replace(picture, id=picture.id + 5000, file=name, split="val"))
    records.write(again, replace(collection, pictures=(*learnt, *copies)))
    heart = row({"width": 8, "anchors": 1}, epochs=70, flip=False, shift=0, colour=0)
    history = run(again, tmp_path, heart.model_copy(update={"min_score": 0.3}))[2]
    assert history["val_lang_stats_history"]["140"]["AP50"] > 0.95
    assert history["loss_history"]["140"] < history["loss_history"]["1"] / 20


class KilledError(Exception):
    pass


@pytest.mark.parametrize("kill_at", [2, 4])
def test_a_killed_run_resumes_to_the_bit(trained, pictures, tmp_path, monkeypatch, kill_at):
    settings = row(checkpoint_every=1e-9)
    whole = task.DetectionBatches.__call__

    def killed(self, iteration):
        if iteration == kill_at:
            raise KilledError
        return whole(self, iteration)

    monkeypatch.setattr(task.DetectionBatches, "__call__", killed)
    with pytest.raises(KilledError):
        run(pictures, tmp_path, settings)
    assert not (tmp_path / "model.safetensors").exists()
    assert list((tmp_path / ".work").glob("*/checkpoint-*"))
    monkeypatch.setattr(task.DetectionBatches, "__call__", whole)
    weights, header, history = run(pictures, tmp_path, settings)
    _, expected, before, other = trained
    assert header["best"] == before["best"] and history["loss_history"] == other["loss_history"]
    for name, tensor in expected.items():
        assert torch.equal(tensor, weights[name]), name
    assert not list((tmp_path / ".work").glob("*/checkpoint-*"))


def test_after_a_photo_was_replaced_training_starts_anew(trained, pictures, tmp_path, monkeypatch):
    """Half of it would have seen the old one."""
    again = tmp_path / "pictures.json"
    collection = records.read(pictures)
    shutil.copytree(collection.root, tmp_path / "photos")
    records.write(again, replace(collection, root=tmp_path / "photos"))
    whole, settings = task.DetectionBatches.__call__, row(checkpoint_every=1e-9)

    def killed(self, iteration):
        if iteration == 3:
            raise KilledError
        return whole(self, iteration)

    monkeypatch.setattr(task.DetectionBatches, "__call__", killed)
    with pytest.raises(KilledError):
        run(again, tmp_path, settings)
    monkeypatch.setattr(task.DetectionBatches, "__call__", whole)
    first = next(picture for picture in collection.split("train") if picture.objects)
    Image.new("RGB", (32, 32)).save(tmp_path / "photos" / first.file)
    weights, _, _ = run(again, tmp_path, settings)
    (tmp_path / "anew").mkdir()
    fresh, _, _ = run(again, tmp_path / "anew", settings)
    for name, tensor in fresh.items():
        assert torch.equal(tensor, weights[name]), name
    assert any(not torch.equal(tensor, trained[1][name]) for name, tensor in fresh.items())


def test_another_seed_is_another_network(pictures, tmp_path):
    """From the first weights on, and not by the order of the pictures alone."""
    still = {"epochs": 0.1, "optimiser": {"name": "sgd", "learning_rate": 1e-30}}
    one, again, other = (
        run(pictures, tmp_path / name, row(seed=seed, **still))[0]
        for name, seed in (("one", 7), ("again", 7), ("other", 8))
    )
    name = "layers.0.convolution.weight"
    assert torch.equal(one[name], again[name]) and not torch.equal(one[name], other[name])


def test_a_darknet_cfg_trains(pictures, tmp_path):
    (tmp_path / "a.cfg").write_text(oracle.text(oracle.PASSAGE, 80))
    (tmp_path / "a.names").write_text("star\nsquare\ntriangle\ncircle\n")
    options = {"cfg": str(tmp_path / "a.cfg"), "names": str(tmp_path / "a.names"), "anchors": 3}
    _, header, _ = run(pictures, tmp_path, row(options, epochs=1, validation_pictures=2))
    assert header["categories"] == ["star", "square", "triangle", "circle"]
    assert "[reorg]" in header["cfg"] and "classes=4" in header["cfg"]
    assert f"filters={3 * 9}" in header["cfg"] and "num=3" in header["cfg"]
    assert "rescore=1" in header["cfg"] and "width=32" in header["cfg"]


def test_validation_looks_at_as_many_pictures_as_asked(pictures, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        task,
        "average_precision",
        lambda truth, found, categories: seen.append((len(truth), len(found))) or {"AP": 0.5},
    )
    for asked, used in ((-1, 4), (3, 3), (100, 4)):
        run(pictures, tmp_path, row(epochs=0.1, validation_pictures=asked))
        assert seen.pop() == (used, used)


def test_training_ends_with_the_iterations_or_the_epochs(pictures, tmp_path):
    """Its settings are those of any training."""
    for training, iterations in (
        ({"max_iterations": 4}, 4),
        ({"max_iterations": 4, "epochs": None}, 4),
        ({"max_iterations": 100}, 6),
    ):
        history = run(pictures, tmp_path, row(**training))[2]
        assert history["iteration"] == iterations
    with pytest.raises(ValueError, match="give epochs or max_iterations"):
        row(epochs=None)


def test_a_detector_can_be_trained_deterministically_and_in_short_numbers(
    pictures, tmp_path, monkeypatch
):
    seen, choose = [], stage.devices.choose

    def chosen(*given, deterministic=False):
        seen.append(deterministic)
        return choose(*given)

    monkeypatch.setattr(stage.devices, "choose", chosen)
    plain = run(pictures, tmp_path, row(epochs=None, max_iterations=2))[0]
    short = {"precision": "bfloat16", "deterministic": True}
    rounded = run(pictures, tmp_path, row(epochs=None, max_iterations=2, **short))[0]
    assert seen == [False, True]
    assert any(not torch.equal(plain[name], rounded[name]) for name in plain)


def test_a_detectors_exploding_loss_stops_it(pictures, tmp_path):
    rate = {"name": "sgd", "learning_rate": 1e9, "grad_clip": None}
    settings = row(epochs=20, explosion=1.5, optimiser=rate)
    with pytest.raises(RuntimeError, match="lower the learning rate"):
        run(pictures, tmp_path, settings)


def test_only_the_pictures_of_images_h5_are_used(pictures, tmp_path, monkeypatch):
    from snakecap.formats import images as packing

    collection = records.read(pictures)
    kept = [p.file for p in collection.pictures if p.file != collection.pictures[0].file]
    packing.create(tmp_path / "images.h5", kept, 16, "squash", {})
    writer = packing.Rows(tmp_path / "images.h5")
    for number in range(len(kept)):
        writer.write(number, np.zeros((3, 16, 16), np.uint8))
    writer.close()
    used = []
    whole = stage.Squares

    def squares(root, pictures, size):
        used.extend(picture.file for picture in pictures)
        return whole(root, pictures, size)

    monkeypatch.setattr(stage, "Squares", squares)
    run(pictures, tmp_path, row(epochs=0.1), images=tmp_path / "images.h5")
    assert used == [file for file in kept if not file.startswith("test")]


def test_a_split_without_objects_is_named(pictures, tmp_path):
    def without(split):
        return changed(
            pictures, tmp_path, lambda p: replace(p, objects=()) if p.split == split else p
        )

    for split in ("train", "val"):
        with pytest.raises(ValueError, match=f"the {split} split shows no objects"):
            run(without(split), tmp_path, row())
    odd = (Object("star", (0.0, 0.0, -1.0, 2.0)),)
    nothing = changed(pictures, tmp_path, lambda p: replace(p, objects=odd))
    with pytest.raises(ValueError, match="no picture of the train split shows an object"):
        run(nothing, tmp_path, row())


def test_odd_boxes_are_counted_and_do_not_stop_training(pictures, tmp_path, caplog):
    odd = Object("star", (float("nan"), 0.0, 1.0, 2.0))
    some = changed(pictures, tmp_path, lambda p: replace(p, objects=(*p.objects, odd)))
    run(some, tmp_path, row(epochs=0.1))
    assert "outside their picture: 12; the first" in caplog.text


def test_wrong_rows_are_refused(pictures, tmp_path):
    with pytest.raises(ValueError, match="has no `training` in its row"):
        run(pictures, tmp_path, Detector(part="yolov2", file="a.safetensors"))
    with pytest.raises(ValueError, match="size=34 is not a multiple of its stride, 4"):
        run(pictures, tmp_path, row({"size": 34}))
    with pytest.raises(FileNotFoundError, match=r"a.cfg"):
        run(pictures, tmp_path, row({"cfg": str(tmp_path / "a.cfg")}))
    (tmp_path / "a.names").write_text("star\nsquare\n")
    with pytest.raises(ValueError, match=r"shows the unknown category '(circle|triangle)'"):
        run(pictures, tmp_path, row({"names": str(tmp_path / "a.names")}))
    with pytest.raises(ValueError, match="unknown option widht"):
        row({"widht": 3})
