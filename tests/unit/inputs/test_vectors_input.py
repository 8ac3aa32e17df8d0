"""Features made elsewhere: from settings to captions, without an image file (spec D8, D9, D29)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from systems import CPU, TINY, caption_test, generate, train_on, training

from snakecap.config import settings as configuration
from snakecap.config.settings import SettingsError, Stage
from snakecap.formats import pictures as records
from snakecap.inference.model import Model
from snakecap.inputs.input import Draw, Request
from snakecap.inputs.vectors import VectorsInput
from snakecap.models.captioner import build
from snakecap.steps.encode import encode
from snakecap.steps.features import Extraction, features
from snakecap.steps.photos import photos
from snakecap.workflow.plan import Plan

STAGE = {
    "name": "train",
    "epochs": 60,
    "batch_size": 8,
    "language_eval": False,
    "optimiser": {"learning_rate": 2e-2},
}


def row(source, part="vectors", **options):
    return {"part": part, "source": str(source), "options": options}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Generated pictures, with captions packed without images, and vectors of them."""
    folder = generate(tmp_path_factory.mktemp("data"))
    pictures = folder / "pictures.json"
    encode(
        pictures=pictures,
        captions=folder / "captions.h5",
        vocabulary=folder / "vocabulary.json",
        settings=configuration.Vocabulary(min_count=0),
    )
    files = [picture.file for picture in records.read(pictures).pictures]
    (folder / "labels.txt").write_text("\n".join(files))
    numbers = np.random.default_rng(0)
    np.save(folder / "a.npy", numbers.normal(size=(len(files), 5)).astype(np.float32))
    np.save(folder / "b.npy", numbers.normal(size=(len(files), 6, 3)).astype(np.float32))
    chosen = Extraction(backbone=configuration.Backbone(**TINY))
    features(images=folder / "images.h5", features=folder / "tiny.lmdb", settings=chosen)
    return folder


def system(data, *inputs, **more):
    """Inputs of `a.npy`, `b.npy` or the cached features, and an encoder that fits each."""
    labels = str(data / "labels.txt")
    every = {
        "a": row(data / "a.npy", labels=labels),
        "b": row(data / "b.npy", labels=labels, output="grid"),
        "tiny": row("tiny", "features"),
    }
    encoders = [{"part": "cnn_grid" if one == "b" else "cnn", "reads": one} for one in inputs]
    return {"inputs": {one: every[one] for one in inputs}, "encoders": encoders, **more}


def path(data, name):
    return data / ("tiny.lmdb" if name == "tiny" else f"{name}.npy")


def test_a_system_is_trained_and_captions_without_an_image_and_arrays_say_the_same(data, tmp_path):
    chosen = training(STAGE, **system(data, "a", "b"))
    files = [path(data, name) for name in chosen.inputs]
    model = train_on(data, tmp_path, chosen, files)
    caption_test(data, model, tmp_path / "test.json", files)
    found = json.loads((tmp_path / "test.json").read_text())
    assert len({one["caption"] for one in found}) > 1
    names = (data / "labels.txt").read_text().split("\n")
    places = [names.index(one["file_name"]) for one in found]
    a, b = np.load(data / "a.npy"), np.load(data / "b.npy")
    asked = [{"a": a[place], "b": torch.from_numpy(b[place])} for place in places]
    loaded = Model(model, "cpu")
    assert loaded.caption(asked) == [one["caption"] for one in found]
    assert loaded.caption(Request(arrays=asked[0])) == found[0]["caption"]
    for wrong, message in (
        ({"a": a[0]}, r'made elsewhere.*\{"b": \.\.\.\}'),
        ({"a": a[0, :4], "b": b[0]}, r"the array of a has 4 features, the model reads 5"),
        ({"a": b[0], "b": b[0]}, r"shape \(6, 3\) for a picture, which is no pooled"),
        ({"a": a[0] * np.nan, "b": b[0]}, "the array of a has NaN"),
        ("photo.jpg", "made elsewhere"),
    ):
        with pytest.raises(ValueError, match=message):
            loaded.caption(wrong)
    with pytest.raises(ValueError, match="the array of b has 4 cells, the model reads 6"):
        loaded.caption([asked[0], {"a": a[0], "b": b[0, :4]}])  # neighbours would be padded
    mine = [next((data / "shapes").rglob("*.jpg"))]
    with pytest.raises(ValueError, match=r"made elsewhere.*\{\"a\": \.\.\.\}"):
        photos(model=model, photos=mine, device="cpu")
    np.save(tmp_path / "a.npy", a[:, :4])
    with pytest.raises(ValueError, match=r"a\.npy has 4 features, the model reads 5"):
        caption_test(data, model, tmp_path / "x.json", [tmp_path / "a.npy", files[1]])


def test_features_of_a_backbone_and_of_a_file_are_put_side_by_side(data, tmp_path):
    """Spec D9: one projection of both; with two of half the weights their sum."""
    together = [{"part": "cnn", "reads": "tiny+a", "options": {"activation": "none"}}]
    chosen = training(STAGE, **system(data, "a", "tiny") | {"encoders": together})
    sizes = {"a": {"size": 5}}
    model = build(chosen, vocabulary_size=9, sizes=sizes)
    weight = model.encoders[0].project.weight
    assert weight.shape == (12, 256 + 5)
    inputs = {"a": {"pooled": torch.randn(4, 5)}, "tiny": {"pooled": torch.randn(4, 256)}}
    apart = torch.cat([inputs["tiny"]["pooled"], inputs["a"]["pooled"]], 1)
    torch.testing.assert_close(
        model.encode(inputs).summary, apart @ weight.T + model.encoders[0].project.bias
    )
    files = [path(data, name) for name in chosen.inputs]
    trained = train_on(data, tmp_path, chosen, files)
    caption_test(data, trained, tmp_path / "test.json", files)
    found = json.loads((tmp_path / "test.json").read_text())[0]
    array = {"a": np.load(data / "a.npy")[20]}
    photo = records.read(data / "pictures.json").root / found["file_name"]
    assert Model(trained, "cpu").caption(Request(photo, arrays=array)) == found["caption"]


def test_a_constant_is_fed_as_it_is_and_adds_nothing_to_the_summary(data):
    """Spec D10; a decoder's test says what it does with it."""
    plain = training(STAGE, **system(data, "a", "b"))
    chosen = training(
        STAGE,
        **system(data, "a", "b")
        | {"encoders": [{"part": "cnn"}, {"part": "cnn_grid"}, {"part": "constant"}]},
    )
    sizes = {"a": {"size": 5}, "b": {"size": 3}}
    one, other = (build(c, vocabulary_size=9, sizes=sizes).eval() for c in (plain, chosen))
    other.encoders.load_state_dict(one.encoders.state_dict())
    inputs = {"a": {"pooled": torch.randn(4, 5)}, "b": {"grid": torch.randn(4, 6, 3)}}
    before, after = one.encode(inputs), other.encode(inputs)
    assert before.constant is None and torch.equal(after.constant, inputs["a"]["pooled"])
    assert torch.equal(before.summary, after.summary)
    assert torch.equal(before.regions, after.regions)


def test_a_constant_is_fed_at_every_step_in_training_and_after(data, tmp_path, monkeypatch):
    """Spec D10: the step's input is the word's vector and all K numbers."""
    encoders = [{"part": "cnn_grid"}, {"part": "constant"}]
    row = system(data, "a", "b") | {"encoders": encoders}
    chosen = training(STAGE, **row)
    files = [path(data, name) for name in chosen.inputs]
    model = train_on(data, tmp_path, chosen, files)
    loaded = Model(model, "cpu")
    assert loaded.captioner.decoder.recurrent.weight_ih_l0.shape[1] == 12 + 5
    caption_test(data, model, tmp_path / "test.json", files)
    found = json.loads((tmp_path / "test.json").read_text())[0]
    a, b = np.load(data / "a.npy")[20], np.load(data / "b.npy")[20]
    assert found["file_name"] == (data / "labels.txt").read_text().split("\n")[20]
    assert loaded.caption({"a": a, "b": b}) == found["caption"]
    monkeypatch.setattr("snakecap.config.options.takes", lambda *given: False)
    with pytest.raises(SettingsError, match="lstm is fed words alone"):
        training(STAGE, **row)


def test_a_batch_is_the_part_that_is_drawn(data):
    one = VectorsInput(place=CPU, source="", labels=str(data / "labels.txt"))
    names = (data / "labels.txt").read_text().split("\n")
    one.open(data / "a.npy", names[:9])
    draw = Draw(torch.Generator(), part=slice(1, 3))
    values = np.load(data / "a.npy")
    np.testing.assert_array_equal(one.read(names[8:4:-1], draw)["pooled"], values[[7, 6]])
    np.testing.assert_array_equal(one.read(names[20:22])["pooled"], values[20:22])
    assert one.has(names[0]) and not one.has("other")
    with pytest.raises(ValueError, match=r"a\.npy lacks 1 of 2 pictures: other"):
        one.open(data / "a.npy", [names[0], "other"])


# Before the first job.


def settings(data, **more):
    chosen = system(data, "a", stages=[STAGE], vocabulary="words") | more
    return configuration.read(
        {
            "dataset": "d",
            "datasets": {"d": {"reader": "shapes", "pixels": False}},
            "vocabularies": {"words": {}},
            "pathvars": {"results": str(data / "results"), "logs": "logs"},
            "systems": {"system": chosen},
        }
    )


def test_no_pixels_are_needed(data):
    plan = Plan(settings(data))
    assert plan.images("d") == []
    assert plan.train_inputs("d", "system", "train") == [str(data / "a.npy")]


def refused(data, **changes):
    inputs = {"a": row(**changes)}
    with pytest.raises(SettingsError) as error:
        Plan(settings(data, inputs=inputs))
    return str(error.value)


def test_files_that_cannot_be_read_are_refused_before_the_first_job(data, tmp_path):
    assert "systems.system.inputs.a.source: there is no file x.npy" in refused(data, source="x.npy")
    (tmp_path / "x.bin").write_bytes(b"PSBX" * 16)
    assert "begin with PSBD" in refused(data, source=tmp_path / "x.bin")
    np.save(tmp_path / "x.npy", np.array([[{}]]), allow_pickle=True)
    assert "Python objects" in refused(data, source=tmp_path / "x.npy")
    assert "which is no pooled" in refused(data, source=data / "b.npy")
    assert "no file none.txt" in refused(data, source=data / "a.npy", labels="none.txt")


def test_pictures_that_lack_features_are_counted_as_soon_as_they_are_known(data, tmp_path):
    chosen = settings(data)
    Plan(chosen)
    place = data / "results/d/pictures.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    collection = records.read(data / "pictures.json")
    records.write(place, collection)
    Plan(chosen)
    short = tmp_path / "labels.txt"
    short.write_text("\n".join(picture.file for picture in collection.pictures[:20]))
    try:
        message = refused(data, source=data / "a.npy", labels=str(short))
    finally:
        place.unlink()
    assert "a.npy lacks 5 of 25 pictures: test/000000.jpg" in message


def identity(data, source):
    return Plan(settings(data, inputs={"a": row(source)})).train("system", "train").identity


def test_a_job_depends_on_what_the_files_hold_not_on_where_they_are(data, tmp_path):
    values = np.load(data / "a.npy")
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", values)
    (tmp_path / "list.txt").write_text("a.npy\nb.npy\n")
    before = identity(data, tmp_path / "list.txt")
    (tmp_path / "other").mkdir()
    for name in ("a.npy", "b.npy", "list.txt"):
        (tmp_path / "other" / name).write_bytes((tmp_path / name).read_bytes())
    assert identity(data, tmp_path / "other/list.txt") == before
    np.save(tmp_path / "other/b.npy", values + 1)
    assert identity(data, tmp_path / "other/list.txt") != before


@pytest.mark.parametrize("option", ["labels", "aliases"])
def test_a_job_depends_on_files_whatever_their_names(data, tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    names = (data / "labels.txt").read_text()
    Path("names").write_text(names)
    options = {"labels": str(data / "labels.txt"), option: "names"}

    def train():
        return Plan(settings(data, inputs={"a": row(data / "a.npy", **options)})).train(
            "system", "train"
        )

    before = train().identity
    Path("names").write_text("\n".join(reversed(names.split("\n"))))
    assert train().identity != before


def test_a_mean_takes_the_place_of_a_file_that_is_not_there(data, tmp_path):
    np.save(tmp_path / "x-mean.npy", np.ones((1, 5)))
    plan = Plan(settings(data, inputs={"a": row(tmp_path / "x.npy")}))
    assert plan.train_inputs("d", "system", "train") == [str(tmp_path / "x-mean.npy")]
    before = identity(data, tmp_path / "x.npy")
    np.save(tmp_path / "x-mean.npy", np.zeros((1, 5)))
    assert identity(data, tmp_path / "x.npy") != before


def test_what_is_put_side_by_side_is_of_a_kind_and_features(data):
    both = [{"part": "cnn", "reads": "a+b"}]
    with pytest.raises(SettingsError, match=r"reads pooled: say which .* a \(pooled\), b \(grid\)"):
        training(STAGE, **system(data, "a", "b") | {"encoders": both})
    twice = [{"part": "cnn", "reads": "a+a"}]
    with pytest.raises(SettingsError, match=r"cnn reads an input twice: a\+a"):
        training(STAGE, **system(data, "a") | {"encoders": twice})
    objects = {one: {"part": "layout", "source": "seen"} for one in "ab"}
    with pytest.raises(SettingsError, match=r"layout_lstm reads one input, not a\+b"):
        training(STAGE, inputs=objects, encoders=[{"part": "layout_lstm", "reads": "a+b"}])
    regions = {one: {"part": "regions", "source": f"{one}.zip"} for one in "ab"}
    with pytest.raises(SettingsError, match=r"regions reads one input, not a\+b"):
        training(STAGE, inputs=regions, encoders=[{"part": "regions", "reads": "a+b"}])


def test_a_stage_cannot_mirror_them(data):
    with pytest.raises(SettingsError, match=r"of inputs\.a there is nothing mirrored"):
        training({**STAGE, "flip": True}, **system(data, "a"))
    assert Stage(**STAGE).flip is False
