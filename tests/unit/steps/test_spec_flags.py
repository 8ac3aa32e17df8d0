"""Every flag of NeuralTalk2, the tutorial and DeepCaption: its place here, the original's number.

Spec T1, S4, D13, D32. What each does is tested where it is done; docs/checks.md says where.
"""

from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from snakecap.config import settings

ROOT = Path(__file__).parents[3]
RECIPES = ROOT / "workflow" / "recipes"


def recipe(name):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    for path in (RECIPES / "datasets.yaml", RECIPES / f"{name}.yaml"):
        update_config(config, yaml.safe_load(path.read_text()))
    return settings.read(config)


@pytest.fixture(scope="module")
def neuraltalk2():
    return recipe("neuraltalk2")


@pytest.fixture(scope="module")
def tutorial():
    return recipe("show_and_tell")


def look_up(value, place):
    for part in place.split("."):
        if part.isdigit():
            value = value[int(part)]
        else:
            value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


FROZEN = "systems.coco_neuraltalk2.stages.0"
FINETUNE = "systems.coco_neuraltalk2.stages.1"
WORDS = "vocabularies.coco_neuraltalk2"
SEARCH = "systems.coco_neuraltalk2.decoding"
# prepro.py, train.lua and eval.lua: flag, place in the configuration, the original's default.
FLAGS = [
    ("max_length", f"{WORDS}.max_length", 16),
    ("word_count_threshold", f"{WORDS}.min_count", 5),
    ("word_count_threshold (more than, not at least)", f"{WORDS}.inclusive", False),
    ("num_val", "datasets.coco2014.options.num_val", 5000),
    ("num_test", "datasets.coco2014.options.num_test", 5000),
    ("prepro's seed", "datasets.coco2014.options.seed", 123),
    ("256 pixels", "resize.size", 256),
    ("squashed", "resize.mode", "squash"),
    ("224 pixels", "backbones.vgg16.preprocess.crop", 224),
    ("rnn_size", "systems.coco_neuraltalk2.decoder.options.hidden_size", 512),
    ("num_layers", "systems.coco_neuraltalk2.decoder.options.layers", 1),
    ("input_encoding_size", "systems.coco_neuraltalk2.width", 512),
    ("drop_prob_lm", "systems.coco_neuraltalk2.decoder.options.dropout", 0.5),
    ("cnn_model", "backbones.vgg16.architecture", "vgg16"),
    ("batch_size", f"{FROZEN}.batch_size", 16),
    ("seq_per_img", f"{FROZEN}.captions_per_picture", 5),
    ("grad_clip", f"{FROZEN}.optimiser.grad_clip", 0.1),
    ("grad_clip of the CNN", f"{FINETUNE}.backbone_optimiser.grad_clip", 0.1),
    ("optim", f"{FROZEN}.optimiser.name", "adam"),
    ("learning_rate", f"{FROZEN}.optimiser.learning_rate", 4e-4),
    ("learning_rate_decay_start", f"{FROZEN}.schedule.options.start", -1),
    ("learning_rate_decay_every", f"{FROZEN}.schedule.options.every", 50000),
    ("optim_alpha", f"{FROZEN}.optimiser.alpha", 0.8),
    ("optim_beta", f"{FROZEN}.optimiser.beta", 0.999),
    ("optim_epsilon", f"{FROZEN}.optimiser.epsilon", 1e-8),
    ("finetune_cnn_after -1", f"{FROZEN}.finetune_from", None),
    ("finetune_cnn_after 0", f"{FINETUNE}.finetune_after", 0),
    ("all layers are fine-tuned", f"{FINETUNE}.finetune_from", "all"),
    ("cnn_optim", f"{FINETUNE}.backbone_optimiser.name", "adam"),
    ("cnn_optim_alpha", f"{FINETUNE}.backbone_optimiser.alpha", 0.8),
    ("cnn_optim_beta", f"{FINETUNE}.backbone_optimiser.beta", 0.999),
    ("cnn_learning_rate", f"{FINETUNE}.backbone_optimiser.learning_rate", 1e-5),
    ("cnn_weight_decay", f"{FINETUNE}.backbone_optimiser.weight_decay", 0),
    ("val_images_use", f"{FROZEN}.validation_pictures", 3200),
    ("save_checkpoint_every", f"{FROZEN}.validate_every", 2500),
    ("losses_log_every", f"{FROZEN}.log_every", 25),
    ("explosion at 20 times", f"{FROZEN}.explosion", 20),
    ("seed", f"{FROZEN}.seed", 123),
    ("random crops", f"{FROZEN}.random_crop", True),
    ("no mirroring", f"{FROZEN}.flip", False),
    ("eval's beam_size", f"{SEARCH}.beam_width", 2),
    ("eval's sample_max", f"{SEARCH}.method", "beam"),
    ("eval's temperature", f"{SEARCH}.temperature", 1.0),
    ("no length normalisation", f"{SEARCH}.length_normalisation", 0),
    ("eval's seed", f"{SEARCH}.seed", 123),
]


@pytest.mark.parametrize(("flag", "place", "default"), FLAGS, ids=[row[0] for row in FLAGS])
def test_every_flag_of_neuraltalk2_has_its_place_and_default(neuraltalk2, flag, place, default):
    assert look_up(neuraltalk2, place) == default


def test_what_a_stage_says_nothing_about_is_neuraltalk2s(neuraltalk2):
    """The defaults of the settings are its numbers too, where they are not our choice."""
    stage, row = settings.Stage(name="x"), neuraltalk2.systems["coco_neuraltalk2"]
    for name in ("batch_size", "captions_per_picture", "optimiser", "backbone_optimiser", "seed",
                 "finetune_after", "objective", "flip", "validation_pictures", "log_every",
                 "explosion"):  # fmt: skip
        assert getattr(stage, name) == getattr(row.stages[1], name), name
    assert settings.Decoding(suppress_unknown=False) == row.decoding
    assert settings.Vocabulary() == neuraltalk2.vocabularies["coco_neuraltalk2"]
    assert row.stages[0].optimiser == row.stages[1].optimiser


BOTH = "systems.coco_objname_location_image"
ALONE = "systems.coco_objname_location.stages.0"
# Where OBJ2TEXT's train.lua differs from NeuralTalk2's (specification B7, O14), and its darknet.
OBJ2TEXT = [
    ("finetune_cnn_after", f"{BOTH}.stages.0.finetune_after", 250000),
    ("all layers are fine-tuned", f"{BOTH}.stages.0.finetune_from", "all"),
    ("cnn_learning_rate", f"{BOTH}.stages.0.backbone_optimiser.learning_rate", 1e-5),
    ("generate_from objname_location", "systems.coco_objname_location.encoders.0.options", {}),
    ("generate_from objname", "systems.coco_objname.encoders.0.options.location", False),
    ("generate_from objclass", "systems.coco_objclass.encoders.0.options.distinct", True),
    ("generate_from image", "systems.coco_image.inputs", ["picture"]),
    ("the sum", f"{BOTH}.encoders.1.part", "cnn"),
    ("rnn_size", f"{BOTH}.decoder.options.hidden_size", 512),
    ("input_encoding_size", f"{BOTH}.width", 512),
    ("batch_size", f"{ALONE}.batch_size", 16),
    ("learning_rate", f"{ALONE}.optimiser.learning_rate", 4e-4),
    ("grad_clip", f"{ALONE}.optimiser.grad_clip", 0.1),
    ("the original's first input", "systems.coco_objname.decoder.options.picture", None),
    ("96 objects", "layouts.coco_yolov2.limit", 96),
    ("YOLO's order", "layouts.coco_yolov2.order", "detector"),
    ("the letterbox", "layouts.coco_yolov2.frame", "letterbox"),
    ("thresh", "layouts.coco_yolov2.threshold", 0.24),
    ("nms", "detectors.yolov2_coco.overlap", 0.4),
    ("all but test pictures are counted", "vocabularies.coco_obj2text.splits", ("train", "val")),
]


@pytest.mark.parametrize(("flag", "place", "default"), OBJ2TEXT, ids=[row[0] for row in OBJ2TEXT])
def test_obj2texts_numbers_are_in_its_recipe(flag, place, default):
    found = recipe("obj2text_coco")
    if default is None and place.endswith("picture"):
        options = look_up(found, place.removesuffix(".picture"))
        assert "picture" not in options, "`input`, the default"
    elif place.endswith("inputs"):
        assert list(look_up(found, place)) == default
    else:
        assert look_up(found, place) == default


TUTORIAL = [
    ("crop_size", "backbones.resnet152.preprocess.crop", 224),
    ("image_size", "resize.size", 256),
    ("threshold", "vocabularies.coco_tutorial.min_count", 4),
    ("at least, not more than", "vocabularies.coco_tutorial.inclusive", True),
    ("word_tokenize", "vocabularies.coco_tutorial.tokenizer", "treebank"),
    ("mean", "backbones.resnet152.preprocess.mean", (0.485, 0.456, 0.406)),
    ("std", "backbones.resnet152.preprocess.std", (0.229, 0.224, 0.225)),
    ("RandomHorizontalFlip", "systems.coco_show_and_tell.stages.0.flip", True),
    ("RandomCrop", "systems.coco_show_and_tell.stages.0.random_crop", True),
    ("embed_size", "systems.coco_show_and_tell.width", 256),
    ("hidden_size", "systems.coco_show_and_tell.decoder.options.hidden_size", 512),
    ("num_layers", "systems.coco_show_and_tell.decoder.options.layers", 1),
    ("batch_size", "systems.coco_show_and_tell.stages.0.batch_size", 128),
    ("num_epochs", "systems.coco_show_and_tell.stages.0.epochs", 5 * 5),  # of five captions each
    ("learning_rate", "systems.coco_show_and_tell.stages.0.optimiser.learning_rate", 1e-3),
    ("Adam's beta 1", "systems.coco_show_and_tell.stages.0.optimiser.alpha", 0.9),
    ("no clipping", "systems.coco_show_and_tell.stages.0.optimiser.grad_clip", None),
    ("max_seq_length", "systems.coco_show_and_tell.decoding.max_length", 20),
    ("greedy", "systems.coco_show_and_tell.decoding.method", "greedy"),
]


@pytest.mark.parametrize(("flag", "place", "default"), TUTORIAL, ids=[row[0] for row in TUTORIAL])
def test_every_number_of_the_tutorial_has_its_place(tutorial, flag, place, default):
    assert look_up(tutorial, place) == default


STAGE = "systems.deepcaption.stages.0"
DEEPCAPTION = [
    ("embed_size", "systems.deepcaption.width", 256),
    ("hidden_size", "systems.deepcaption.decoder.options.hidden_size", 512),
    ("num_layers", "systems.deepcaption.decoder.options.layers", 1),
    ("dropout", "systems.deepcaption.decoder.options.dropout", 0.0),
    ("batch_size", f"{STAGE}.batch_size", 128),
    ("num_epochs", f"{STAGE}.epochs", 5 * 5),  # of five captions each
    ("optimizer", f"{STAGE}.optimiser.name", "rmsprop"),
    ("learning_rate", f"{STAGE}.optimiser.learning_rate", 1e-3),
    ("weight_decay", f"{STAGE}.optimiser.weight_decay", 1e-6),
    ("grad_clip", f"{STAGE}.optimiser.grad_clip", None),
    ("seed", "systems.deepcaption.seed", 42),
    ("vocab_threshold", "vocabularies.deepcaption.min_count", 4),
    ("crop_size", "backbones.resnet152_crops.preprocess.crop", 224),
    ("max_seq_length", "systems.deepcaption.decoding.max_length", 20),
    ("greedy", "systems.deepcaption.decoding.method", "greedy"),
]


@pytest.mark.parametrize(
    ("flag", "place", "default"), DEEPCAPTION, ids=[row[0] for row in DEEPCAPTION]
)
def test_every_number_of_deepcaption_has_its_place(flag, place, default):
    assert look_up(recipe("deepcaption"), place) == default
