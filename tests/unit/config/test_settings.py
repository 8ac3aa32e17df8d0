"""Configurations: a mistake is found before any job starts; the message says where and what."""

import copy
import inspect
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from snakecap import registry
from snakecap.config import options, settings
from snakecap.models.captioner import build

ROOT = Path(__file__).parents[3]
RECIPES = ROOT / "workflow" / "recipes"
FROZEN = ("systems", "neuraltalk2", "stages", 0)
PICTURE = ("systems", "neuraltalk2", "inputs", "picture")
FEATURES = {"part": "features", "source": "tiny"}


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture
def config():
    return load(ROOT / "config.yaml")


def put(config, place, value):
    *parents, last = place
    for parent in parents:
        config = config[parent]
    config[last] = value


# Each mistake with what its message must say: the place, the value or name, what is allowed.
MISTAKES = [
    (("datset",), "coco", ["datset", "unknown setting", "dataset,"]),
    (("resize", "szie"), 1, ["resize.szie", "unknown setting", "size, mode"]),
    ((*FROZEN, "epoch"), 1, ["systems.neuraltalk2.stages.0.epoch", "epochs, max_iterations"]),
    (
        (*FROZEN, "optimiser", "lr"),
        1,
        ["systems.neuraltalk2.stages.0.optimiser.lr", "unknown setting", "learning_rate"],
    ),
    (("backbones", "tiny", "preprocess", "men"), [1], ["backbones.tiny.preprocess.men", "mean"]),
    (("systems", "neuraltalk2", "width"), "wide", ["systems.neuraltalk2.width", "integer", "wide"]),
    (("systems", "neuraltalk2", "width"), 0, ["neuraltalk2.width", "greater", "1", "it is 0"]),
    (("systems", "neuraltalk2", "width"), 1.5, ["neuraltalk2.width", "integer", "it is 1.5"]),
    (("systems",), None, ["systems:", "dictionary", "None"]),
    (("systems", "neuraltalk2"), 3, ["systems.neuraltalk2:", "dictionary", "it is 3"]),
    (("systems", "neuraltalk2", "encoders"), [], ["systems.neuraltalk2", "encoders", "needs one"]),
    (("evaluate",), "test", ["evaluate:", "list", "'test'"]),
    (("evaluate",), ["tset"], ["evaluate.0", "'train', 'val', 'test' or 'extra'", "'tset'"]),
    (
        ("vocabularies", "tutorial", "splits"),
        ["trian"],
        ["vocabularies.tutorial.splits.0", "'train'", "'trian'"],
    ),
    (("threads",), 0, ["threads", "greater than or equal to 1", "it is 0"]),
    (("pathvars",), {"result": "x"}, ["pathvars", "'results' or 'logs'", "'result'"]),
    ((*FROZEN, "precision"), "fp16", ["stages.0.precision", "'bfloat16'", "'fp16'"]),
    ((*FROZEN, "optimiser", "learning_rate"), -1, ["stages.0.optimiser.learning_rate", "-1"]),
    (
        (*FROZEN, "objective"),
        {"part": "cross_entropy", "options": {"label_smoothing": 1.0}},
        ["stages.0", "objective cross_entropy: label_smoothing", "less than 1", "1.0"],
    ),
    ((*FROZEN, "objective"), {"part": "hinge"}, ["stages.0", "'hinge'", "cross_entropy"]),
    ((*FROZEN, "validation_pictures"), -2, ["validation_pictures", "equal to -1", "-2"]),
    ((*FROZEN, "explosion"), 0.5, ["stages.0.explosion", "greater than 1", "0.5"]),
    # Unknown parts, and unknown or wrong options of parts.
    ((*FROZEN, "optimiser", "name"), "lion", ["stages.0.optimiser", "'lion'", "adam, adamw"]),
    ((*FROZEN, "backbone_optimiser"), {"name": "lion"}, ["stages.0.backbone_optimiser", "'lion'"]),
    ((*FROZEN, "schedule"), {"name": "slope"}, ["stages.0.schedule", "'slope'", "cosine"]),
    (
        (*FROZEN, "schedule"),
        {"name": "cosine", "options": {"warm": 0.1}},
        ["stages.0.schedule", "unknown option warm", "warmup, floor"],
    ),
    (
        (*FROZEN, "schedule"),
        {"name": "cosine", "options": {"warmup": 2}},
        ["stages.0.schedule", "warmup", "less than or equal to 1", "it is 2"],
    ),
    (
        ("systems", "neuraltalk2", "encoders", 0, "part"),
        "vit",
        ["systems.neuraltalk2", "unknown encoder 'vit'", "cnn"],
    ),
    (
        ("systems", "neuraltalk2", "decoder", "part"),
        "rnn",
        ["systems.neuraltalk2", "unknown decoder 'rnn'", "lstm"],
    ),
    (
        ("systems", "neuraltalk2", "decoder", "options"),
        {"hidden": 3},
        ["systems.neuraltalk2", "decoder lstm", "hidden", "hidden_size, layers"],
    ),
    (
        ("systems", "neuraltalk2", "decoder", "options"),
        {"dropout": 1},
        ["systems.neuraltalk2", "decoder lstm", "dropout", "less than 1", "it is 1"],
    ),
    (
        ("systems", "neuraltalk2", "decoder", "options"),
        {"width": 3},
        ["unknown option width"],  # the model gives it, a row must not
    ),
    (
        ("datasets", "shapes", "reader"),
        "shape",
        ["datasets.shapes", "'shape'", "coco, deepcaption"],
    ),
    (
        ("datasets", "shapes", "options", "trian"),
        3,
        ["datasets.shapes", "unknown option trian", "train, val"],
    ),
    (
        ("datasets", "shapes", "options", "train"),
        "many",
        ["datasets.shapes", "train", "integer", "'many'"],
    ),
    (
        ("vocabularies", "tutorial", "tokenizer"),
        "bpe",
        ["vocabularies.tutorial", "'bpe'", "treebank"],
    ),
    (("score",), {"metrics": ["SPICE"]}, ["score", "'SPICE'", "Bleu, CIDEr"]),
    # References to rows that are not there.
    (("dataset",), "coco", ["dataset: no row 'coco' in datasets", "known: shapes"]),
    (("dataset",), "shapes+coco", ["dataset: no row 'coco' in datasets", "known: shapes"]),
    (("compare",), ["neuraltalk"], ["compare: no row 'neuraltalk'", "show_and_tell"]),
    (("report",), {"pairs": [["neuraltalk2", "x"]]}, ["report.pairs: no row 'x' in systems"]),
    (("report",), {"pairs": [["x", "neuraltalk2"]]}, ["report.pairs: no row 'x' in systems"]),
    (("report",), {"pairs": [["neuraltalk2"] * 2]}, ["report: pairs: each names two systems"]),
    (
        ("systems", "neuraltalk2", "vocabulary"),
        "none",
        ["systems.neuraltalk2.vocabulary: no row 'none'", "neuraltalk2, tutorial"],
    ),
    (
        (*PICTURE, "source"),
        "vgg",
        ["systems.neuraltalk2.inputs.picture.source: no row 'vgg' in backbones", "known: tiny"],
    ),
    (
        ("systems", "obj2text", "inputs", "objects", "source"),
        "yolo",
        ["systems.obj2text.inputs.objects.source: no row 'yolo' in layouts", "known: "],
    ),
    ((*PICTURE, "part"), "pixels", ["inputs.picture", "unknown input 'pixels'", "features, lay"]),
    (
        (*PICTURE, "options"),
        {"size": 3},
        ["inputs.picture: input features: unknown option size", "output, flip, half"],
    ),
    (
        (*PICTURE, "options"),
        {"output": "cells"},
        ["inputs.picture: input features: output", "'pooled' or 'grid'", "'cells'"],
    ),
    (("systems", "neuraltalk2", "inputs"), {}, ["systems.neuraltalk2.inputs", "at least 1"]),
    (("systems", "neuraltalk2", "inputs"), {"a b": FEATURES}, ["neuraltalk2.inputs", "pattern"]),
    (
        ("systems", "neuraltalk2", "inputs", "second"),
        FEATURES,
        ["encoder cnn reads pooled: say which with `reads`", "picture (pooled), second (pooled)"],
    ),
    (
        ("systems", "neuraltalk2", "inputs", "objects"),
        {"part": "layout", "source": "seen"},
        ["systems.neuraltalk2: inputs.objects: seen is read by no encoder"],
    ),
    (
        ("systems", "neuraltalk2", "encoders", 0, "reads"),
        "nothing",
        ["the encoder cnn reads pooled: say which with `reads`; there: picture (pooled)"],
    ),
    # What contradicts itself.
    (
        ("systems", "neuraltalk2", "stages", 1, "name"),
        "frozen",
        ["systems.neuraltalk2", "distinct"],
    ),
    (("systems", "neuraltalk2", "stages"), [], ["systems.neuraltalk2", "at least one"]),
    (("systems", "neuraltalk2", "stages", 1, "name"), "a/b", ["stages.1.name", "pattern", "'a/b'"]),
    (
        ("systems", "obj2text", "stages", 0, "finetune_from"),
        "all",
        ["systems.obj2text", "a stage that reads pictures needs an input of a backbone"],
    ),
    ((*FROZEN, "epochs"), None, ["stages.0", "epochs or max_iterations"]),
    ((*FROZEN, "flip"), True, ["systems.neuraltalk2", "options of inputs.picture too"]),
    (
        (*PICTURE, "options"),
        {"output": "grid"},
        ["systems.neuraltalk2", "cnn reads pooled: add one to `inputs`; there: picture (grid)"],
    ),
    (
        ("backbones", "tiny", "architecture"),
        "resnett50",
        ["backbones.tiny", "'resnett50'", "resnet50"],
    ),
    (("backbones", "tiny", "architecture"), "raft_large", ["backbones.tiny", "classification"]),
    (("backbones", "tiny", "weights"), "torchvision", ["backbones.tiny", "no weights for tiny"]),
    (("score",), {"metrics": ["Bleu"]}, ["score.metrics", "CIDEr"]),
    (("score",), {"metrics": ["CIDEr", "CIDEr"]}, ["score", "each once"]),
    ((*FROZEN, "batch_size"), True, ["batch_size", "a number, not true", "True"]),
    ((*FROZEN, "optimiser", "learning_rate"), float("inf"), ["learning_rate", "finite"]),
    (
        ("systems", "neuraltalk2", "decoding"),
        {"method": "greedy", "n_best": 3},
        ["decoding", "n_best 3", "beam or sample"],
    ),
    (("dataset",), "shapes+shapes", ["dataset", "twice"]),
    # What a part would refuse, after all the jobs before it.
    (
        ("systems", "neuraltalk2", "decoder", "options"),
        {"tie_embeddings": True, "hidden_size": 48},
        ["systems.neuraltalk2", "decoder lstm: tie_embeddings needs hidden_size = width; they"],
    ),
    (
        ("systems", "obj2text", "decoder"),
        {"part": "attention", "options": {"heads": 5}},
        ["systems.obj2text", "decoder attention: width", "is not a multiple of 5 heads"],
    ),
    (
        ("systems", "obj2text", "encoders"),
        [{"part": "layout_set", "options": {"heads": 5}}],
        ["systems.obj2text", "encoder layout_set: width", "is not a multiple of 5 heads"],
    ),
    (
        ("systems", "obj2text", "encoders"),
        [{"part": "layout_lstm", "options": {"distinct": True, "location": True}}],
        ["systems.obj2text", "encoder layout_lstm", "set location: false"],
    ),
    (
        ("systems", "neuraltalk2", "decoder"),
        {"part": "attention"},
        ["systems.neuraltalk2", "attention looks at regions", "cnn_grid"],
    ),
    (
        ("systems", "obj2text", "decoder"),
        {"part": "attention", "options": {"heads": "5"}},
        ["decoder attention: width", "is not a multiple of 5 heads"],
    ),
    (("score",), {"seed": -1}, ["score.seed", "greater than or equal to 0"]),
    (
        ("detectors", "yolov2", "training"),
        {"validation_pictures": 0},
        ["detectors.yolov2.training", "leaves nothing to choose by"],
    ),
    (("backbones", "tiny", "preprocess", "std"), [0, 0, 0], ["preprocess.std.0", "greater than 0"]),
    ((*FROZEN, "validation_pictures"), 0, ["stages.0", "validation_pictures: 0 leaves nothing"]),
    (("vocabularies", "tutorial", "splits"), [], ["vocabularies.tutorial.splits", "at least 1"]),
    ((*FROZEN, "optimiser", "alpha"), 1.0, ["stages.0.optimiser.alpha", "less than 1"]),
    ((*FROZEN, "seed"), 2**64, ["stages.0.seed", "less than or equal to 4294967295"]),
    (("seeds",), [10**30], ["seeds.0", "less than or equal to 4294967295"]),
    (
        ("datasets", "shapes", "downloads"),
        [{"url": ""}],
        ["datasets.shapes.downloads.0.url", "at least 1"],
    ),
    (
        ("datasets", "shapes", "downloads"),
        [{"url": "a", "sha256": "abc"}],
        ["downloads.0.sha256", "pattern", "'abc'"],
    ),
    (("evaluate",), ["test", "test"], ["evaluate", "twice"]),
    (("evaluate",), [], ["nothing to do"]),
    (("systems",), {}, ["nothing to do"]),
    (("compare",), [], ["compare", "at least 1 item"]),
    (("seeds",), [1, 1], ["seeds", "twice"]),
    (
        ("backbones", "tiny", "preprocess", "crop"),
        100,
        ["backbones.tiny.preprocess.crop", "100", "resize.size 64"],
    ),
]


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [pytest.param(*row, id=f"{'.'.join(map(str, row[0]))}={row[1]}") for row in MISTAKES],
)
def test_a_mistake_is_named_with_its_place_its_value_and_what_is_allowed(
    config, place, value, said
):
    settings.read(config)
    put(config, place, value)
    with pytest.raises(settings.SettingsError) as caught:
        settings.read(config)
    for words in said:
        assert words in str(caught.value)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize("table", ["datasets", "vocabularies", "backbones", "systems"])
@pytest.mark.parametrize("name", ["a/b", "a+b", "", "..", "a b"])
def test_names_of_rows_become_folders(config, table, name):
    config[table][name] = next(iter(config[table].values()))
    with pytest.raises(settings.SettingsError, match=table):
        settings.read(config)


def test_a_layer_that_a_network_does_not_have(config):
    """Else it would be noticed when the frozen stage is done: after hours."""
    config["backbones"]["tiny"] = {"architecture": "resnet50", "preprocess": {"crop": None}}
    for layer in ("all", "layer3", "layer4.1.conv2", "conv1"):
        config["systems"]["neuraltalk2"]["stages"][1]["finetune_from"] = layer
        settings.read(config)
    config["systems"]["neuraltalk2"]["stages"][1]["finetune_from"] = "layer99"
    message = (
        r"neuraltalk2\.stages\.finetune\.finetune_from: resnet50 has no layer 'layer99'.*layer"
    )
    with pytest.raises(settings.SettingsError, match=message):
        settings.read(config)
    config["systems"]["neuraltalk2"]["stages"][1]["finetune_from"] = ""
    with pytest.raises(settings.SettingsError, match="resnet50 has no layer ''"):
        settings.read(config)


def test_options_as_text_are_what_they_say(config):
    """As a command line or a careless YAML gives them."""
    given = {"hidden_size": "64", "tie_embeddings": "false", "heads": "4"}
    config["systems"]["obj2text"]["decoder"] = {"part": "attention", "options": given}
    config["systems"]["obj2text"]["width"] = 32
    checked = settings.read(config)
    training = checked.training(checked.systems["obj2text"], "train")
    model = build(training, vocabulary_size=9, sizes={"objects": {"categories": 3}})
    assert (model.decoder.heads, model.decoder.query.in_features) == (4, 64)


def test_all_mistakes_are_said_at_once(config):
    put(config, ("threads",), 0)
    put(config, ("resize", "szie"), 1)
    put(config, (*FROZEN, "epoch"), 1)
    with pytest.raises(settings.SettingsError) as caught:
        settings.read(config)
    assert len(str(caught.value).splitlines()) == 4


def test_nothing_at_all_says_what_is_missing():
    with pytest.raises(settings.SettingsError, match=r"datasets: Field required"):
        settings.read({})


def test_without_pictures_the_detector_that_looks_is_named(config):
    config["datasets"]["shapes"]["pixels"] = False
    config["compare"] = ["obj2text"]
    message = r"systems\.obj2text: its detector yolov2 reads pictures, and the data set shapes has"
    with pytest.raises(settings.SettingsError, match=message):
        settings.read(config)
    config["compare"] = ["neuraltalk2"]
    with pytest.raises(settings.SettingsError, match=r"systems\.neuraltalk2 reads pictures, and"):
        settings.read(config)


def test_settings_cannot_be_changed(config):
    checked = settings.read(config)
    with pytest.raises(ValueError, match="frozen"):
        checked.threads = 3


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_recipe_is_valid_over_the_default(config, recipe):
    """As Snakemake merges --configfile datasets.yaml recipe.yaml over config.yaml."""
    for overlay in (RECIPES / "datasets.yaml", recipe):
        update_config(config, load(overlay))
    checked = settings.read(config)
    assert checked.runs()
    for system in checked.runs().values():  # its jobs can be planned
        for stage in system.stages:
            checked.training(system, stage.name)


# What follows from a configuration.


def test_systems_share_the_parts_they_have_in_common(config):
    """Two systems are two rows: the same decoder and encoder, other numbers."""
    rows = [settings.read(config).systems[name] for name in ("neuraltalk2", "show_and_tell")]
    assert len({row.decoder.part for row in rows}) == 1
    assert len({part.part for row in rows for part in row.encoders}) == 1


def test_seeds_run_every_system_once_each(config):
    config["seeds"] = [1, 2, 3]
    config["compare"] = ["neuraltalk2"]
    checked = settings.read(config)
    assert list(checked.runs()) == ["neuraltalk2_seed1", "neuraltalk2_seed2", "neuraltalk2_seed3"]
    for number, system in enumerate(checked.runs().values(), start=1):
        assert [system.stage(row.name).seed for row in system.stages] == [number] * 2
    assert checked.systems["neuraltalk2"].stage("frozen").seed == 123


def test_compare_chooses_and_orders(config):
    config["compare"] = ["show_and_tell", "neuraltalk2"]
    assert list(settings.read(config).runs()) == ["show_and_tell", "neuraltalk2"]


UNUSED = [
    (("systems", "neuraltalk2", "decoding", "beam_width"), 3),
    (("systems", "neuraltalk2", "caption_stages"), "last"),
    (("systems", "neuraltalk2", "stages", 1, "epochs"), 1),
    (("systems", "show_and_tell", "width"), 7),
    (("evaluate",), ["val"]),
    (("score",), {"bootstrap": 10}),
    (("report",), {"title": "x"}),
    (("threads",), 2),
    (("gpus",), 1),
    (("resize", "max_rejected"), 0.5),
    (("datasets", "shapes", "options", "train"), 9),
    (("vocabularies", "neuraltalk2", "min_count"), 9),
    (("compare",), ["neuraltalk2"]),
]


@pytest.mark.parametrize(("place", "value"), UNUSED)
def test_training_holds_nothing_that_a_stage_does_not_use(config, place, value):
    """Files carry the rest: the data set, the vocabulary, the stage before."""
    before = settings.read(config)
    put(config, place, value)
    after = settings.read(config)
    assert before != after
    chosen = [c.training(c.systems["neuraltalk2"], "frozen") for c in (before, after)]
    assert chosen[0] == chosen[1]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("systems", "neuraltalk2", "width"), 64),
        (("systems", "neuraltalk2", "seed"), 7),
        (("systems", "neuraltalk2", "decoder", "options", "hidden_size"), 64),
        (("systems", "neuraltalk2", "encoders", 0, "options", "activation"), "none"),
        (("backbones", "tiny", "preprocess", "bgr"), True),
        (("resize", "size"), 128),
        ((*FROZEN, "batch_size"), 8),
        ((*FROZEN, "optimiser", "learning_rate"), 0.123),
    ],
)
def test_training_holds_what_a_stage_uses(config, place, value):
    before = settings.read(config)
    put(config, place, value)
    after = settings.read(config)
    chosen = [c.training(c.systems["neuraltalk2"], "frozen") for c in (before, after)]
    assert chosen[0] != chosen[1]


def test_which_stages_read_pictures(config):
    system = settings.read(config).systems["neuraltalk2"]
    assert [row.reads_pictures for row in system.stages] == [False, True]
    assert [system.changed_backbone(row.name) for row in system.stages] == [False, True]
    assert [system.before(row.name) for row in system.stages] == [None, "frozen"]
    put(config, (*FROZEN, "random_crop"), True)
    system = settings.read(config).systems["neuraltalk2"]
    assert system.stage("frozen").reads_pictures and not system.changed_backbone("frozen")


# Options of parts, read from their source.

REGISTERED = [(family, name) for family, table in registry.FAMILIES.items() for name in table]


@pytest.mark.parametrize(("family", "name"), REGISTERED)
def test_options_are_those_of_the_signature(family, name):
    found = options.model(family, name).model_fields
    signature = inspect.signature(registry.load(family, name)).parameters.values()
    expected = {
        p.name: p.default
        for p in signature
        if p.kind is p.KEYWORD_ONLY and p.default is not p.empty
    }
    assert {field: info.default for field, info in found.items()} == expected


def test_options_keep_their_ranges():
    options.check("decoder", "lstm", {"layers": 2, "dropout": 0.0})
    with pytest.raises(ValueError, match=r"layers: .*greater than or equal to 1 \(it is 0\)"):
        options.check("decoder", "lstm", {"layers": 0})


def test_checking_changes_nothing(config):
    before = copy.deepcopy(config)
    settings.read(config)
    assert config == before


def paragraphs(config):
    """The demo's first system as one that speaks in paragraphs, started from the third."""
    row = config["systems"]["neuraltalk2"]
    row["decoder"] = {"part": "hierarchical", "options": {"hidden_size": 128}}
    row["stages"] = row["stages"][1:]
    row["vocabulary"] = config["systems"]["show_and_tell"]["vocabulary"] = "tutorial"
    row["start"] = "show_and_tell"
    return row


def test_a_system_starts_from_another_that_is_run_with_its_seed(config):
    paragraphs(config)
    settings.read(config)
    config["seeds"] = [1, 2]
    assert settings.read(config).runs()["neuraltalk2_seed2"].start == "show_and_tell_seed2"


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("compare",), ["neuraltalk2"], r"start: show_and_tell is not run: name it in `compare`"),
        (("systems", "show_and_tell", "start"), "neuraltalk2", "starts from another system itself"),
        (
            ("systems", "show_and_tell", "vocabulary"),
            "neuraltalk2",
            "has the vocabulary neuraltalk2",
        ),
        (("systems", "neuraltalk2", "vocabulary"), "neuraltalk2", "take treebank in vocabularies"),
        (
            ("systems", "show_and_tell", "stages", 0, "objective"),
            {"part": "paragraphs"},
            "stage frozen: the objective paragraphs needs the decoder hierarchical",
        ),
    ],
)
def test_paragraphs_that_cannot_be_are_refused(config, place, value, message):
    paragraphs(config)
    put(config, place, value)
    with pytest.raises(settings.SettingsError, match=message):
        settings.read(config)


def test_cached_features_are_not_those_of_a_fine_tuned_start(config):
    paragraphs(config)["stages"][0]["finetune_from"] = None
    settings.read(config)
    config["systems"]["show_and_tell"]["stages"][0]["finetune_from"] = "all"
    with pytest.raises(settings.SettingsError, match="stage finetune reads cached features, and"):
        settings.read(config)
