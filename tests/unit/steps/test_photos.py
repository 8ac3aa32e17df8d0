"""Captions of a user's own photos, from the model file alone (spec E1-E4, L3, C1)."""

import csv
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from systems import training

import snakecap
from snakecap import cli
from snakecap.config import settings as configuration
from snakecap.config.settings import Decoding
from snakecap.formats import model as models
from snakecap.formats.results import read_captions
from snakecap.formats.vocabulary import Vocabulary
from snakecap.inference.model import Model
from snakecap.inputs.input import Request
from snakecap.models.captioner import build
from snakecap.provenance.record import recorded
from snakecap.steps.photos import find, photos

WORDS = ("a", "dog", "on", "red", "grass", "UNK")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small model with random weights."""
    torch.manual_seed(3)
    chosen = training({"name": "frozen"}, width=8)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    captioner = build(chosen, vocabulary_size=len(WORDS), sizes={})
    captioner.decoder.words.weight.data.mul_(2)
    header = {
        "settings": chosen.model_dump(mode="json"),
        "vocabulary": Vocabulary(WORDS).as_json(),
        "inputs": {"picture": {}},
    }
    models.write(path, captioner.state_dict(), header)
    return path


@pytest.fixture
def folder(tmp_path):
    """Photos of many kinds, some in a folder within, and what is no photo."""
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    (tmp_path / "within").mkdir()
    image.save(tmp_path / "b.JPG", "JPEG")
    image.convert("RGBA").save(tmp_path / "a.png")
    image.convert("L").save(tmp_path / "within" / "c.jpeg")
    image.save(tmp_path / "d.ppm")
    (tmp_path / "notes.txt").write_text("no photo")
    return tmp_path


def test_a_folder_is_captioned_sorted_and_each_photo_once(model, folder, tmp_path):
    output = tmp_path / "out.json"
    photos(model=model, photos=[folder, folder / "a.png"], output=output, device="cpu")
    records = json.loads(output.read_text())
    names = [record["file_name"] for record in records]
    assert names == sorted(names) and len(names) == 4
    assert {"image_id", "caption", "log_prob"} <= set(records[0])


@pytest.mark.parametrize("name", ["out.json", "out.jsonl", "out.csv", "out.txt"])
def test_every_format_holds_the_same_captions(model, folder, tmp_path, name):
    output = tmp_path / name
    photos(model=model, photos=[folder], output=output, device="cpu")
    text = output.read_text()
    if name.endswith("json"):
        found = [record["caption"] for record in json.loads(text)]
    elif name.endswith("jsonl"):
        found = [json.loads(line)["caption"] for line in text.splitlines()]
    elif name.endswith("csv"):
        found = [row["caption"] for row in csv.DictReader(io.StringIO(text))]
    else:
        found = [line.split("\t")[1] for line in text.splitlines()]
    files = find([folder])
    assert found == snakecap.load(model, "cpu").caption(files)


def test_captions_are_printed_without_an_output(model, folder, capsys):
    photos(model=model, photos=[folder / "a.png"], device="cpu")
    assert capsys.readouterr().out.startswith(f"{folder / 'a.png'}\t")


def test_a_bad_photo_does_not_stop_the_others(model, folder, tmp_path, caplog):
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 not really")
    output = tmp_path / "out.json"
    with pytest.raises(SystemExit, match=r"1 of 5 could not be captioned: .*broken\.jpg"):
        photos(model=model, photos=[folder], output=output, device="cpu")
    assert len(json.loads(output.read_text())) == 4
    assert "broken.jpg" in caplog.text


def test_wrong_places_are_named(model, folder, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("empty")
    with pytest.raises(ValueError, match="no photo or folder at"):
        photos(model=model, photos=[tmp_path / "none.jpg"], device="cpu")
    with pytest.raises(ValueError, match="no image files in"):
        photos(model=model, photos=[tmp_path], device="cpu")
    with pytest.raises(FileNotFoundError, match="no model at"):
        photos(model=tmp_path / "none", photos=[folder], device="cpu")


def test_a_file_that_is_no_model_is_named(model, tmp_path):
    text = tmp_path / "text.safetensors"
    text.write_text("hello")
    with pytest.raises(ValueError, match=r"text\.safetensors is not a readable"):
        Model(text, "cpu")
    weights = tmp_path / "weights.safetensors"
    save_file({"x": torch.zeros(1)}, weights)
    with pytest.raises(ValueError, match="no snakecap header"):
        Model(weights, "cpu")


def test_batches_agree_with_single_photos(model, folder):
    loaded = Model(model, "cpu")
    files = find([folder])
    together = loaded.caption(files, batch_size=3, beam_width=3)
    assert together == [loaded.caption(file, beam_width=3) for file in files]


def test_bytes_are_photos_too(model, folder):
    loaded = Model(model, "cpu")
    path = folder / "a.png"
    assert loaded.caption(path.read_bytes()) == loaded.caption(str(path))


def test_one_photo_by_two_paths_is_captioned_once(folder):
    path = folder / "within" / ".." / "b.JPG"
    assert find([folder / "b.JPG", path]) == [folder / "b.JPG"]
    assert len(find([path, folder])) == len(find([folder]))


def test_an_output_that_is_a_folder_is_refused_first(model, folder, tmp_path):
    with pytest.raises(ValueError, match=r"the output .* is a folder"):
        photos(model=model, photos=[folder], output=tmp_path, device="cpu")


def test_names_with_tabs_and_line_breaks_stay_on_their_line(model, folder, tmp_path, capsys):
    odd = tmp_path / "a\tb\nc.jpg"
    odd.write_bytes((folder / "b.JPG").read_bytes())
    photos(model=model, photos=[odd], device="cpu")
    name, caption = capsys.readouterr().out.removesuffix("\n").split("\t")
    assert name.endswith("a\\tb\\nc.jpg") and "\n" not in caption


def test_an_output_that_is_the_photo_or_the_model_is_refused(model, folder):
    for path in (model, folder / "b.JPG"):
        before = path.read_bytes()
        with pytest.raises(ValueError, match="give one another name"):
            recorded(photos)(model=model, photos=[folder / "b.JPG"], output=path, device="cpu")
        assert path.read_bytes() == before


def test_an_output_that_is_a_photo_of_the_folder_is_refused(model, folder):
    before = (folder / "b.JPG").read_bytes()
    with pytest.raises(ValueError, match=r"b\.JPG is one of the photos"):
        photos(model=model, photos=[folder], output=folder / "b.JPG", device="cpu")
    assert (folder / "b.JPG").read_bytes() == before


def test_several_captions_of_a_photo_in_python(model, folder):
    loaded = Model(model, "cpu")
    several = loaded.caption(folder / "b.JPG", n_best=3, beam_width=3)
    assert len(several) == 3 and several[0] == loaded.caption(folder / "b.JPG", beam_width=3)
    assert loaded.caption([folder / "b.JPG"], n_best=3, beam_width=3) == [several]


def test_one_name_in_two_folders_gives_two_ids(model, folder, tmp_path):
    """Or `snakecap score` would refuse the results: each id is one image's."""
    (folder / "within" / "a.png").write_bytes((folder / "a.png").read_bytes())
    photos(model=model, photos=[folder], output=folder / "out.json", device="cpu")
    ids = [record["image_id"] for record in json.loads((folder / "out.json").read_text())]
    assert ids == [str(folder / "a.png"), "b", "d", str(folder / "within" / "a.png"), "c"]
    assert read_captions(folder / "out.json").keys() == set(ids)


def test_n_best_captions_are_in_every_format(model, folder):
    row = Decoding(n_best=2, beam_width=3)
    expected = None
    for name in ("out.json", "out.csv", "out.txt"):
        output = folder / name
        photos(model=model, photos=[folder / "a.png"], output=output, settings=row, device="cpu")
        text = output.read_text()
        if name == "out.json":
            expected = [best["caption"] for best in json.loads(text)[0]["n_best"]]
        elif name == "out.csv":
            assert [best["caption"] for best in csv.DictReader(io.StringIO(text))] == expected
        else:
            assert [line.split("\t")[1] for line in text.splitlines()] == expected
    assert len(expected) == 2


def test_what_looks_like_a_photo_and_is_none(folder):
    (folder / "folder.jpg").mkdir()
    (folder / "._b.JPG").write_bytes(b"of macOS")
    assert {path.name for path in find([folder])} == {"a.png", "b.JPG", "c.jpeg", "d.ppm"}


def test_batches_draw_their_own_random_numbers(model, folder):
    loaded = Model(model, "cpu")
    same = [folder / "a.png"] * 8
    drawn = loaded.caption(same, method="sample", temperature=5.0, batch_size=1)
    assert len(set(drawn)) > 1
    assert drawn == loaded.caption(same, method="sample", temperature=5.0, batch_size=1)


def test_something_else_than_photos(model):
    with pytest.raises(TypeError, match="not for a NoneType"):
        Model(model, "cpu").caption(None)
    with pytest.raises(ValueError, match=r"none of auto, cpu"):
        Model(model, "gpu")


def test_a_model_of_another_version_is_named(model, tmp_path):
    weights, header = models.read(model)
    other = tmp_path / "other.safetensors"
    models.write(other, weights, {**header, "settings": {**header["settings"], "speed": 1}})
    with pytest.raises(ValueError, match=r"other\.safetensors was made by another version"):
        Model(other, "cpu")
    save_file({"x": torch.zeros(1)}, other, metadata={"snakecap": "{}"})
    with pytest.raises(ValueError, match=r"other\.safetensors is damaged"):
        Model(other, "cpu")


def test_a_detectors_weights_are_no_captioner(model, tmp_path):
    weights, _ = models.read(model)
    other = tmp_path / "detector.safetensors"
    models.write(other, weights, {"cfg": "[net]", "categories": ["dog"], "best": {}})
    with pytest.raises(ValueError, match=r"detector\.safetensors is a detector: give a system's"):
        Model(other, "cpu")


def test_unknown_options_are_named_and_the_known_listed(model, folder):
    loaded = Model(model, "cpu")
    with pytest.raises(
        ValueError, match=r"^caption: unknown option beam; known: method, beam_width"
    ):
        loaded.caption(folder / "a.png", beam=3)
    with pytest.raises(ValueError, match=r"^caption: beam_width: .* \(it is 0\)$"):
        loaded.caption(folder / "a.png", beam_width=0)


def test_decoding_options(model, folder):
    loaded = Model(model, "cpu")
    file = folder / "a.png"
    inputs = loaded.read(Request(photo=file))

    def search(**options):
        return loaded.search(inputs, Decoding(max_length=8, **options))[0]

    greedy = search(method="greedy")[0]
    assert search(beam_width=1)[0].words == greedy.words
    best = search(beam_width=4, n_best=3)
    assert [h.log_prob for h in best] == sorted((h.log_prob for h in best), reverse=True)
    assert best[0].log_prob >= greedy.log_prob - 1e-6
    draws = search(method="sample", n_best=5, seed=1)
    assert draws == search(method="sample", n_best=5, seed=1) != search(method="sample", n_best=5)
    cold = search(method="sample", temperature=1e-3)[0]
    assert cold.words == greedy.words
    unknown = WORDS.index("UNK") + 1
    for hypothesis in draws + best:
        assert unknown not in hypothesis.words
    content = [WORDS.index(word) + 1 for word in ("dog", "red", "grass")]
    for hypothesis in search(beam_width=4, n_best=4, no_repeat_words=True):
        assert all(hypothesis.words.count(word) <= 1 for word in content)


def test_no_repeat_words_on_the_command_line_is_the_setting(model, folder, capsys):
    """It was read as the opposite of a setting `repeat_words`, silently."""

    def repeated(*options):
        drawn = ["--method", "sample", "--n-best", "20", "--temperature", "3", *options]
        cli.main(["caption", str(model), str(folder / "a.png"), "--device", "cpu", *drawn])
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        return sum(line.count(word) > 1 for line in lines for word in ("dog", "red", "grass"))

    assert repeated() > 0
    assert repeated("--no-repeat-words") == 0


def test_weights_of_another_architecture_are_named(model, tmp_path):
    weights, header = models.read(model)
    other = tmp_path / "other.safetensors"
    header["settings"]["decoder"]["options"]["hidden_size"] = 16
    models.write(other, weights, header)
    with pytest.raises(
        ValueError, match=r"the weights of .*other\.safetensors do not fit:\n.*not \("
    ):
        Model(other, "cpu")


def test_options_change_a_decoding_and_the_rest_of_it_stays(model, folder, monkeypatch):
    loaded = Model(model, "cpu")
    row = configuration.Decoding(method="sample", seed=5, max_length=8)
    seen = []
    search = loaded.search
    monkeypatch.setattr(loaded, "search", lambda i, d: (seen.append(d), search(i, d))[1])
    loaded.caption(folder / "a.png", row, n_best=2)
    assert seen == [row.model_copy(update={"n_best": 2})]
    with pytest.raises(ValueError, match="beem"):
        loaded.caption(folder / "a.png", beem=2)
