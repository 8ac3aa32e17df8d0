"""The features stage and its file: the right vector for every picture, also after a kill."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch

from snakecap.config import settings as models
from snakecap.formats import images as images_h5
from snakecap.formats.features import FLIP, Features, Writer
from snakecap.models.backbones import tiny, weights
from snakecap.models.backbones.preprocess import preprocess
from snakecap.steps.features import Extraction, features

SOURCE = Path(__file__).parents[3] / "src"
NAMES = ["b/2.jpg", "a.jpg", "ü.png", "c.jpg", "d.jpg"]
PREPROCESS = {"crop": 16, "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}


def extraction(batch_size: int = 2, precision: str = "auto", **kept: object) -> Extraction:
    how = {"preprocess": PREPROCESS, "batch_size": batch_size, "precision": precision}
    backbone = {"architecture": "tiny", "weights": "random", **how}
    return Extraction.model_validate({"backbone": backbone, "features": kept})


@pytest.fixture
def images(tmp_path):
    return make_images(tmp_path / "images.h5", NAMES)


def make_images(path: Path, names: list[str]) -> Path:
    images_h5.create(path, names, 20, "squash", {"code": "x"})
    random = np.random.default_rng(0)
    writer = images_h5.Rows(path)
    for row in range(len(names)):
        writer.write(row, random.integers(0, 256, (3, 20, 20), np.uint8))
    writer.close()
    return path


def expected(images: Path, flip: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The oracle: one picture at a time, without the stage."""
    backbone = tiny.Tiny().eval()
    weights.load_weights(backbone, "tiny", "random")
    pixels = torch.from_numpy(images_h5.Images(images).load())
    with torch.no_grad():
        seen = [backbone(preprocess(p[None], **PREPROCESS, flip=flip)) for p in pixels]
    return tuple(
        np.concatenate([np.asarray(getattr(s, k)) for s in seen]) for k in ("pooled", "grid")
    )


def run(images: Path, path: Path, **kept: object) -> Features:
    features(images=images, features=path, settings=extraction(**kept), device="cpu")
    return Features(path)


@pytest.mark.parametrize("output", ["pooled", "grid"])
def test_every_picture_has_its_own_features(images, tmp_path, output):
    found = run(images, tmp_path / "f" / "tiny.lmdb", output=output)
    oracle = expected(images)[output == "grid"]
    assert found.vdim == oracle.shape[1:] and found.dtype == np.float32 and len(found) == 5
    order = [3, 0, 4, 0]
    values = found.read([NAMES[k] for k in order])
    assert values.dtype == np.float32 and values.shape == (4, *found.vdim)
    np.testing.assert_allclose(values, oracle[order], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.read(NAMES)[order], values)
    left = [p.name for p in (tmp_path / "f").rglob("*") if p.is_file() and p.suffix != ".lock"]
    assert left == ["tiny.lmdb"]


def test_mirrored_pictures(images, tmp_path):
    found = run(images, tmp_path / "flip.lmdb", flip=True)
    assert len(found) == 10
    mirrored = found.read([name + FLIP for name in NAMES])
    np.testing.assert_allclose(mirrored, expected(images, flip=True)[0], rtol=1e-4, atol=1e-5)
    assert not np.allclose(mirrored, found.read(NAMES))


def test_half_precision_is_three_digits(images, tmp_path):
    found = run(images, tmp_path / "half.lmdb", half=True)
    assert found.dtype == np.float16 and found.read(NAMES).dtype == np.float32
    np.testing.assert_allclose(found.read(NAMES), expected(images)[0], rtol=1e-3, atol=1e-3)
    assert found.read(NAMES, np.float16).dtype == np.float16


def test_the_batch_size_changes_nothing_but_rounding(images, tmp_path):
    one = run(images, tmp_path / "1.lmdb", batch_size=1).read(NAMES)
    five = run(images, tmp_path / "5.lmdb", batch_size=5).read(NAMES)
    np.testing.assert_allclose(one, five, rtol=1e-4, atol=1e-5)


def test_twice_is_the_same_bytes(images, tmp_path):
    first = run(images, tmp_path / "1.lmdb").read(NAMES)
    np.testing.assert_array_equal(first, run(images, tmp_path / "2.lmdb").read(NAMES))


def test_the_format_is_deepcaptions(images, tmp_path):
    """Read with lmdb and numpy alone, as their code does."""
    path = tmp_path / "tiny.lmdb"
    run(images, path, output="grid")
    environment = lmdb.open(str(path), subdir=False, readonly=True, lock=False)
    with environment, environment.begin() as transaction:
        vdim = np.frombuffer(transaction.get(b"@vdim"), "<i4")
        value = np.frombuffer(transaction.get("ü.png".encode()), "<f4").reshape(vdim)
        stamp = json.loads(transaction.get(b"~stamp"))
        assert transaction.get(b"~dtype") == b"float32"
        assert transaction.stat()["entries"] == len(NAMES) + 3
    np.testing.assert_allclose(value, expected(images)[1][2], rtol=1e-4, atol=1e-5)
    backbone = tiny.Tiny()
    weights.load_weights(backbone, "tiny", "random")
    assert stamp["weights"] == weights.digest(backbone)
    assert stamp["backbone"]["architecture"] == "tiny" and stamp["images"] == {"code": "x"}


@pytest.mark.parametrize("output", ["pooled", "grid"])
def test_deepcaption_reads_it(images, tmp_path, output):
    """Spec D11: as its dataset.py does, which looks at the first value, and at its shape."""
    folder = tmp_path / "theirs.lmdb"
    run(images, folder / "data.mdb", output=output)
    environment = lmdb.open(str(folder), max_readers=1, readonly=True, lock=False)
    with environment, environment.begin() as transaction:
        cursor = transaction.cursor()
        assert cursor.first()
        first = np.frombuffer(cursor.value(), np.float32)
        assert not np.isnan(first).any()
        vdim = transaction.get(b"@vdim")
        shape = len(first) if vdim is None else np.frombuffer(vdim, np.int32).tolist()
        value = np.frombuffer(transaction.get(b"a.jpg"), np.float32)
    wanted = expected(images)[output == "grid"][NAMES.index("a.jpg")]
    assert shape == (list(wanted.shape) if output == "grid" else len(wanted))
    np.testing.assert_allclose(value.reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("crops", ["average", "maximum"])
@pytest.mark.parametrize("output", ["pooled", "grid"])
def test_of_ten_crops(images, tmp_path, crops, output):
    """Spec D11: torchvision's ten, one at a time; a mirrored picture has the same."""
    from torchvision.transforms.functional import ten_crop

    values = {**PREPROCESS, "crop": 16, "crops": crops}
    chosen = Extraction.model_validate(
        {
            "backbone": {"architecture": "tiny", "weights": "random", "preprocess": values},
            "features": {"output": output, "flip": True},
        }
    )
    features(images=images, features=tmp_path / "f.lmdb", settings=chosen, device="cpu")
    found = Features(tmp_path / "f.lmdb")
    backbone = tiny.Tiny().eval()
    weights.load_weights(backbone, "tiny", "random")
    for row, picture in enumerate(torch.from_numpy(images_h5.Images(images).load())):
        with torch.no_grad():
            seen = [
                getattr(backbone(preprocess(one[None], **{**PREPROCESS, "crop": None})), output)
                for one in ten_crop(picture, 16)
            ]
        stacked = torch.cat(seen)
        wanted = stacked.mean(0) if crops == "average" else stacked.amax(0)
        for name in (NAMES[row], NAMES[row] + FLIP):
            got = found.read([name])[0]
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_an_interrupted_run_goes_on_where_it_was(images, tmp_path, monkeypatch):
    read, seen = images_h5.Images.read, []

    def failing(self, rows):
        seen.append(list(rows))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return read(self, rows)

    monkeypatch.setattr(images_h5.Images, "read", failing)
    with pytest.raises(KeyboardInterrupt):
        run(images, tmp_path / "f.lmdb")
    assert not (tmp_path / "f.lmdb").exists()
    found = run(images, tmp_path / "f.lmdb")
    assert seen == [[0, 1], [2, 3], [4], [2, 3], [4]]  # the batch in hand is lost, no other
    np.testing.assert_allclose(found.read(NAMES), expected(images)[0], rtol=1e-4, atol=1e-5)


def test_kill_9_keeps_whole_transactions(tmp_path):
    names = [f"{k}.jpg" for k in range(40)]
    images = make_images(tmp_path / "images.h5", names)
    output = tmp_path / "f.lmdb"
    settings = extraction(precision="float32").model_dump(mode="json")
    code = f"""
import time
from pathlib import Path
from snakecap.formats import features as lmdb_file
from snakecap.steps.features import Extraction, features
put = lmdb_file.Writer.put
def slow(self, *rows):
    put(self, *rows); print("put", flush=True); time.sleep(0.3)
lmdb_file.Writer.put = slow
features(images=Path({str(images)!r}), features=Path({str(output)!r}), device="cpu",
         settings=Extraction.model_validate({settings!r}))
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for _ in range(3):
        assert child.stdout.readline()
    child.kill()
    child.wait()
    child.stdout.close()
    assert not output.exists()
    partial = next((tmp_path / ".work").rglob("features.lmdb"))
    kept = len(Features(partial))
    assert kept in (6, 8)
    found = run(images, output)
    assert len(found) == 40
    np.testing.assert_allclose(found.read(names), expected(images)[0], rtol=1e-4, atol=1e-5)


def test_features_that_are_not_numbers_are_refused(images, tmp_path, monkeypatch):
    def broken(backbone, architecture, spec):
        with torch.no_grad():
            next(backbone.parameters()).fill_(float("nan"))

    monkeypatch.setattr(weights, "load_weights", broken)
    with pytest.raises(ValueError, match="not finite float32"):
        run(images, tmp_path / "f.lmdb")


def test_a_network_of_one_size_says_so(images, tmp_path):
    row = {"architecture": "vit_b_16", "weights": "random", "preprocess": PREPROCESS}
    settings = Extraction.model_validate({"backbone": row, "features": {}})
    message = "vit_b_16 cannot look at 16 x 16 pixels .*224.*: set resize.size and the backbone's"
    with pytest.raises(ValueError, match=message):
        features(images=images, features=tmp_path / "f.lmdb", settings=settings, device="cpu")


def test_a_crop_larger_than_the_pictures_is_refused(images, tmp_path):
    settings = Extraction(backbone=models.Backbone(architecture="tiny", weights="random"))
    with pytest.raises(ValueError, match="crop of 224"):
        features(images=images, features=tmp_path / "f.lmdb", settings=settings, device="cpu")


# The file alone.


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "f.lmdb"
    writer = Writer(path, (2, 3), "float32")
    writer.put(["a", "b"], np.arange(12.0).reshape(2, 2, 3))
    writer.close({"by": "test"})
    return path


def test_one_file_can_be_open_many_times(path):
    readers = [Features(path) for _ in range(3)]
    copy = pickle.loads(pickle.dumps(readers[0]))
    del readers[1]
    for reader in [*readers, copy]:
        assert reader.read(["b"]).ravel().tolist() == [6, 7, 8, 9, 10, 11]
        assert reader.stamp == {"by": "test"} and len(reader) == 2
        assert "a" in reader and "z" not in reader


def test_a_new_file_of_the_same_name_is_read_anew(path, tmp_path):
    old = Features(path)
    writer = Writer(tmp_path / "new", (1,), "float16")
    writer.put(["a"], np.ones((1, 1)))
    writer.close({})
    (tmp_path / "new").replace(path)
    assert Features(path).read(["a"]).tolist() == [[1.0]]
    assert old.read(["a"]).shape == (1, 2, 3)


def test_a_forked_child_opens_its_own(path):
    reader = Features(path)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, reader.read(["a"]).tobytes())
        finally:
            os._exit(0)
    os.close(write)
    found = np.frombuffer(os.read(read, 1000), np.float32)
    os.waitpid(pid, 0)
    os.close(read)
    assert found.tolist() == [0, 1, 2, 3, 4, 5]
    assert reader.read(["a"]).ravel().tolist() == [0, 1, 2, 3, 4, 5]


def test_the_map_grows(tmp_path):
    writer = Writer(tmp_path / "f.lmdb", (1000,), "float32")
    writer.environment.set_mapsize(1 << 16)
    values = np.random.default_rng(0).random((50, 1000), np.float32)
    for start in range(0, 50, 10):
        writer.put([str(k) for k in range(start, start + 10)], values[start : start + 10])
    writer.close({})
    found = Features(tmp_path / "f.lmdb").read([str(k) for k in range(50)])
    np.testing.assert_array_equal(found, values)


def test_a_writer_goes_on_only_with_the_same_shape(path):
    writer = Writer(path, (2, 3), "float32")
    assert writer.has(["a", "c", "b"]) == [True, False, True]
    writer.close()
    for shape, dtype in (((6,), "float32"), ((2, 3), "float16")):
        with pytest.raises(ValueError, match="another shape or type"):
            Writer(path, shape, dtype)


@pytest.mark.parametrize("name", ["x" * 512, "ü" * 256, "", "@vdim"])
def test_names_that_cannot_be_keys_are_refused(path, name):
    writer = Writer(path, (2, 3), "float32")
    with pytest.raises(ValueError, match=r"LMDB's keys|reserved"):
        writer.put([name], np.zeros((1, 2, 3)))
    writer.close()
    assert len(Features(path)) == 2


def test_the_longest_name_fits(path):
    writer = Writer(path, (2, 3), "float32")
    writer.put(["x" * 511], np.ones((1, 2, 3)))
    writer.close({})
    assert Features(path).read(["x" * 511]).sum() == 6


def test_missing_pictures_are_named(path):
    with pytest.raises(ValueError, match=r"no features of 'z.jpg': .*other pictures"):
        Features(path).read(["a", "z.jpg"])


def store(path: Path, rows: dict[bytes, bytes]) -> None:
    environment = lmdb.open(str(path), subdir=False)
    with environment, environment.begin(write=True) as transaction:
        for key, value in rows.items():
            transaction.put(key, value)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="run `snakecap features`"):
        Features(tmp_path / "none.lmdb")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="not a feature file"):
        Features(tmp_path / "text")
    store(tmp_path / "other", {b"a": b"b"})
    with pytest.raises(ValueError, match="no @vdim"):
        Features(tmp_path / "other")


def test_deepcaptions_own_files_are_read(tmp_path):
    """They have no ~dtype and no ~stamp."""
    vector = np.arange(4, dtype=np.float32).tobytes()
    vdim = np.array([4], np.int32).tobytes()
    store(tmp_path / "theirs", {b"@vdim": vdim, b"COCO_1.jpg": vector, b"cut.jpg": b"123"})
    theirs = Features(tmp_path / "theirs")
    assert theirs.read(["COCO_1.jpg"]).tolist() == [[0, 1, 2, 3]] and theirs.stamp == {}
    with pytest.raises(ValueError, match=r"'cut\.jpg' has 3 bytes"):
        theirs.read(["cut.jpg"])


def test_precision_is_the_devices_or_what_is_asked_for(images, tmp_path, monkeypatch):
    plain = run(images, tmp_path / "plain.lmdb").read(NAMES)
    monkeypatch.setattr("snakecap.device.cpu_has_bfloat16", lambda: True)
    short = run(images, tmp_path / "short.lmdb").read(NAMES)
    asked = run(images, tmp_path / "asked.lmdb", precision="float32")
    np.testing.assert_array_equal(asked.read(NAMES), plain)
    np.testing.assert_allclose(short, plain, rtol=0.05, atol=0.02)
    assert not np.array_equal(short, plain)
