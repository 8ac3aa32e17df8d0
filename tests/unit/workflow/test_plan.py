"""What the plan reads of the machine: a data set's annotation files."""

import os
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from snakecap.config import settings
from snakecap.provenance.identity import sources
from snakecap.workflow.plan import Plan

ROW = {"reader": "coco", "options": {"splits": {"train": "train"}}}


def planned(root, **options):
    row = {**ROW, "root": str(root), "options": {**ROW["options"], **options}}
    system = {
        "vocabulary": "words",
        "inputs": {"picture": {"part": "features", "source": "tiny"}},
        "encoders": [{"part": "cnn"}],
        "stages": [{"name": "frozen"}],
    }
    raw = {
        "dataset": "mine",
        "datasets": {"mine": row},
        "vocabularies": {"words": {}},
        "backbones": {
            "tiny": {"architecture": "tiny", "weights": "random", "preprocess": {"crop": None}}
        },
        "systems": {"one": system},
    }
    return Plan(settings.read(raw))


@pytest.mark.parametrize("images", [".", "", "..", "photos", "a[1]", "/nowhere"])
def test_files_that_options_name_are_found_whatever_else_they_say(tmp_path, images):
    root = tmp_path / "set [1]"  # no pattern
    root.mkdir()
    for name in ("mine_train.json", "mine_val.json", "other.json"):
        (root / name).write_text("{}")
    splits = {"train": "train", "val": "val"}
    row = planned(root, splits=splits, captions="mine_{name}.json", images=images)
    found, _ = sources(row.settings.datasets["mine"], root)
    assert [path.name for path in found] == ["mine_train.json", "mine_val.json"]
    whole = str(root / "mine_{name}.json")
    again = planned(root, splits=splits, captions=whole, images=images)
    assert sources(again.settings.datasets["mine"], root)[0] == found


def test_contents_count_and_dates_do_not(tmp_path):
    file = tmp_path / "mine_train.json"
    file.write_text("{}")
    plan = planned(tmp_path, captions="mine_{name}.json")
    before = plan.annotations("mine")
    file.touch()
    assert plan.annotations("mine") == before
    file.write_text('{"a": 1}')
    assert plan.annotations("mine") != before


def seen(tmp_path, pixels=False, **row):
    """A plan whose only system reads a detector's layouts."""
    raw = {
        "dataset": "mine",
        "datasets": {"mine": {**ROW, "root": str(tmp_path), "pixels": pixels}},
        "vocabularies": {"words": {}},
        "detectors": {"theirs": {"part": "results", **row}},
        "layouts": {"theirs": {"detector": "theirs"}},
        "systems": {
            "one": {
                "vocabulary": "words",
                "inputs": {"objects": {"part": "layout", "source": "theirs"}},
                "encoders": [{"part": "layout_lstm"}],
                "stages": [{"name": "train"}],
            }
        },
    }
    return Plan(settings.read(raw))


def test_results_of_each_split_are_inputs_of_one_job(tmp_path):
    pattern = str(tmp_path / "{split}" / "seen.json")
    with pytest.raises(
        settings.SettingsError, match=r"theirs\.file: there is no file .*seen\.json"
    ):
        seen(tmp_path, file=pattern)
    for split in ("test", "train"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "seen.json").write_text("[]")
    plan = seen(tmp_path, file=pattern)
    before = plan.detect("mine", "theirs").identity
    assert before["settings"].count("sha256:") == 2 and str(tmp_path) not in before["settings"]
    (tmp_path / "test" / "seen.json").write_text("[1]")
    assert plan.detect("mine", "theirs").identity != before


def test_files_that_a_detectors_options_name_are_inputs(tmp_path):
    options = {"cfg": str(tmp_path / "net.cfg"), "names": str(tmp_path / "net.names")}
    weights = tmp_path / "net.weights"
    for path in (*map(Path, options.values()), weights):
        message = rf"detectors\.theirs.*there is no file {path}"
        with pytest.raises(settings.SettingsError, match=message):  # or older results would stay
            seen(tmp_path, True, part="yolov2", file=str(weights), options=options)
        path.touch()
    plan = seen(tmp_path, True, part="yolov2", file=str(weights), options=options)
    before = plan.detect("mine", "theirs").identity
    for path in (*map(Path, options.values()), weights):
        path.write_text("other")
        os.utime(path, ns=(1, 1))  # older than any result
        assert plan.detect("mine", "theirs").identity != before
        before = plan.detect("mine", "theirs").identity


def test_a_recipes_path_that_was_not_set_stops_the_plan(tmp_path):
    message = r"datasets\.mine\.root: there is no folder .*nowhere; set it to where"
    with pytest.raises(settings.SettingsError, match=message):
        planned(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "recipe",
    ["coco_layouts", "flickr8k", "flickr8k_attention", "coco_photos", "densecap_coco_regions"],
)
def test_every_recipe_with_a_path_to_set_says_so_in_a_dry_run(recipe):
    root = Path(__file__).parents[3]
    merged = {}
    for path in (root / "config.yaml", root / f"workflow/recipes/{recipe}.yaml"):
        update_config(merged, yaml.safe_load(path.read_text()))
    dataset = merged["dataset"]
    merged["datasets"][dataset]["root"] = "data/not_set"
    with pytest.raises(settings.SettingsError, match=rf"datasets\.{dataset}\.root: .*data/not_set"):
        Plan(settings.read(merged))


def test_published_weights_need_no_file_and_others_do():
    def plan(**backbone):
        raw = planned(Path.cwd()).settings.model_dump(mode="json")
        raw["backbones"]["tiny"] = {"preprocess": {"crop": None}, **backbone}
        return Plan(settings.read(raw))

    plan(architecture="resnet18", weights="torchvision")
    plan(architecture="timm/resnet18", weights="timm")
    with pytest.raises(settings.SettingsError, match=r"tiny\.weights: no file mine\.pth"):
        plan(architecture="timm/resnet18", weights="mine.pth")


def test_deepcaptions_and_the_fields_recipes_for_coco_are_planned(tmp_path):
    root, merged = Path(__file__).parents[3], {}
    names = ("config", *(f"workflow/recipes/{n}" for n in ("datasets", "deepcaption")))
    for name in names:
        update_config(merged, yaml.safe_load((root / f"{name}.yaml").read_text()))
    evaluated = Plan(settings.read(merged)).evaluated()
    assert ("deepcaption_smoke", "self_critical") in evaluated and len(evaluated) == 3
    theirs = root / "workflow/recipes/captioning_coco.yaml"
    update_config(merged, yaml.safe_load(theirs.read_text()))
    with pytest.raises(settings.SettingsError, match="there is no file data/bottomup"):
        Plan(settings.read(merged))
    merged["compare"] = ["newfc"]
    assert len(Plan(settings.read(merged)).evaluated()) == 2


def test_the_paragraphs_recipe_starts_one_system_from_another():
    root, merged = Path(__file__).parents[3], {}
    for name in ("config", "workflow/recipes/paragraphs"):
        update_config(merged, yaml.safe_load((root / f"{name}.yaml").read_text()))
    plan = Plan(settings.read(merged))
    assert len(plan.evaluated()) == 4
    model = "<results>/shapes/flat/train/model.safetensors"
    assert plan.previous("shapes", "hierarchical_from_flat", "train") == [model]
    assert plan.previous("shapes", "hierarchical", "train") == []


def test_obj2texts_recipe_for_coco_needs_darknets_files(tmp_path):
    root = Path(__file__).parents[3]
    merged = {}
    for name in ("config", "workflow/recipes/datasets", "workflow/recipes/obj2text_coco"):
        update_config(merged, yaml.safe_load((root / f"{name}.yaml").read_text()))
    row = merged["detectors"]["yolov2_coco"]
    for key, holder in (("cfg", row["options"]), ("file", row)):
        with pytest.raises(settings.SettingsError, match=rf"yolov2_coco.*no file {holder[key]}"):
            Plan(settings.read(merged))
        holder[key] = str(tmp_path / key)
        (tmp_path / key).touch()
    assert len(Plan(settings.read(merged)).evaluated()) == 5


def test_obj2texts_recipe_compares_every_mode_with_and_without_attention():
    """Nothing has to be set: its pictures are generated."""
    root = Path(__file__).parents[3]
    merged = {}
    for path in (root / "config.yaml", root / "workflow/recipes/obj2text.yaml"):
        update_config(merged, yaml.safe_load(path.read_text()))
    whole = settings.read(merged)
    Plan(whole)
    for mode in ("objclass", "objname", "objname_location", "image", "objname_location_image"):
        for name, decoder in ((mode, "lstm"), (f"{mode}_attention", "attention")):
            assert name in whole.compare
            assert whole.systems[name].decoder.part == decoder
            assert bool(whole.systems[name].sources("backbones")) == ("image" in mode)
            assert bool(whole.systems[name].sources("layouts")) == (mode != "image")
    seen = {
        whole.layouts[layout].detector
        for name in whole.compare
        for layout in whole.systems[name].sources("layouts")
    }
    assert seen == {"truth", "yolov2"}


def test_densecaps_recipes_are_planned_and_read_photos_and_phrases(tmp_path):
    """Words are counted and packed from the regions that are learnt, and no picture is resized."""
    root = Path(__file__).parents[3]
    weights = tmp_path / "weights.npz"
    weights.touch()
    paths = {
        "datasets": {"coco_regions": {"root": str(tmp_path)}},
        "backbones": {"squeezenet": {"weights": str(weights)}},
    }
    for recipe in ("densecap", "densecap_shapes", "densecap_coco_regions"):
        merged = {}
        for path in (root / "config.yaml", root / f"workflow/recipes/{recipe}.yaml"):
            update_config(merged, yaml.safe_load(path.read_text()))
        more = paths if recipe == "densecap_coco_regions" else {}
        update_config(merged, more)
        merged["compare"] = [name for name, row in merged["systems"].items() if "task" in row]
        plan = Plan(settings.read(merged))
        for name, row in plan.systems.items():
            regions = f"<results>/data/regions/{row.vocabulary}.json"
            assert plan.described("data", row.vocabulary) == regions
            assert plan.encoded_images("data", row.vocabulary) == []
            assert plan.train_inputs("data", name, row.stages[0].name) == [regions]
        captions = settings.read(merged).model_copy(update={"compare": ("neuraltalk2",)})
        assert Plan(captions).described("data", "neuraltalk2") == "<results>/data/pictures.json"


def test_rare_words_do_not_look_at_photos_again():
    raw = planned(Path.cwd()).settings.model_dump(mode="json")

    def job(**row):
        raw["vocabularies"]["regions"] = {"of": "regions", "max_length": 15, **row}
        return Plan(settings.read(raw)).regions("shapes", "regions").identity

    assert job() == job(min_count=9, splits=["val"])
    assert job() != job(max_length=14)
    assert job() != job(tokenizer="densecap")
