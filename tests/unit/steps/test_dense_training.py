"""Stages of dense systems: the frozen stays, the killed goes on, the learnt is found."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import snakecap
from snakecap.config import settings as configuration
from snakecap.formats import pictures as records
from snakecap.objectives.dense import DenseObjective
from snakecap.steps.annotations import annotations
from snakecap.steps.encode import encode
from snakecap.steps.regions import regions
from snakecap.steps.vocabulary import vocabulary
from tests.dense_systems import dense_training
from tests.systems import train_on

PLAIN = {"part": "lstm", "options": {"hidden_size": 24, "dropout": 0.0, "picture": "state"}}
ROW = configuration.Vocabulary(of="regions", tokenizer="densecap", min_count=0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Generated pictures, and their shapes as regions."""
    folder = tmp_path_factory.mktemp("shapes")
    options = {"train": 12, "val": 3, "test": 2, "size": 64, "regions": "shapes"}
    made, kept = folder / "all.json", folder / "pictures.json"
    shapes = configuration.Dataset(reader="shapes", options=options)
    annotations(pictures=made, folder=folder / "shapes", settings=shapes)
    regions(pictures=made, regions=kept, left_out=folder / "left_out.tsv", workers=1)
    words = folder / "vocabulary.json"
    vocabulary(pictures=kept, vocabulary=words, settings=ROW)
    encode(pictures=kept, vocabulary=words, captions=folder / "captions.h5", settings=ROW)
    return folder


def run(data, folder, decoder=None, **stage):
    """Train a stage; the path of its model."""
    row = {"batch_size": 4, "epochs": 9, **stage}
    row["objective"] = {"part": "dense", "options": {"regions": 16}}
    return train_on(data, folder, dense_training(row, decoder=decoder), [data / "pictures.json"])


def changed(one, other):
    """Names of weights that differ between two models."""
    pairs = load_file(one), load_file(other)
    return {name for name, value in pairs[0].items() if not torch.equal(value, pairs[1][name])}


def test_a_backbone_is_frozen_to_the_bit_unless_it_is_fine_tuned(data, tmp_path):
    short = run(data, tmp_path / "1", max_iterations=1)
    frozen = changed(short, run(data, tmp_path / "3", max_iterations=3))
    assert not [name for name in frozen if "backbone" in name]
    for part in ("proposals", "recognition", "decoder", "trunk.pyramid"):
        assert any(name.startswith(part) for name in frozen), part
    tuned = changed(short, run(data, tmp_path / "tuned", finetune_from="2", max_iterations=3))
    own = {name for name in tuned if "backbone" in name}
    assert own and all(".net.2." in name for name in own)


def test_a_killed_stage_goes_on_to_the_same_bits(data, tmp_path, monkeypatch):
    plan = {"finetune_from": "all", "max_iterations": 5, "checkpoint_every": 1e-6, "flip": True}
    whole = run(data, tmp_path / "whole", **plan)

    def killed(objective, batch, iteration, forward=DenseObjective.__call__):
        if iteration == 3:
            raise KeyboardInterrupt
        return forward(objective, batch, iteration)

    with monkeypatch.context() as patch:
        patch.setattr(DenseObjective, "__call__", killed)
        with pytest.raises(KeyboardInterrupt):
            run(data, tmp_path / "killed", **plan)
    again = run(data, tmp_path / "killed", **plan)
    for name in ("model", "last"):
        assert not changed(whole.with_stem(name), again.with_stem(name))


def test_a_query_finds_the_region_that_was_learnt(data, tmp_path):
    """Over-fitted on the true boxes, each photo's regions answer their own phrases first."""
    rate = {"learning_rate": 5e-3, "alpha": 0.9, "grad_clip": None}
    plan = {"finetune_from": "all", "optimiser": rate, "backbone_optimiser": rate}
    model = snakecap.load(run(data, tmp_path, PLAIN, **plan, epochs=40), "cpu")
    collection = records.read(data / "pictures.json")
    right = []
    for picture in collection.split("train"):
        boxes = [region.box for region in picture.regions]
        phrases = {region.phrase for region in picture.regions}
        for phrase in phrases if len(phrases) > 1 else ():
            found = model.describe(collection.root / picture.file, boxes, phrase)
            places = np.abs(np.array(boxes) - found.boxes[0]).sum(1)
            right.append(picture.regions[int(places.argmin())].phrase == phrase)
    assert len(right) > 15 and np.mean(right) > 0.8, right  # by chance at most half
