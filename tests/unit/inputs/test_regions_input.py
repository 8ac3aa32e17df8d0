"""Bottom-up regions: files, batches and the encoder, on pictures of different numbers of them."""

import io
import json
import zipfile

import lmdb
import numpy as np
import pytest
import torch
from systems import CPU, caption_test, generate, train_on, training

from snakecap.config.system import Input
from snakecap.formats import pictures as records
from snakecap.formats.regions import RegionFile
from snakecap.inference.model import Model
from snakecap.inputs.input import Request
from snakecap.inputs.regions import RegionsInput
from snakecap.models.encoders.regions import RegionsEncoder

NUMBERS = np.random.default_rng(0)
FEATURES = [NUMBERS.normal(size=(count, 6)).astype(np.float32) for count in (3, 1, 5)]
# In pixels of a picture of 50 x 20.
BOXES = [np.sort(NUMBERS.uniform(0, 20, (len(one), 2, 2)), 1).reshape(-1, 4) for one in FEATURES]
FILES = ["000007.jpg", "val2014/COCO_val2014_000000000008.jpg", "9.png"]


def packed(save=np.savez, **arrays):
    buffer = io.BytesIO()
    save(
        buffer,
        *([arrays["feat"]] if save is np.save else []),
        **({} if save is np.save else arrays),
    )
    return buffer.getvalue()


def write(path, values, ending=".npz"):
    """One file of contents, by number."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as file:
            for key, value in values.items():
                file.writestr(key + ending, value)
        return path
    environment = lmdb.open(str(path), subdir=False)
    with environment, environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key.encode(), value)
    return path


def bottom_up(boxes=True):
    sizes = {"image_w": 50, "image_h": 20}
    return {
        str(key): packed(feat=one, **({"bbox": box, **sizes} if boxes else {}))
        for key, one, box in zip((7, 8, 9), FEATURES, BOXES, strict=True)
    }


def opened(path, **options):
    one = RegionsInput(place=CPU, source="", **options)
    one.open(path, FILES)
    return one


@pytest.mark.parametrize("ending", ["lmdb", "zip"])
def test_a_batch_is_as_long_as_its_longest_picture(tmp_path, ending):
    one = opened(write(tmp_path / f"x.{ending}", bottom_up()))
    batch = one.read(FILES)
    assert batch["mask"].sum(1).tolist() == [3, 1, 5] and batch["mask"].shape == (3, 5)
    for row, (features, boxes) in enumerate(zip(FEATURES, BOXES, strict=True)):
        count = len(features)
        assert torch.equal(batch["features"][row, :count], torch.from_numpy(features))
        assert not batch["features"][row, count:].any()
        x1, y1, x2, y2 = (boxes / [50, 20, 50, 20]).T
        geometry = np.stack([x1, y1, x2, y2, (x2 - x1) * (y2 - y1)], 1)
        np.testing.assert_allclose(batch["geometry"][row, :count], geometry, rtol=1e-5)
    short = one.read(FILES[:2])
    assert short["features"].shape == (2, 3, 6)
    joined = one.join([one.read([file]) for file in FILES])
    assert all(torch.equal(joined[name], batch[name]) for name in batch)
    assert one.has("7.jpg") and not one.has("10.jpg")
    few = opened(tmp_path / f"x.{ending}", limit=2).read(FILES)
    assert few["mask"].tolist() == [[True, True], [True, False], [True, True]]


def test_features_alone(tmp_path):
    values = {str(k): packed(np.save, feat=one) for k, one in zip((7, 8, 9), FEATURES, strict=True)}
    batch = opened(write(tmp_path / "x.zip", values, ".npy")).read(FILES)
    assert torch.equal(batch["features"][2], torch.from_numpy(FEATURES[2]))
    assert "geometry" not in batch
    RegionsEncoder(width=4, size=6)(batch)
    with pytest.raises(ValueError, match=r"geometry: true .* no boxes"):
        RegionsEncoder(width=4, size=6, geometry=True)(batch)


@pytest.mark.parametrize("limit", [0, -5])
def test_there_is_at_least_one_region(limit):
    row = {"part": "regions", "source": "x.lmdb", "options": {"limit": limit}}
    with pytest.raises(ValueError, match=r"limit.*greater than or equal to 1"):
        Input(**row)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (np.full((3, 4), 20), "not in 0..1"),
        (np.full((3, 4), np.nan), "not in 0..1"),
        (np.full((3, 4), -np.inf), "not in 0..1"),
        (np.zeros((2, 4)), r"\(2, 4\), not \(3, 4\)"),
        (np.zeros((3, 5)), r"\(3, 5\), not \(3, 4\)"),
    ],
)
def test_arrays_of_boxes_that_are_something_else(boxes, message):
    one = RegionsInput(place=CPU, source="")
    one.name = "seen"
    one.restore({"size": 6})
    with pytest.raises(ValueError, match=f"the array of seen .*{message}"):
        one.of(Request(arrays={"seen": (FEATURES[0], boxes)}))


def test_arrays_with_and_without_boxes_are_one_batch():
    one = RegionsInput(place=CPU, source="")
    one.restore({"size": 6})
    boxed = one.of(Request(arrays={"": (FEATURES[0], np.zeros((3, 4)))}))
    plain = one.of(Request(arrays={"": FEATURES[1]}))
    assert one.join([boxed, plain]).keys() == one.join([plain, boxed]).keys() == plain.keys()


def test_a_file_that_is_cut_short_is_refused_before_it_is_read(tmp_path):
    path = write(tmp_path / "x.lmdb", bottom_up())
    content = path.read_bytes()
    for kept in (len(content) - 1, len(content) // 2, 2 * 4096):
        cut = tmp_path / f"{kept}.lmdb"
        cut.write_bytes(content[:kept])
        with pytest.raises(ValueError, match=rf"{kept}\.lmdb is cut short: {kept} of"):
            RegionFile(cut)


def boxed(feat=FEATURES[0], **more):
    return packed(feat=feat, **more)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "7 is no .npz of regions"),
        (boxed()[:-40], "7 is no .npz of regions"),
        (packed(other=FEATURES[0]), "7 is no .npz of regions"),
        (boxed(np.array([[{}]], dtype=object)), "7 is no .npz .*allow_pickle"),
        (boxed(FEATURES[0][0]), r"shape \(6,\)"),
        (boxed(FEATURES[0] * np.nan), "not finite"),
        (boxed(bbox=BOXES[0]), "not in 0..1"),
        (boxed(bbox=BOXES[0][:2] / 50), r"boxes are of shape \(2, 4\)"),
    ],
)
def test_pictures_that_are_something_else(tmp_path, content, message):
    with pytest.raises(ValueError, match=rf"x\.lmdb: {message}|x\.lmdb: 7.*{message}"):
        RegionFile(write(tmp_path / "x.lmdb", {"7": content}))


def test_files_that_are_something_else(tmp_path):
    for name in ("x.lmdb", "x.zip"):
        with pytest.raises(FileNotFoundError, match=name):
            RegionFile(tmp_path / name)
        (tmp_path / name).write_bytes(b"text")
        with pytest.raises(ValueError, match=name):
            RegionFile(tmp_path / name)
    with pytest.raises(ValueError, match="holds no regions"):
        RegionFile(write(tmp_path / "empty.zip", {}))
    mixed = {**bottom_up(), "8": boxed(FEATURES[1][:, :5], bbox=BOXES[1] / 50)}
    with pytest.raises(ValueError, match=r"8 has features of shape \(1, 5\)"):
        opened(write(tmp_path / "y.lmdb", mixed)).read(FILES)
    with pytest.raises(ValueError, match=r"y\.lmdb lacks 1 of 2 pictures: 1\.jpg"):
        RegionFile(tmp_path / "y.lmdb").read(["7.jpg", "1.jpg"])


@pytest.mark.parametrize("options", [{}, {"geometry": True}, {"unit": True, "geometry": True}])
def test_the_encoder_reads_each_picture_alone(tmp_path, options):
    """Picture by picture, by the formula, whatever the padding."""
    batch = opened(write(tmp_path / "x.lmdb", bottom_up())).read(FILES)
    encoder = RegionsEncoder(width=4, size=6, **options)
    found = encoder(batch)
    for row, features in enumerate(map(torch.from_numpy, FEATURES)):
        if options.get("unit"):
            features = features / features.norm(dim=1, keepdim=True)
        if options.get("geometry"):
            features = torch.cat([features, batch["geometry"][row, : len(features)]], 1)
        wanted = (features @ encoder.project.weight.T + encoder.project.bias).clamp(min=0)
        torch.testing.assert_close(found.regions[row][found.mask[row]], wanted)
        torch.testing.assert_close(found.summary[row], wanted.mean(0))


def test_from_training_to_captions_and_arrays(tmp_path):
    folder = generate(tmp_path)
    files = [picture.file for picture in records.read(folder / "pictures.json").pictures]
    regions = {file: NUMBERS.normal(size=(1 + len(file) % 3, 6)) for file in files}
    path = write(tmp_path / "r.lmdb", {k: packed(feat=v) for k, v in regions.items()})
    chosen = training(
        {"name": "train", "max_iterations": 5, "batch_size": 8, "language_eval": False},
        inputs={"seen": {"part": "regions", "source": str(path)}},
        encoders=[{"part": "regions"}],
        decoder={"part": "attention", "options": {"hidden_size": 12}},
    )
    model = train_on(folder, tmp_path / "m", chosen, [path])
    caption_test(folder, model, tmp_path / "test.json", [path])
    found = json.loads((tmp_path / "test.json").read_text())
    loaded = Model(model, "cpu")
    asked = [{"seen": regions[one["file_name"]]} for one in found]
    assert loaded.caption(asked) == [one["caption"] for one in found]
    boxes = np.zeros((2, 4))
    assert isinstance(loaded.caption({"seen": (np.zeros((2, 6)), boxes)}), str)
    with pytest.raises(ValueError, match=r"seen has 5 features, the model reads 6"):
        loaded.caption({"seen": np.zeros((2, 5))})
    with pytest.raises(ValueError, match=r"not of shape \(R, 6\)"):
        loaded.caption({"seen": np.zeros(6)})
