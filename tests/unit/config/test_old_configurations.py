"""A configuration of before is refused with what to write instead, and that works."""

import copy
import re
from pathlib import Path

import pytest
import yaml

from snakecap.config import settings

CONFIG = yaml.safe_load((Path(__file__).parents[3] / "config.yaml").read_text())
# Old keys of the system neuraltalk2, and the encoders that it named, if it did.
OLD = {
    "a backbone": ({"backbone": "tiny"}, None),
    "features of it": ({"backbone": "tiny", "features": {"flip": True, "half": True}}, None),
    "a grid": ({"backbone": "tiny", "features": {"output": "grid"}}, [{"part": "cnn_grid"}]),
    "a batch size": ({"backbone": "tiny", "features": {"batch_size": 4}}, [{"part": "cnn"}]),
    "a layout": ({"layout": "yolov2", "backbone": None}, [{"part": "layout_lstm"}]),
    "both": (
        {"backbone": "tiny", "layout": "yolov2", "features": {"flip": True}},
        [{"part": "layout_lstm"}, {"part": "cnn"}],
    ),
}


def refused(config):
    with pytest.raises(settings.SettingsError) as caught:
        settings.read(config)
    return str(caught.value)


@pytest.mark.parametrize("name", OLD)
def test_an_old_system_is_told_its_inputs(name):
    """What is said after the colon, copied into the row in place of the old keys, is accepted."""
    old, encoders = OLD[name]
    config = copy.deepcopy(CONFIG)
    config["compare"] = ["neuraltalk2"]
    row = config["systems"]["neuraltalk2"]
    del row["inputs"], row["encoders"]
    row["stages"] = row["stages"][:1]  # frozen, which any system can have
    if encoders:
        row["encoders"] = encoders
    said = refused({**config, "systems": {"neuraltalk2": {**row, **old}}})
    assert "systems.neuraltalk2: `backbone`, `features` and `layout` are `inputs` now: " in said
    new = re.search(r"`inputs` now: (inputs: .*?)(;.*)?$", said, re.MULTILINE)[1]
    row |= yaml.safe_load("{" + new + "}")
    checked = settings.read({**config, "systems": {"neuraltalk2": row}})
    inputs = checked.systems["neuraltalk2"].inputs
    sources = {one.table: one.source for one in inputs.values()}
    assert sources.get("backbones") == old.get("backbone")
    assert sources.get("layouts") == old.get("layout")
    if "batch_size" in old.get("features", {}):
        assert "batch_size: 4 goes to backbones.tiny" in said
    elif "features" in old:
        kept = next(one.features for one in inputs.values() if one.table == "backbones")
        assert old["features"].items() <= kept.model_dump().items()


def test_features_alone_are_options_of_an_input():
    """As somebody writes who changed the rest."""
    row = {**CONFIG["systems"]["neuraltalk2"], "features": {"flip": True}}
    said = refused({**CONFIG, "systems": {**CONFIG["systems"], "neuraltalk2": row}})
    assert 'picture: {part: features, source: BACKBONE, options: {"flip": true}}' in said


def test_label_smoothing_is_an_option_of_the_objective():
    config = copy.deepcopy(CONFIG)
    stage = config["systems"]["neuraltalk2"]["stages"][0]
    said = refused(config | {"systems": _with(config, stage, {"label_smoothing": 0.1})})
    assert "systems.neuraltalk2.stages.0: label_smoothing is an option of the objective" in said
    new = yaml.safe_load("{" + re.search(r"now: (objective: .*)$", said, re.MULTILINE)[1] + "}")
    checked = settings.read(config | {"systems": _with(config, stage, new)})
    objective = checked.systems["neuraltalk2"].stages[0].objective
    assert objective.part == "cross_entropy" and objective.options == {"label_smoothing": 0.1}


def _with(config, stage, more):
    row = config["systems"]["neuraltalk2"]
    return {**config["systems"], "neuraltalk2": {**row, "stages": [{**stage, **more}]}}
