"""What the plan reads of the machine: a data set's annotation files."""

from pathlib import Path

import pytest

from snakecap import settings
from snakecap.plan import Plan, sources

ROW = {"reader": "coco", "options": {"splits": {"train": "train"}}}


def planned(root, **options):
    row = {**ROW, "root": str(root), "options": {**ROW["options"], **options}}
    system = {"vocabulary": "words", "stages": [{"name": "frozen"}], "backbone": "tiny"}
    raw = {
        "dataset": "mine",
        "datasets": {"mine": row},
        "vocabularies": {"words": {}},
        "backbones": {
            "tiny": {"architecture": "tiny", "weights": "random", "preprocess": {"crop": None}}
        },
        "systems": {"one": system},
    }
    return Plan(settings.read(raw), folder=Path())


@pytest.mark.parametrize("images", [".", "", "..", "photos", "a[1]", "/nowhere"])
def test_files_that_options_name_are_found_whatever_else_they_say(tmp_path, images):
    root = tmp_path / "set [1]"  # no pattern
    root.mkdir()
    for name in ("mine_train.json", "mine_val.json", "other.json"):
        (root / name).write_text("{}")
    found = sources(
        planned(root, captions="mine_{name}.json", images=images).settings.datasets["mine"]
    )
    assert [path.name for path in found] == ["mine_train.json", "mine_val.json"]
    whole = str(root / "mine_{name}.json")
    again = planned(root, captions=whole, images=images)
    assert sources(again.settings.datasets["mine"]) == found


def test_contents_count_and_dates_do_not(tmp_path):
    file = tmp_path / "mine_train.json"
    file.write_text("{}")
    plan = planned(tmp_path, captions="mine_{name}.json")
    before = plan.annotations("mine")
    file.touch()
    assert plan.annotations("mine") == before
    file.write_text('{"a": 1}')
    assert plan.annotations("mine") != before
