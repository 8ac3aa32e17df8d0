"""OBJ2TEXT's systems from layouts to captions (specification O4, O5, O11 to O13, O17, O20)."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_yolox
import torch
from PIL import Image
from systems import EVERY_INPUT, TINY, caption_test, generate, train_on, training

from snakecap import load
from snakecap.config import settings as configuration
from snakecap.formats import layouts as layout_files
from snakecap.formats import pictures as records
from snakecap.formats.layouts import read_json_layouts
from snakecap.inference.model import Model
from snakecap.inputs.input import Request
from snakecap.steps.caption import caption
from snakecap.steps.detect import detect
from snakecap.steps.features import Extraction, features
from snakecap.steps.layout import layout
from snakecap.steps.photos import photos

STAGE = {
    "name": "train",
    "max_iterations": 3,
    "batch_size": 8,
    "captions_per_picture": 2,
    "language_eval": False,
    "checkpoint_every": 3600,
    "flip": True,
    "object_dropout": 0.1,
    "box_jitter": 0.05,
    "mirror_words": [("left", "right")],
}
CNN, GRID = {"part": "cnn"}, {"part": "cnn_grid"}
OBJECTS = {"part": "layout_lstm"}
NAMES = {"part": "layout_lstm", "options": {"location": False}}
CLASSES = {"part": "layout_lstm", "options": {"location": False, "distinct": True}}
SET = {"part": "layout_set", "options": {"heads": 2, "hidden_size": 12}}
LSTM = {"part": "lstm", "options": {"hidden_size": 12}}
ATTENTION = {"part": "attention", "options": {"hidden_size": 12}}
# The five modes, and the set; each without and with attention.
MODES = {
    "objclass": ([CLASSES], [CLASSES]),
    "objname": ([NAMES], [NAMES]),
    "objname_location": ([OBJECTS], [OBJECTS]),
    "objname_location_image": ([OBJECTS, CNN], [GRID, OBJECTS]),
    "image": ([CNN], [GRID]),
    "set": ([SET], [SET]),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Generated pictures through every stage before training; the detector is the truth."""
    folder = generate(tmp_path_factory.mktemp("data"))
    pictures, images = folder / "pictures.json", folder / "images.h5"
    for output in ("pooled", "grid"):
        chosen = configuration.Features(output=output, flip=True)
        extraction = Extraction(backbone=configuration.Backbone(**TINY), features=chosen)
        features(images=images, features=folder / f"{output}.lmdb", settings=extraction)
    found, facts = folder / "detections.json", folder / "info.json"
    detect(
        pictures=pictures,
        detections=found,
        info=facts,
        rejected=folder / "boxes.tsv",
        settings=configuration.Detector(part="truth"),
    )
    layout(
        pictures=pictures,
        detections=found,
        info=facts,
        layout=folder / "layouts.h5",
        images=images,
        settings=configuration.Arrangement(order="size"),
    )
    return folder


# Where an input is read from: what `data` made of it.
FILES = {"grid": "grid.lmdb", "objects": "layouts.h5", "picture": "pooled.lmdb"}
READS = {"cnn": "picture", "cnn_grid": "grid", "layout_lstm": "objects", "layout_set": "objects"}


def row(encoders, decoder, **stage):
    read = {READS[encoder["part"]] for encoder in encoders}
    inputs = {name: EVERY_INPUT[name] for name in read}
    return training({**STAGE, **stage}, inputs=inputs, encoders=encoders, decoder=decoder)


def run(data, folder, settings, **given):
    """Train, and caption the test split; returns the model's path and the results."""
    pixels = settings.stage.reads_pictures
    inputs = [
        data / ("images.h5" if pixels and name != "objects" else FILES[name])
        for name in settings.inputs
    ]
    model, said = train_on(data, folder, settings, inputs, **given), folder / "test.json"
    caption_test(data, model, said, inputs)
    return model, json.loads(said.read_text())


@pytest.mark.parametrize("attends", [False, True], ids=["plain", "attention"])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_trains_is_saved_and_captions(data, tmp_path, mode, attends):
    encoders = MODES[mode][attends]
    model, results = run(data, tmp_path, row(encoders, ATTENTION if attends else LSTM))
    pictures = records.read(data / "pictures.json").split("test")
    assert [record["image_id"] for record in results] == [picture.id for picture in pictures]
    # The model alone says the same of a photo, of its layout, or of both.
    found = read_json_layouts(data / "layouts.json")
    layouts = {record.name: record.layout for record in found}
    root = records.read(data / "pictures.json").root
    requests = [Request(root / picture.file, layouts[picture.file]) for picture in pictures]
    assert Model(model, "cpu").caption(requests) == [record["caption"] for record in results]
    by_object = attends and mode not in ("objclass", "image")
    assert ("attention" in results[0]) == by_object


def test_a_words_attention_sums_to_one_over_the_objects(data, tmp_path):
    _, results = run(data, tmp_path, row([OBJECTS], ATTENTION))
    layouts = layout_files.read(data / "layouts.h5")
    for record in results:
        objects = int((layouts.ids[layouts.rows([record["file_name"]])[0]] > 0).sum())
        weights = np.array(record["attention"])
        assert weights.shape == (len(record["caption"].split()), objects)
        np.testing.assert_allclose(weights.sum(1), 1, atol=0.02)


def test_layouts_alone_read_no_picture_and_load_no_network(data, tmp_path, monkeypatch):
    from snakecap.formats import decode, images
    from snakecap.models.backbones import tiny, torchvision

    def refuse(*_args, **_kwargs):
        raise AssertionError("no picture is to be read")

    for module, name in (
        (decode, "load"),
        (decode, "load_whole"),
        (images.Images, "read"),
        (tiny, "Tiny"),
        (torchvision, "Torchvision"),
    ):
        monkeypatch.setattr(module, name, refuse)
    model, _ = run(data, tmp_path, row([OBJECTS], LSTM))
    captioner = Model(model, "cpu").captioner
    assert not captioner.backbones
    assert any("lstm" in name for name in captioner.encoders.state_dict())  # it is in the file


def test_the_combined_mode_adds_the_summaries(data, tmp_path):
    """Specification O11: h_last + CNN features."""
    model, _ = run(data, tmp_path, row([OBJECTS, CNN], LSTM))
    captioner = Model(model, "cpu").captioner
    layouts = layout_files.read(data / "layouts.h5")
    inputs = {
        "picture": {"pooled": torch.rand(3, captioner.backbones["tiny"].width)},
        "objects": {
            "categories": torch.from_numpy(layouts.ids[:3]),
            "boxes": torch.from_numpy(layouts.boxes[:3]),
        },
    }
    pairs = zip(captioner.encoders, ("objects", "picture"), strict=True)
    with torch.inference_mode():
        parts = [encoder(inputs[name]).summary for encoder, name in pairs]
        torch.testing.assert_close(captioner.encode(inputs).summary, parts[0] + parts[1])


def test_the_network_of_a_combined_mode_is_fine_tuned(data, tmp_path):
    first, _ = run(data, tmp_path / "frozen", row([OBJECTS, CNN], LSTM))
    second, results = run(
        data,
        tmp_path / "finetune",
        row([OBJECTS, CNN], LSTM, name="finetune", finetune_from="all"),
        previous=first,
    )
    before, after = (Model(path, "cpu").captioner.state_dict() for path in (first, second))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("backbone" in name for name in changed) and any("lstm" in name for name in changed)
    assert len(results) == 5


def test_a_run_is_repeated_to_the_bit(data, tmp_path):
    one, other = (run(data, tmp_path / name, row([SET], ATTENTION))[0] for name in "ab")
    weights = [Model(path, "cpu").captioner.state_dict() for path in (one, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


# From the command line and Python.


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    return run(data, tmp_path_factory.mktemp("model"), row([OBJECTS], ATTENTION))[0]


def read(path):
    return {record["file_name"]: record["caption"] for record in json.loads(path.read_text())}


def test_a_layout_alone_is_captioned(data, model, tmp_path):
    """Specification O17: the original had no inference for layouts."""
    alone = {"objects": [{"category": "circle", "box": [0.1, 0.2, 0.3, 0.3]}]}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(alone))
    photos(model=model, photos=[path], output=tmp_path / "out.json", device="cpu")
    text = read(tmp_path / "out.json")[str(path)]
    assert text == load(str(model), "cpu").caption(alone) != ""


def test_layouts_without_ids_get_different_ones(model, tmp_path):
    path = tmp_path / "list.json"
    path.write_text(json.dumps([{"objects": []}, {"objects": []}]))
    photos(model=model, photos=[path], output=tmp_path / "out.json", device="cpu")
    written = json.loads((tmp_path / "out.json").read_text())
    assert [record["image_id"] for record in written] == [f"{path}#1", f"{path}#2"]


def test_the_layouts_file_of_a_data_set_is_captioned(data, model, tmp_path):
    photos(model=model, photos=[data / "layouts.json"], output=tmp_path / "out.json", device="cpu")
    written = json.loads((tmp_path / "out.json").read_text())
    pictures = records.read(data / "pictures.json").pictures
    assert [record["image_id"] for record in written] == [picture.id for picture in pictures]


@pytest.mark.parametrize("encoder", [OBJECTS, NAMES, CLASSES, SET])
@pytest.mark.parametrize("decoder", [LSTM, ATTENTION])
def test_an_empty_layout_alone_is_captioned_as_among_others(data, tmp_path, encoder, decoder):
    model = load(str(run(data, tmp_path, row([encoder], decoder))[0]), "cpu")
    full = {"objects": [{"category": "star", "box": [0.1, 0.2, 0.3, 0.3]}]}
    assert model.caption({"objects": []}) == model.caption([full, {"objects": []}])[1]


def test_a_layout_file_in_python(data, model, tmp_path):
    path = tmp_path / "one.json"
    path.write_text('{"objects": []}')
    loaded = load(str(model), "cpu")
    assert loaded.caption(path) == loaded.caption({"objects": []})
    with pytest.raises(ValueError, match="25 layouts"):
        loaded.caption(data / "layouts.json")
    with pytest.raises(ValueError, match=r"formats\.md\): objects: Field required"):
        loaded.caption({"category": "star"})
    with pytest.raises(ValueError, match=r"frame: .*'picture'.*letterbox"):
        loaded.caption({"objects": [], "frame": "letterbox"})


def test_two_layouts_with_one_id_are_refused(model, tmp_path):
    path = tmp_path / "two.json"
    path.write_text(json.dumps([{"id": 1, "objects": []}, {"id": 1, "objects": []}]))
    with pytest.raises(ValueError, match=r"two\.json#1 and .*two\.json#2 have the id 1: ids"):
        photos(model=model, photos=[path], device="cpu")


def test_pictures_that_nobody_described_are_captioned(data, model, tmp_path):
    """Specification O15: they cannot be scored, which is no reason not to caption them."""
    collection = records.read(data / "pictures.json")
    bare = tuple(
        replace(one, captions=()) if one.split == "test" else one for one in collection.pictures
    )
    records.write(tmp_path / "pictures.json", replace(collection, pictures=bare))
    made = [tmp_path / "captions.json", tmp_path / "shuffled.json"]
    caption(
        model=[model],
        pictures=tmp_path / "pictures.json",
        inputs=[data / "layouts.h5"],
        captions=made[0],
        shuffled=made[1],
        device="cpu",
    )
    wanted = {one.id for one in bare if one.split == "test"}
    for path in made:
        assert {row["image_id"] for row in json.loads(path.read_text())} == wanted != set()


@pytest.mark.parametrize("other", [{"id": "1"}, {"file": "1.jpg"}, {"file": "deep/1.png"}])
def test_two_of_one_id_are_told_apart_or_refused(model, tmp_path, other):
    """1 and "1" are the same image to COCO's scorer; a file's longer name is another."""
    path = tmp_path / "two.json"
    path.write_text(json.dumps([{"id": 1, "objects": []}, {"objects": [], **other}]))
    if "id" in other:
        with pytest.raises(ValueError, match=r"two\.json#1 and .*two\.json#2 have the id '1'"):
            photos(model=model, photos=[path], device="cpu")
        return
    photos(model=model, photos=[path], output=tmp_path / "out.json", device="cpu")
    written = json.loads((tmp_path / "out.json").read_text())
    assert [record["image_id"] for record in written] == [1, other["file"]]


def test_layouts_of_one_photo_in_two_files_are_two(model, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "l.json").write_text('{"objects": [], "file": "x.jpg"}')
    files = [tmp_path / name / "l.json" for name in ("a", "b")]
    photos(model=model, photos=files, output=tmp_path / "out.json", device="cpu")
    written = json.loads((tmp_path / "out.json").read_text())
    assert [row["image_id"] for row in written] == [f"{path}#1" for path in files]


def test_nothing_at_all_leaves_the_output_as_it_was(model, tmp_path):
    (tmp_path / "bad.json").write_text("[")
    (tmp_path / "out.json").write_text("KEEP")
    with pytest.raises(ValueError, match=r"bad\.json"):
        photos(model=model, photos=[tmp_path / "bad.json"], output=tmp_path / "out.json")
    assert (tmp_path / "out.json").read_text() == "KEEP"


@pytest.mark.parametrize("kind", [np.array, np.float32, torch.tensor, tuple])
def test_boxes_in_python_may_be_arrays(model, kind):
    loaded, box = load(str(model), "cpu"), [0.1, 0.25, 0.5, 0.25]
    expected = loaded.caption({"objects": [{"category": "star", "box": box}]})
    box = [kind(edge) for edge in box] if kind is np.float32 else kind(box)
    assert loaded.caption({"objects": [{"category": "star", "box": box}]}) == expected


def test_a_file_that_is_no_layout_does_not_stop_the_others(model, tmp_path):
    for name, text in {"a": "[", "b": '{"objects": []}', "c": "[]"}.items():
        (tmp_path / f"{name}.json").write_text(text)
    files = sorted(tmp_path.glob("*.json"))
    with pytest.raises(SystemExit, match=r"2 of 3 could not be captioned: .*a\.json"):
        photos(model=model, photos=files, output=tmp_path / "out.jsonl", device="cpu")
    assert json.loads((tmp_path / "out.jsonl").read_text())["image_id"] == "b"


def test_photos_without_a_detector_are_refused_once(model, tmp_path, caplog):
    """Not once a photo: a folder may hold thousands."""
    for name in "abc":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    output = tmp_path / "out.jsonl"
    with pytest.raises(ValueError, match=r"give --detector, .* for 3 photos, .*a\.png the first"):
        photos(model=model, photos=[tmp_path], output=output, device="cpu")
    assert not output.exists()
    (tmp_path / "d.json").write_text('{"objects": []}')
    with pytest.raises(SystemExit, match=r"3 of 4 could not be captioned: .* give --detector"):
        photos(model=model, photos=[tmp_path, tmp_path / "d.json"], output=output, device="cpu")
    assert json.loads(output.read_text())["image_id"] == "d"
    assert sum("give --detector" in message for message in caplog.messages) == 1


def test_layouts_of_nothing_at_all_are_told(data, tmp_path, caplog):
    (tmp_path / "none.json").write_text("[]")
    layout(
        pictures=data / "pictures.json",
        detections=tmp_path / "none.json",
        info=data / "info.json",
        layout=tmp_path / "out.h5",
    )
    assert "none.json is empty: every layout is" in caplog.text


def test_a_layout_job_names_what_does_not_fit(data, tmp_path):
    given = {
        "pictures": data / "pictures.json",
        "detections": data / "detections.json",
        "info": data / "info.json",
        "layout": tmp_path / "out.h5",
    }
    with pytest.raises(ValueError, match=r"must end in \.h5"):
        layout(**{**given, "layout": tmp_path / "out.json"})
    other = tmp_path / "other.json"
    entry = {"image_id": 1, "category_id": 1, "category": "star", "bbox": [1, 1, 2, 2], "score": 1}
    other.write_text(json.dumps([{**entry, "image_id": "nowhere"}]))
    with pytest.raises(ValueError, match="other pictures"):
        layout(**{**given, "detections": other})
    other.write_text(json.dumps([{**entry, "image_id": 1}, {**entry, "image_id": "nowhere"}]))
    with pytest.raises(ValueError, match=r"1 of its 2 image_ids are not in .* such as 'nowhere'"):
        layout(**{**given, "detections": other})
    for wrong in ([], {}, {"categories": "dog"}, {"categories": [1]}):
        (tmp_path / "info.json").write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match=r"info\.json is not a detector's info: "):
            layout(**{**given, "info": tmp_path / "info.json"})
    other.write_text(json.dumps([{**entry, "bbox": [30, 30, 20, 20]}]))
    with pytest.raises(ValueError, match=r"other\.json.*picture 1 \(.*in 0\.\.1"):
        layout(**{**given, "detections": other})


def test_detections_of_a_picture_that_could_not_be_resized_are_no_mistake(data, tmp_path):
    """They are in pictures.json, and not in images.h5."""
    collection = records.read(data / "pictures.json")
    lost = replace(collection.pictures[0], id=999, file="lost.jpg")
    more = replace(collection, pictures=(*collection.pictures, lost))
    records.write(tmp_path / "pictures.json", more)
    found = json.loads((data / "detections.json").read_text())
    found.append({**found[0], "image_id": 999})
    (tmp_path / "d.json").write_text(json.dumps(found))
    layout(
        pictures=tmp_path / "pictures.json",
        detections=tmp_path / "d.json",
        info=data / "info.json",
        layout=tmp_path / "out.h5",
        images=data / "images.h5",
    )
    assert "lost.jpg" not in layout_files.read(tmp_path / "out.h5").files


def test_one_wrong_layout_does_not_stop_the_others(data, model, tmp_path, capsys):
    good = {"file": "a.jpg", "objects": [{"category": "circle", "box": [0.1, 0.2, 0.3, 0.3]}]}
    bad = {"file": "b.jpg", "objects": [{"category": "unicorn", "box": [0.1, 0.2, 0.3, 0.3]}]}
    path = tmp_path / "two.json"
    path.write_text(json.dumps([good, bad, {**good, "file": "c.jpg"}]))
    with pytest.raises(SystemExit, match=r"1 of 3 could not be captioned: b\.jpg: .*unicorn"):
        photos(model=model, photos=[path], output=tmp_path / "out.json", device="cpu")
    assert list(read(tmp_path / "out.json")) == ["a.jpg", "c.jpg"]


def test_what_a_model_needs_is_said(data, model, tmp_path):
    root = records.read(data / "pictures.json").root
    photo = next(root.rglob("*.jpg"))
    with pytest.raises(ValueError, match=r"give layouts .*detector"):
        load(str(model), "cpu").caption(photo)
    image, _ = run(data, tmp_path, row([CNN], LSTM))
    with pytest.raises(ValueError, match="a layout alone is not enough"):
        load(str(image), "cpu").caption({"objects": []})
    layout = tmp_path / "one.json"
    layout.write_text(json.dumps({"objects": [], "file": str(photo)}))
    assert load(str(image), "cpu").caption(layout) == load(str(image), "cpu").caption(photo)
    for words, message in (
        ("weights.bin", "give a YOLOX .onnx"),
        ('{"part": "truth"}', "cannot look at photos"),
        ('{"part": "nothing"}', "unknown detector"),
    ):
        with pytest.raises(ValueError, match=message):
            load(str(model), "cpu", detector=words)


def test_a_detector_is_a_path_or_a_row_and_told_when_it_is_of_no_use(data, tmp_path, caplog):
    tiny_yolox.save(tmp_path / "tiny.onnx")
    model = str(run(data, tmp_path, row([CNN], LSTM))[0])
    options = {"names": list(tiny_yolox.NAMES)}
    given = {"part": "yolox", "file": str(tmp_path / "tiny.onnx"), "options": options}
    for detector in (given, json.dumps(given)):
        assert load(model, "cpu", detector=detector).detector.row.part == "yolox"
    assert "reads no layouts: the detector is not used" in caplog.text
    with pytest.raises(ValueError, match="3 categories, and 80 have names"):
        load(Path(model), "cpu", detector=tmp_path / "tiny.onnx")


def test_a_detector_of_other_categories_is_refused_at_once(model, tmp_path):
    """Not photo by photo, when it first sees something."""
    tiny_yolox.save(tmp_path / "tiny.onnx")
    row = {"part": "yolox", "file": str(tmp_path / "tiny.onnx")}
    words = json.dumps({**row, "options": {"names": list(tiny_yolox.NAMES)}})
    message = r"tiny\.onnx sees categories that .*model\.safetensors does not know: .*; it knows "
    with pytest.raises(ValueError, match=message):
        load(str(model), "cpu", detector=words)


def test_layouts_of_another_reading_are_refused(data, model, tmp_path):
    layout(
        pictures=data / "pictures.json",
        detections=data / "detections.json",
        info=data / "info.json",
        layout=tmp_path / "other.h5",
        images=data / "images.h5",
        settings=configuration.Arrangement(order="score"),
    )
    with pytest.raises(ValueError, match="other settings"):
        caption_test(data, model, tmp_path / "out.json", [tmp_path / "other.h5"])
    with pytest.raises(ValueError, match=r"--inputs: give 1 files.*objects \(layouts\.h5\)"):
        caption_test(data, model, tmp_path / "out.json", [])
    with pytest.raises(ValueError, match=r"images\.h5 is not a layouts file"):
        caption_test(data, model, tmp_path / "out.json", [data / "images.h5"])
