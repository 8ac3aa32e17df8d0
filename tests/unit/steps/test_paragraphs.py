"""D24: a paragraph system trains, starts from a flat one, is saved, and captions by itself."""

import pytest
import torch
from systems import PICTURE, generate, train_on, training

from snakecap.config import settings as configuration
from snakecap.formats import model as models
from snakecap.inference.attention import Attention
from snakecap.inference.model import Model
from snakecap.search.hypothesis import Hypothesis
from snakecap.steps.encode import encode
from snakecap.steps.vocabulary import vocabulary

STAGE = {
    "name": "train",
    "max_iterations": 2,
    "batch_size": 8,
    "captions_per_picture": 2,
    "finetune_from": "all",
    "language_eval": False,
}
SIZES = {"hidden_size": 12, "dropout": 0.0}
FLAT = {"part": "lstm", "options": SIZES}
VARIANTS = {
    name: {"part": "hierarchical", "options": {**SIZES, "topic_size": 8, "coherent": coherent}}
    for name, coherent in (("hierarchical", False), ("coherent", True))
}
STILL = {key: {"learning_rate": 1e-20} for key in ("optimiser", "backbone_optimiser")}
WEIGHED = {"objective": {"part": "paragraphs"}}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Generated pictures with paragraphs, whose full stops are words."""
    folder = generate(tmp_path_factory.mktemp("data"), paragraphs=True)
    row = configuration.Vocabulary(tokenizer="treebank", min_count=0, max_length=48)
    words, pictures = folder / "vocabulary.json", folder / "pictures.json"
    vocabulary(pictures=pictures, vocabulary=words, settings=row)
    captions, images = folder / "captions.h5", folder / "images.h5"
    encode(pictures=pictures, vocabulary=words, captions=captions, images=images, settings=row)
    return folder


def learn(data, folder, decoder, previous=None, **stage):
    chosen = training({**STAGE, **stage}, inputs=PICTURE, decoder=decoder)
    return train_on(data, folder, chosen, [data / "images.h5"], previous=previous)


@pytest.mark.parametrize("name", VARIANTS)
def test_words_start_from_a_flat_model_and_go_on_from_their_own(data, tmp_path, name):
    flat = learn(data, tmp_path / "flat", FLAT)
    first = learn(data, tmp_path / "first", VARIANTS[name], flat, **STILL)
    theirs, (own, _) = models.read(flat)[0], models.read(first)
    for weight, value in theirs.items():
        inside = weight.replace("decoder.", "decoder.language.")
        torch.testing.assert_close(own[inside], value, rtol=0, atol=1e-12)
    again = models.read(learn(data, tmp_path / "again", VARIANTS[name], first, **STILL))[0]
    assert again.keys() == own.keys()
    for weight, value in own.items():
        torch.testing.assert_close(again[weight], value, rtol=0, atol=1e-12)


def test_a_flat_model_of_other_sizes_is_refused(data, tmp_path):
    smaller = {"part": "lstm", "options": {**SIZES, "hidden_size": 6}}
    flat = learn(data, tmp_path / "flat", smaller)
    with pytest.raises(ValueError, match=r"of another shape: decoder\.language\."):
        learn(data, tmp_path / "first", VARIANTS["hierarchical"], flat)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_paragraph_model_captions_by_itself(data, tmp_path, name):
    loaded = Model(learn(data, tmp_path, VARIANTS[name], **WEIGHED))
    assert loaded.captioner.decoder.full_stop == loaded.vocabulary.ids["."]
    photo = next(data.rglob("*.jpg"))
    said = loaded.caption(photo, max_length=12, written=True)
    assert said[:1].isupper() and " ." not in said


def test_captions_without_any_full_stop_are_no_paragraphs(data, tmp_path):
    words = tmp_path / "vocabulary.json"
    plain = configuration.Vocabulary(tokenizer="neuraltalk2", min_count=0)
    vocabulary(pictures=data / "pictures.json", vocabulary=words, settings=plain)
    captions, images = tmp_path / "captions.h5", data / "images.h5"
    encode(pictures=data / "pictures.json", vocabulary=words, captions=captions, images=images)
    chosen = training(STAGE, decoder=VARIANTS["hierarchical"])
    given = {"vocabulary": words, "captions": captions}
    with pytest.raises(ValueError, match="hierarchical needs full_stop"):
        train_on(data, tmp_path, chosen, [images], **given)


def test_a_text_that_was_changed_has_no_attention_of_the_words_as_said(data, tmp_path):
    loaded = Model(learn(data, tmp_path, FLAT))
    found = [[Hypothesis((1, 2), -1.0, -1.0)]]
    for write, kept in ((str, True), (str.upper, False)):
        (record,) = loaded.results([1], ["1.jpg"], found, Attention([[[1.0], [1.0]]]), write)
        assert (
            record["caption"] == write(loaded.text(found[0][0])) and ("attention" in record) == kept
        )
