"""What docs/cluster.md says of disk, memory and hours: formulas against files and models."""

import importlib.util
import json
import re
from pathlib import Path

import costs
import file_sizes
import numpy as np
import pytest
import torch
import yaml
from torch import nn

from snakecap import registry
from snakecap.config.cluster import Cluster
from snakecap.config.settings import Stage
from snakecap.formats import captions as caption_files
from snakecap.formats import detections as detection_files
from snakecap.formats import features as feature_files
from snakecap.formats import images as image_files
from snakecap.formats import layouts as layout_files
from snakecap.formats import model as model_files
from snakecap.objects.boxes import Detections
from snakecap.objects.layout import Layout, Reading
from snakecap.objects.object import Object
from snakecap.training.checkpoints import Checkpoints, History
from snakecap.training.optimisers import Group, Numbers
from snakecap.workflow import resources

ROOT = Path(__file__).parents[2]
N = 400
FILES = [f"images/COCO_train2014_{number:012d}.jpg" for number in range(N)]


def on_disk(*paths):
    return sum(path.stat().st_size for path in paths)


def close(formula, real, tolerance):
    """A formula may say a little too much, and hardly too little."""
    assert real * (1 - tolerance / 3) <= formula <= real * (1 + tolerance), (formula, real)


# Files: docs/cluster.md states these tolerances.


def test_images(tmp_path):
    image_files.create(tmp_path / "images.h5", FILES, 64, "squash", {"code": "0"})
    close(file_sizes.images(N, 64), on_disk(tmp_path / "images.h5"), 0.05)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("shape", [(32,), (256,), (512,), (1512,), (2048,), (4096,), (49, 64)])
def test_features(tmp_path, shape, half, flip):
    path = tmp_path / "features.lmdb"
    writer = feature_files.Writer(path, shape, "float16" if half else "float32")
    names = [file + end for file in FILES for end in (["", "@flip"] if flip else [""])]
    for at in range(0, len(names), 32):
        some = names[at : at + 32]
        writer.put(some, np.ones((len(some), *shape), np.float32))
    writer.close({"code": "0"})
    values = int(np.prod(shape))
    used = path.stat().st_blocks * 512  # the file is sparse
    bytes_ = values * (2 if half else 4)  # small ones share pages
    close(
        file_sizes.features(N, values, half=half, flip=flip), used, 0.06 if bytes_ > 2000 else 0.6
    )


def test_captions(tmp_path):
    rows = 5 * N
    written = caption_files.Captions(
        labels=np.ones((rows, 16), np.int64),
        starts=np.arange(0, rows, 5),
        ends=np.arange(5, rows + 5, 5),
        lengths=np.full(rows, 16),
        files=tuple(FILES),
        splits=("train",) * N,
        ids=tuple(range(N)),
        words=("a",),
    )
    path = tmp_path / "captions.h5"
    caption_files.write(path, written)
    close(file_sizes.captions(N, rows, 16), on_disk(path, path.with_suffix(".json")), 0.25)


def test_detections_and_layouts(tmp_path):
    generator = np.random.default_rng(0)
    boxes = generator.random((N, 7, 4)).astype(np.float32) * 300 + 1
    found = [
        (row, Detections(some, np.full(7, 3), generator.random(7).astype(np.float32)))
        for row, some in enumerate(boxes)
    ]
    path = tmp_path / "detections.json"
    detection_files.write(path, found, ["person", "bicycle", "car", "motorcycle"])
    close(file_sizes.detections(7 * N), on_disk(path), 0.25)
    rows = [[Object("motorcycle", tuple(box), 0.5) for box in some] for some in boxes.tolist()]
    layouts = [Layout.from_pixels(some, 640, 640) for some in rows]
    reading = Reading(("motorcycle",))
    path = tmp_path / "layouts.h5"
    layout_files.write(path, layouts, list(enumerate(FILES)), reading, code="0")
    close(file_sizes.layouts(N, 7 * N, 7), on_disk(path, path.with_suffix(".json")), 0.25)


@pytest.mark.parametrize("optimiser", registry.OPTIMISERS)
def test_checkpoints_and_the_work_folder(tmp_path, optimiser):
    """Trained weights, frozen ones, and what an optimiser keeps; three checkpoints at once."""
    network = nn.Sequential(nn.Linear(300, 300), nn.Linear(300, 300))
    parameters = sum(p.numel() for p in network.parameters())
    trained = list(network[1].named_parameters())
    group = Group(trained, registry.load("optimiser", optimiser), Numbers(0.1))
    for _, parameter in trained:
        parameter.grad = torch.ones_like(parameter)
    group.step()
    checkpoints = Checkpoints(network, [group], tmp_path)
    for iteration in range(3):
        past = History(iteration=iteration, best={"iteration": iteration})
        checkpoints.save_best(past)
        checkpoints.save(past)
    kept = sorted(tmp_path.glob("checkpoint-*"))
    count = sum(p.numel() for _, p in trained)
    assert len(kept) == 2
    close(file_sizes.checkpoint(parameters, count, optimiser), on_disk(kept[0]), 0.05)
    checkpoints.save_best(History(iteration=3, best={"iteration": 3}))
    checkpoints.save_last(History(iteration=3))
    assert len(list(tmp_path.glob("best-*"))) == 3
    most = on_disk(*tmp_path.iterdir()) + on_disk(kept[0])  # the third, being written
    assert file_sizes.work(parameters, count, optimiser) == pytest.approx(most + 2e6, rel=0.05)


def test_models(tmp_path):
    weights = {"weight": torch.ones(1000, 2000)}
    words = {f"word{number}": number for number in range(10_000)}
    path = tmp_path / "model.safetensors"
    model_files.write(path, weights, {"vocabulary": {"words": list(words), "counts": words}})
    close(file_sizes.model(2_000_000), on_disk(path), 0.05)


# Networks and hours.


@pytest.fixture(scope="module")
def page():
    spec = importlib.util.spec_from_file_location("costs_page", ROOT / "docs" / "costs_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(page):
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.page(text) == text, "run make docs"
    with pytest.raises(ValueError, match="lacks the markers of costs"):
        page.page("# Empty\n")


def test_the_pages_settings_are_accepted(page):
    """A newcomer copies them: over the recipe they must read, and change what they say."""
    (block,) = re.findall(r"(?ms)^```yaml\n(.*?)^```", page.PAGE.read_text(encoding="utf-8"))
    whole = page.checked("neuraltalk2", yaml.safe_load(block))
    assert whole.datasets["coco2014"].root == "/data/coco"
    assert not whole.datasets["coco2014"].downloads and whole.gpus == 1
    assert page.checked("neuraltalk2").datasets["coco2014"].downloads


def test_networks_are_counted_as_their_authors_did(page):
    """NeuralTalk2's own numbers: VGG-16 to fc7, its projection, and the language model."""
    whole = page.checked("neuraltalk2")
    found = page.network(whole.systems["coco_neuraltalk2"], whole)
    assert (found.backbone, found.values) == (134_260_544, {"picture": 4096})
    # 1,025 numbers a word more than the original's 9,567 words: an embedding and a row of logits
    language = 11_908_448 + (page.WORDS - 9_567) * (512 + 513)
    assert found.parameters - found.backbone == pytest.approx(2_097_664 + language, rel=0.001)


def test_operations_are_torchvisions():
    from torchvision import models

    for name, operations in costs.OPERATIONS.items():
        published = models.get_model_weights(name).DEFAULT.meta["_ops"]
        assert operations == pytest.approx(published * 1e9, rel=0.01), name


NETWORK = costs.Network(parameters=150_000_000, backbone=134_000_000, values={"picture": 4096})
COCO = costs.DATA["coco2014"]
H200 = costs.MACHINES["H200"]


def seconds(**options):
    stage = Stage(**{"name": "one", "epochs": 1, **options})
    return costs.stage_seconds(NETWORK, ["vgg16"], stage, COCO, H200)


def test_hours_grow_with_what_is_computed():
    assert seconds(epochs=2) == pytest.approx(2 * seconds())
    assert seconds(max_iterations=100, epochs=None) < seconds() < seconds(random_crop=True)
    assert seconds(random_crop=True) < seconds(finetune_from="all")
    assert seconds(batch_size=64) < seconds(batch_size=16), "fewer steps"
    looked = costs.look_seconds("vgg16", 1000, H200)
    assert costs.look_seconds("vgg16", 1000, H200, flip=True) == pytest.approx(2 * looked)


def test_memory_holds_the_features_and_what_is_trained():
    frozen, tuned = Stage(name="one"), Stage(name="two", finetune_from="all")
    cached = 4 * COCO.pictures * NETWORK.values["picture"]
    plain = costs.gpu_memory(NETWORK, frozen, COCO)
    assert costs.gpu_memory(NETWORK, frozen, COCO, flip=True) == pytest.approx(plain + cached)
    assert costs.trained(NETWORK, frozen) == 16_000_000
    assert costs.trained(NETWORK, tuned) == 150_000_000
    # weights, gradients, two moments
    everything = costs.CONTEXT + 4 * (150e6 + 3 * 150e6)
    assert costs.gpu_memory(NETWORK, tuned, COCO) == pytest.approx(everything)


def asked_and_needed(network, stage, data, flip):
    """What a training job asks a cluster for (`resources`), and what `costs` says it needs."""
    size = {"pictures": data.pictures, "captions": data.captions}
    need = resources.need("train", stage)
    asked = resources.memory(need, **size, attempt=1, cluster=Cluster())
    return asked * 1e6, costs.host_memory(network, stage, data, flip=flip)


@pytest.mark.parametrize(
    "recipe", ["neuraltalk2", "show_and_tell", "obj2text_coco", "flickr8k", "coco_layouts"]
)
def test_a_training_job_asks_for_twice_the_memory_that_it_needs(page, recipe):
    """Two formulas of one quantity, which must not drift apart; the ratios are 2.03 to 3.63."""
    assert recipe in page.RECIPES and len(page.RECIPES) == 5
    whole = page.checked(recipe)
    for name in whole.compare or whole.systems:
        row = whole.systems[name]
        for stage in row.stages:
            parts = page.network(row, whole), stage, costs.DATA[whole.dataset]
            asked, needed = asked_and_needed(*parts, costs.flips(row))
            assert asked >= 2 * needed, (name, stage.name, asked, needed)


@pytest.mark.parametrize(("flip", "margin"), [(False, 1.8), (True, 1.3)])
def test_cached_features_of_coco_fit_into_what_a_job_asks_for(flip, margin):
    """No recipe caches features of all of COCO; these are the widest vectors, VGG-16's fc7."""
    asked, needed = asked_and_needed(NETWORK, Stage(name="one"), COCO, flip)
    assert asked >= margin * needed


def test_a_recipe_is_the_sum_of_its_parts(page):
    whole = page.checked("flickr8k")
    found = page.cost("flickr8k")
    data = costs.DATA["flickr8k"]
    (name,) = whole.compare
    network = page.network(whole.systems[name], whole)
    assert len(whole.seeds) == 3
    assert found.disk["models"] == pytest.approx(3 * 2 * 2 * file_sizes.model(network.parameters))
    assert found.disk["features"] == file_sizes.features(data.pictures, 1512, flip=True)
    assert found.disk["`images.h5`"] == file_sizes.images(data.pictures, 227)
    assert page.cost("coco_layouts").disk["`images.h5`"] == 0, "layouts alone"
    assert json.dumps(found.disk)
