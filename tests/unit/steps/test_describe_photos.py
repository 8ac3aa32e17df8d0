"""Photos described from a model's file: given boxes, queries, features and rendered copies."""

import json

import numpy as np
import pytest
from PIL import Image

import snakecap
from snakecap.config.dense import Describing
from snakecap.formats import dense, region_codes
from snakecap.formats import model as models
from snakecap.formats.decode import load_whole
from snakecap.formats.vocabulary import Vocabulary
from snakecap.inference.model import Model
from snakecap.steps.describe_photos import describe_photos
from tests.dense_systems import dense_model, dense_training

WORDS = ["red", "blue", "green", "black", "circle", "square", "star", "ring"]
FEW = Describing(proposals=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with random weights, and photos of one name in two folders: noise, black, white."""
    folder = tmp_path_factory.mktemp("describe")
    words = Vocabulary(tuple(WORDS), "densecap")
    settings = dense_training()
    header = {
        "settings": settings.model_dump(mode="json"),
        "vocabulary": words.as_json(),
        "inputs": {"picture": {"size": 64}},
    }
    models.write(folder / "m.safetensors", dense_model(len(words)).state_dict(), header)
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    for name, pixels in (("a/x", noise), ("b/x", noise * 0), ("b/y", noise * 0 + 255)):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return snakecap.load(folder / "m.safetensors", "cpu")


def described(folder, *photos, **given):
    output = folder / "out.json"
    describe_photos(
        model=folder / "m.safetensors", photos=list(photos), output=output, settings=FEW, **given
    )
    return dense.read(output).results


def test_photos_of_one_name_are_told_apart(folder):
    found = described(folder, folder / "a", folder / "b", render=folder / "drawn")
    assert [one.image_id for one in found] == [f"{folder}/a/x.png", f"{folder}/b/x.png", "y"]
    copies = sorted((folder / "drawn").iterdir())
    assert len(copies) == 3
    for copy in copies:
        pixels = load_whole(copy)
        assert pixels.shape == (3, 60, 80)
        assert len(np.unique(pixels.reshape(3, -1), axis=1).T) > 2  # also on black and on white


def test_given_boxes_are_captioned_each_in_its_place(folder, model):
    boxes = [[70.0, 50, 30, 30], [5, 5, 20, 20], [-5, -5, 12, 12], [5, 5, 20, 20]]
    (folder / "boxes.json").write_text(json.dumps({"x.png": boxes}))
    [found] = described(folder, folder / "a/x.png", boxes=folder / "boxes.json")
    np.testing.assert_allclose(found.boxes, boxes, atol=1e-4)
    backwards = model.describe(folder / "a/x.png", boxes=boxes[::-1])
    np.testing.assert_allclose(backwards.log_probs[::-1], found.log_probs, rtol=1e-4)
    assert found.captions == tuple(backwards.captions[::-1])


def test_no_boxes_are_no_captions(folder, model):
    assert model.describe(folder / "a/x.png", boxes=[]).captions == ()
    both = model.describe([folder / "a/x.png"] * 2, boxes=[[], [[1, 2, 30, 20]]])
    assert [len(one.captions) for one in both] == [0, 1]


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([500, 5, 10, 10], "entry 2, .* covers nothing of 80 x 60 pixels"),
        ([-20, 5, 10, 10], "entry 2"),
        ([1, 1, 0, 5], "entry 2"),
        ([1, 1, float("nan"), 5], "entry 2"),
        ([1, 1, 5], r"give a list of \[x, y, width, height\]"),
        ("abcd", "give a list of"),
    ],
)
def test_boxes_that_are_none(folder, model, box, message):
    with pytest.raises(ValueError, match=rf"boxes of .*x\.png: {message}"):
        model.describe(folder / "a/x.png", boxes=[[1, 2, 30, 20], box])


def test_boxes_of_fewer_photos(folder, model):
    with pytest.raises(ValueError, match="boxes of 1 photos are given for 2"):
        model.describe([folder / "a/x.png"] * 2, boxes=[[[1, 2, 30, 20]]])


@pytest.mark.parametrize("photo", [Image.new("RGB", (8, 8)), np.zeros((8, 8, 3)), 3])
def test_a_photo_is_a_file(model, photo):
    with pytest.raises(ValueError, match=f"the bytes of an image file, not {type(photo).__name__}"):
        model.describe(photo)


def test_features_give_the_same_captions(folder, capsys):
    features = folder / "codes.h5"
    found = described(folder, folder / "a", folder / "b", features=features)
    describe_photos(model=folder / "m.safetensors", photos=[features])
    said = [line.split("\t")[-1] for line in capsys.readouterr().out.splitlines()]
    assert said == [caption for one in found for caption in one.captions]
    codes = region_codes.read(features)
    assert [len(one.codes) for one in codes] == [len(one.boxes) for one in found]


def test_features_take_no_photos_options(folder):
    with pytest.raises(ValueError, match="only settings go with it"):
        describe_photos(model=folder / "m.safetensors", photos=[folder / "c.h5"], query="red")


def test_a_query_ranks_regions_by_their_likelihood(folder, model):
    boxes = [[5, 5, 20, 20], [40, 30, 20, 20], [10, 20, 60, 30]]
    found = model.describe(folder / "a/x.png", boxes=boxes, query="red circle")
    assert sorted(found.boxes.round().tolist()) == sorted(boxes)
    assert (np.diff(found.log_probs) <= 0).all()
    alone = [model.describe(folder / "a/x.png", [box], "red circle").log_probs[0] for box in boxes]
    np.testing.assert_allclose(found.log_probs, sorted(alone, reverse=True), rtol=1e-4)


def test_models_of_the_wrong_task_say_what_to_use(folder):
    path = folder / "m.safetensors"
    with pytest.raises(ValueError, match="describes regions: use `snakecap describe`"):
        Model(path)
    with pytest.raises(ValueError, match="load it alone"):
        snakecap.load([path, path])
    with pytest.raises(ValueError, match="without a detector"):
        snakecap.load(path, detector="yolox.onnx")


def test_one_broken_photo_does_not_stop_the_others(folder):
    broken = folder / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(SystemExit, match=r"1 of 2 could not be described: .*broken\.jpg"):
        described(folder, folder / "a", broken)
    assert len(dense.read(folder / "out.json").results) == 1


@pytest.mark.parametrize("size", [(1, 1), (900, 2), (2, 900)])
def test_photos_may_be_thinner_than_a_cell(folder, model, size):
    Image.new("L", size, 128).save(folder / "thin.png")
    found = model.describe(folder / "thin.png", proposals=20)
    assert (found.width, found.height) == size
    ends = found.boxes[:, :2] + found.boxes[:, 2:]
    assert (found.boxes[:, :2] >= 0).all() and (ends <= np.array(size) + 1e-3).all()


def test_boxes_of_other_photos(folder):
    (folder / "others.json").write_text('{"z.png": [[1, 2, 3, 4]]}')
    with pytest.raises(ValueError, match=r"--boxes has none of .*x\.png: name them 'x\.png'"):
        described(folder, folder / "a", boxes=folder / "others.json")
