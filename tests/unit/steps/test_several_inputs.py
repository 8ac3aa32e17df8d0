"""Several inputs of a kind: from settings to a model that captions a user's own photo."""

import json

import pytest
import torch
from systems import TINY, caption_test, generate, train_on, training

from snakecap import cli
from snakecap.config import settings as configuration
from snakecap.formats import model as models
from snakecap.formats import pictures as records
from snakecap.formats.layouts import read_json_layouts
from snakecap.inference.model import Model
from snakecap.inputs.input import Request
from snakecap.steps.detect import detect
from snakecap.steps.features import Extraction, features
from snakecap.steps.layout import layout

STAGE = {
    "name": "frozen",
    "max_iterations": 3,
    "batch_size": 8,
    "captions_per_picture": 2,
    "language_eval": False,
}
# The second looks at ten crops.
BACKBONES = {"tiny": TINY, "centre": {**TINY, "preprocess": {"crop": 16, "crops": "average"}}}
LAYOUTS = {"seen": {"detector": "truth"}, "one": {"detector": "truth", "limit": 1}}


def features_of(source, **options):
    return {"part": "features", "source": source, "options": options}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = generate(tmp_path_factory.mktemp("data"))
    for name, row in BACKBONES.items():
        for output in ("pooled", "grid"):
            chosen = configuration.Features(output=output)
            features(
                images=folder / "images.h5",
                features=folder / f"{name}_{output}.lmdb",
                settings=Extraction(backbone=configuration.Backbone(**row), features=chosen),
            )
    pictures = folder / "pictures.json"
    seen, facts = folder / "detections.json", folder / "info.json"
    truth = configuration.Detector(part="truth")
    detect(pictures=pictures, detections=seen, info=facts, rejected=folder / "b", settings=truth)
    for name, row in LAYOUTS.items():
        layout(
            pictures=pictures,
            detections=seen,
            info=facts,
            layout=folder / f"{name}.h5",
            images=folder / "images.h5",
            settings=configuration.Arrangement(limit=row.get("limit", 96)),
        )
    return folder


TWO_BACKBONES = {
    "inputs": {"whole": features_of("tiny"), "centre": features_of("centre")},
    "encoders": [{"part": "cnn", "reads": "whole"}, {"part": "cnn", "reads": "centre"}],
}
ONE_BACKBONE_TWICE = {
    "inputs": {"vector": features_of("tiny"), "cells": features_of("tiny", output="grid")},
    "encoders": [{"part": "cnn"}, {"part": "cnn_grid"}],
    "decoder": {"part": "attention", "options": {"hidden_size": 12}},
}
TWO_LAYOUTS = {
    "inputs": {
        "objects": {"part": "layout", "source": "seen"},
        "first": {"part": "layout", "source": "one"},
    },
    "encoders": [
        {"part": "layout_lstm", "reads": "objects"},
        {"part": "layout_lstm", "reads": "first"},
    ],
    "decoder": {"part": "attention", "options": {"hidden_size": 12}},
}
FILES = {
    "whole": "tiny_pooled.lmdb",
    "centre": "centre_pooled.lmdb",
    "vector": "tiny_pooled.lmdb",
    "cells": "tiny_grid.lmdb",
    "objects": "seen.h5",
    "first": "one.h5",
}
SYSTEMS = {"two backbones": TWO_BACKBONES, "one twice": ONE_BACKBONE_TWICE, "layouts": TWO_LAYOUTS}


def row(system, **stage):
    return training({**STAGE, **stage}, **system, backbones=BACKBONES, layouts=LAYOUTS)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_trains_is_saved_and_captions(data, tmp_path, name):
    chosen = row(SYSTEMS[name])
    assert list(chosen.inputs) == sorted(SYSTEMS[name]["inputs"])
    files = [data / FILES[one] for one in chosen.inputs]
    model = train_on(data, tmp_path, chosen, files)
    said = tmp_path / "test.json"
    caption_test(data, model, said, files)
    results = {row["file_name"]: row["caption"] for row in json.loads(said.read_text())}
    assert len(results) == 5
    # The model's file alone says the same of a photo or its layout.
    root = records.read(data / "pictures.json").root
    layouts = {one.name: one.layout for one in read_json_layouts(data / "seen.json")}
    asked = [Request(root / file, layouts[file]) for file in results]
    assert Model(model, "cpu").caption(asked) == list(results.values())
    file, caption = next(iter(results.items()))
    mine = root / file
    if name == "layouts":
        (tmp_path / "mine.json").write_text(
            json.dumps(next(r for r in _layouts(data) if r["file"] == file) | {"id": 1})
        )
        mine = tmp_path / "mine.json"
    out = tmp_path / "out.json"
    cli.main(["caption", str(model), str(mine), "--output", str(out), "--device", "cpu"])
    assert json.loads(out.read_text())[0]["caption"] == caption


def _layouts(data):
    return json.loads((data / "seen.json").read_text())["layouts"]


def test_both_backbones_are_fine_tuned_and_a_next_stage_goes_on(data, tmp_path):
    first = row(TWO_BACKBONES)
    before = train_on(data, tmp_path / "a", first, [data / FILES[one] for one in first.inputs])
    second = row(TWO_BACKBONES, name="finetune", finetune_from="all")
    pixels = [data / "images.h5"] * 2
    after = train_on(data, tmp_path / "b", second, pixels, previous=before)
    weights = [models.read(path)[0] for path in (before, after)]
    changed = {key for key in weights[0] if not torch.equal(weights[0][key], weights[1][key])}
    for name in BACKBONES:
        assert any(key.startswith(f"backbones.{name}.") for key in changed), name
    caption_test(data, after, tmp_path / "test.json", pixels)
    with pytest.raises(ValueError, match="finetune reads pictures: for centre give an images"):
        train_on(data, tmp_path / "c", second, [data / "centre_pooled.lmdb", pixels[0]])


def test_a_next_stage_of_layouts_goes_on(data, tmp_path):
    first = row(TWO_LAYOUTS)
    files = [data / FILES[one] for one in first.inputs]
    before = train_on(data, tmp_path / "a", first, files)
    second = row(TWO_LAYOUTS, name="longer")
    train_on(data, tmp_path / "b", second, files, previous=before)
    with pytest.raises(ValueError, match="was trained with first that were made differently"):
        train_on(data, tmp_path / "c", second, [files[1]] * 2, previous=before)


def test_the_files_that_are_wanted_are_named_when_the_kind_is_wrong(data, tmp_path):
    """Their order is that of the names; an input says what its own file must be."""
    chosen = row({**TWO_LAYOUTS, "inputs": TWO_LAYOUTS["inputs"]})
    message = r"--inputs: give 2 files, in this order: first \(layouts\.h5\), objects \(layouts"
    with pytest.raises(ValueError, match=message):
        train_on(data, tmp_path, chosen, [data / "seen.h5"])
    with pytest.raises(ValueError, match=r"images\.h5 is not a layouts file"):
        train_on(data, tmp_path, chosen, [data / "seen.h5", data / "images.h5"])
    pictures = row(TWO_BACKBONES)
    with pytest.raises(ValueError, match=r"seen\.h5"):
        train_on(data, tmp_path, pictures, [data / "seen.h5", data / "tiny_pooled.lmdb"])
    with pytest.raises(ValueError, match=r"seen\.json"):
        train_on(data, tmp_path, pictures, [data / "seen.json", data / "tiny_pooled.lmdb"])
