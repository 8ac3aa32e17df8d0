"""Every decoder and switch of DeepCaption trains an epoch, is saved, loaded, and captions (D14)."""

import json

import pytest
from systems import EVERY_INPUT, TINY, caption_test, generate, train_on, training

from snakecap.config import settings as configuration
from snakecap.config.settings import SettingsError
from snakecap.steps.features import Extraction, features

STAGE = {
    "name": "train",
    "epochs": 1,
    "batch_size": 8,
    "language_eval": False,
    "checkpoint_every": 3600,
}
POOLED, GRID = {"part": "cnn"}, {"part": "cnn_grid"}
ATTENTION = {"part": "cross_entropy", "options": {"attention_weight": 1.0}}
SWITCHES = {
    "gru": ([POOLED], "lstm", {"cell": "gru"}),
    "layers": ([POOLED], "lstm", {"layers": 2, "dropout": 0.2}),
    "encoder_dropout": ([{"part": "cnn", "options": {"dropout": 0.2}}], "lstm", {}),
    "selu": ([{"part": "cnn", "options": {"activation": "selu"}}], "lstm", {}),
    "shared_embeddings": ([POOLED], "lstm", {"tie_embeddings": True}),
    "state_from_features": ([POOLED], "lstm", {"picture": "state", "cell": "gru"}),
    "persistent": ([POOLED, {"part": "constant"}], "lstm", {"layers": 2}),
    "soft_attention": ([GRID], "soft_attention", {}),
    "spatial_attention": ([GRID], "spatial_attention", {}),
    "updown_persistent": ([GRID, {"part": "constant"}], "updown", {}),
    "transformer_pooled": ([POOLED], "transformer", {"layers": 1, "heads": 2}),
    "transformer": ([GRID, POOLED], "transformer", {"encoder_layers": 1, "layers": 2, "heads": 2}),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = generate(tmp_path_factory.mktemp("data"))
    for output in ("pooled", "grid"):
        extraction = Extraction(
            backbone=configuration.Backbone(**TINY), features=configuration.Features(output=output)
        )
        features(
            images=folder / "images.h5", features=folder / f"{output}.lmdb", settings=extraction
        )
    return folder


@pytest.mark.parametrize("name", SWITCHES)
def test_it_trains_is_saved_and_captions(data, tmp_path, name):
    encoders, decoder, options = SWITCHES[name]
    files = {"cnn_grid": "grid", "cnn": "picture", "constant": "picture"}
    read = {files[encoder["part"]] for encoder in encoders}
    attends = "attention" in name
    chosen = training(
        {**STAGE, **({"objective": ATTENTION} if attends else {})},
        inputs={key: EVERY_INPUT[key] for key in read},
        encoders=encoders,
        decoder={"part": decoder, "options": {"hidden_size": 12, **options}},
    )
    stored = {"grid": data / "grid.lmdb", "picture": data / "pooled.lmdb"}
    inputs = [stored[key] for key in chosen.inputs]
    model, said = train_on(data, tmp_path, chosen, inputs), tmp_path / "test.json"
    caption_test(data, model, said, inputs)
    captions = [record["caption"] for record in json.loads(said.read_text())]
    assert len(captions) == 5 and all(isinstance(caption, str) for caption in captions)


@pytest.mark.parametrize(("encoder", "decoder"), [(GRID, "lstm"), (POOLED, "transformer")])
def test_an_attention_weight_wants_regions_that_are_looked_at(encoder, decoder):
    key = "grid" if encoder is GRID else "picture"
    with pytest.raises(SettingsError, match=f"attention_weight, and the decoder {decoder} looks"):
        training(
            {**STAGE, "objective": ATTENTION},
            inputs={key: EVERY_INPUT[key]},
            encoders=[encoder],
            decoder={"part": decoder},
            width=16,
        )
