"""Trained models that caption together, and models that cannot."""

import json

import pytest
import torch
from systems import caption_test, generate, train_on, training

import snakecap
from snakecap.cli import main
from snakecap.config.settings import Decoding
from snakecap.inference.ensemble import load
from snakecap.inputs.input import as_request
from snakecap.steps.vocabulary import vocabulary


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def models(data):
    """Two seeds of one system."""
    row = {"name": "all", "finetune_from": "all", "epochs": 2, "batch_size": 8}
    return [
        train_on(data, data / f"seed{n}", training({**row, "seed": n}), [data / "images.h5"])
        for n in (1, 2)
    ]


def photo(data):
    pictures = json.loads((data / "pictures.json").read_text())
    return f"{pictures['root']}/{pictures['pictures'][0]['file']}"


def test_a_model_with_itself_is_the_model(data, models):
    options = {"beam_width": 3, "n_best": 3, "precision": "float32"}
    alone = snakecap.load(models[0], device="cpu").caption(photo(data), **options)
    assert (
        snakecap.load([models[0], models[0]], device="cpu").caption(photo(data), **options) == alone
    )


def test_a_split_a_command_and_python_say_the_same(data, models, tmp_path, capsys):
    captions = tmp_path / "captions.json"
    images = data / "images.h5"
    caption_test(data, models, captions, [images, images])
    rows = json.loads(captions.read_text())
    assert len(rows) == 5
    root = json.loads((data / "pictures.json").read_text())["root"]
    files = [f"{root}/{row['file_name']}" for row in rows]
    main(["caption", *map(str, models), *files, "--format", "json", "--device", "cpu"])
    said = {row["image_id"]: row for row in json.loads(capsys.readouterr().out)}
    together = load(models, "cpu")
    for row, file in zip(rows, files, strict=True):
        name = file.rpartition("/")[2].partition(".")[0]
        assert said[name]["caption"] == row["caption"] == together.caption(file)
        assert said[name]["log_prob"] == pytest.approx(row["log_prob"], rel=1e-4)


def test_it_is_no_member_alone(data, models):
    options = {"beam_width": 3, "n_best": 3}
    each = [snakecap.load(model, device="cpu") for model in models]
    together = load(models, "cpu")
    assert list(together.inputs) == ["0.picture", "1.picture"]
    found = together.caption(photo(data), **options)
    assert all(found != one.caption(photo(data), **options) for one in each)


def test_other_words_are_refused(data, models, tmp_path):
    from snakecap.config.settings import Vocabulary
    from snakecap.steps.encode import encode

    row, pictures = Vocabulary(min_count=9), data / "pictures.json"
    vocabulary(pictures=pictures, vocabulary=tmp_path / "vocabulary.json", settings=row)
    words, packed = tmp_path / "vocabulary.json", tmp_path / "captions.h5"
    encode(pictures=pictures, vocabulary=words, captions=packed, images=data / "images.h5",
           settings=row)  # fmt: skip
    (tmp_path / "pictures.json").symlink_to(pictures)
    stage = training({"name": "all", "finetune_from": "all", "epochs": 1, "batch_size": 8})
    other = train_on(tmp_path, tmp_path / "other", stage, [data / "images.h5"])
    with pytest.raises(ValueError, match=rf"{other} knows other words than {models[0]}"):
        load([models[0], other], "cpu")


def test_alternatives_are_the_models_probabilities(data, models, capsys):
    """Teacher forced by hand, word by word; of an ensemble the mean of its members'."""
    each = [snakecap.load(model, device="cpu") for model in models]
    inputs = [one.read(as_request(photo(data))) for one in each]
    best = each[0].search(inputs[0], Decoding(beam_width=3, precision="float32"))[0][0]
    words = torch.tensor([best.words])
    chances = []
    for one, given in zip(each, inputs, strict=True):
        decoder = one.captioner.decoder
        hidden = decoder.hidden(one.captioner.prepare(given), words)
        chances.append(decoder.logits(hidden).softmax(-1)[0])
    together = load(models, "cpu")
    asked = together.read(as_request(photo(data)))
    for model, given, expected in (
        (each[0], inputs[0], chances[0]),
        (together, asked, (chances[0] + chances[1]) / 2),
    ):
        (places,) = model.alternatives(given, [best], 3, "float32")
        assert len(places) == len(best.words) + 1
        names = ["<end>", *model.vocabulary]
        for place, row in zip(places, expected, strict=True):
            values, ids = row.topk(3)
            assert [word for word, _ in place] == [names[at] for at in ids.tolist()]
            assert [chance for _, chance in place] == pytest.approx(values.tolist(), abs=1e-5)
    words = ["caption", str(models[0]), photo(data), "--device", "cpu"]
    main([*words, "--alternatives", "2"])
    _, caption, said = capsys.readouterr().out.rstrip("\n").split("\t")
    assert len(said.split()) == len(caption.split()) + 1
    assert all(one.count("/") == 1 and one.count("=") == 2 for one in said.split())
    main(words)
    assert capsys.readouterr().out.count("\t") == 1
    main([*words, "--alternatives", "2", "--format", "csv"])
    assert capsys.readouterr().out.startswith("file_name,caption,log_prob,alternatives\n")


def test_what_may_not_be_said_is_known_by_the_vocabularys_ids(models):
    model = snakecap.load(models[0], device="cpu")
    asked = Decoding(no_bad_endings=True, min_length=3, no_repeat_ngram=2, no_repeat_words=True)
    found = model.constraints(asked)
    words = ["<end>", *model.vocabulary]
    bad = {words[at] for at in found.bad_endings.nonzero().flatten().tolist()}
    assert {"a", "of"} & set(words) <= bad < {"a", "an", "the", "of", "on", "in", "with", "at"}
    assert "circle" in words and len(found.bad_endings) == len(words)
    assert (found.min_length, found.no_repeat_ngram) == (3, 2)
    once = {words[at] for at in found.no_repeat_words.nonzero().flatten().tolist()}
    assert "circle" in once and "a" not in once
    plain = model.constraints(Decoding())
    assert plain.bad_endings is None and plain.no_repeat_words is None and not plain.min_length
