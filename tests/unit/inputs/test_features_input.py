"""What a backbone sees: cached features or pixels, augmented in training only (spec I2)."""

import math

import numpy as np
import pytest
import torch
from systems import CPU, TINY

from snakecap.config.data import Geometry
from snakecap.config.parts import Backbone
from snakecap.formats import images as images_h5
from snakecap.formats.features import FLIP, Writer
from snakecap.inputs import held as module
from snakecap.inputs.features import FeaturesInput
from snakecap.inputs.input import Draw

FILES = [f"{number}.jpg" for number in range(50)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def opened(path, keep=(), crop=None, place=CPU, **options):
    backbone = Backbone.model_validate({**TINY, "preprocess": {"crop": crop}})
    given = {"source": "tiny", "backbones": {"tiny": backbone}, "geometry": Geometry(size=10)}
    one = FeaturesInput(place=place, **given, **options)
    one.open(path, keep)
    return one


@pytest.fixture
def pictures(tmp_path):
    """Random pixels, and their file."""
    path = tmp_path / "images.h5"
    images_h5.create(path, FILES[:6], 10, "squash", {})
    values = np.random.default_rng(0).integers(0, 256, (6, 3, 10, 10), np.uint8)
    writer = images_h5.Rows(path)
    for row, value in enumerate(values):
        writer.write(row, value)
    writer.close()
    return torch.from_numpy(values), path


def cached(path, values, files=FILES, mirrored=None):
    writer = Writer(path, values.shape[1:], "float32")
    writer.put(files, values)
    if mirrored is not None:
        writer.put([file + FLIP for file in files], mirrored)
    writer.close({})
    return path


def test_pictures_are_plain_unless_asked(pictures):
    """No mirroring and no crop by default, and never outside of training."""
    values, path = pictures
    files = [FILES[4], FILES[1]]
    plain, both = opened(path), opened(path, crop=8)
    augmented = plain.read(files, Draw(generator(), random_crop=True))  # there is no margin
    unasked = both.read(files, Draw(generator()))
    for inputs in (plain.read(files), augmented, unasked, both.read(files)):
        assert inputs.keys() == {"images"}
        assert torch.equal(inputs["images"], values[[4, 1]])


def test_augmented_pictures_have_each_their_own_crop_and_the_batchs_mirroring(pictures):
    _, path = pictures
    source, files = opened(path, crop=8), FILES[:6]
    flip = torch.tensor([True, False, False, True, True, False])

    def read(seed, part=slice(None)):
        return source.read(files, Draw(generator(seed), flip, part, random_crop=True))

    found = [read(seed) for seed in range(40)]
    offsets = torch.cat([inputs["offset"] for inputs in found])
    assert set(offsets.unique().tolist()) == {0, 1, 2}  # the last one too; the original never
    assert len(offsets[:6].unique(dim=0)) > 1  # the original had one for the whole batch
    assert all(torch.equal(inputs["flip"], flip) for inputs in found)
    again, some = read(0), read(0, slice(1, 4))
    for name, value in found[0].items():
        assert torch.equal(again[name], value)
        assert torch.equal(some[name], value[1:4]), "a part is what the whole gives it"


@pytest.mark.parametrize("shape", [(50, 2), (50, 4, 2)])
def test_cached_features_are_mirrored_where_the_batch_is_in_training_only(tmp_path, shape):
    path = cached(tmp_path / "f.lmdb", np.zeros(shape), mirrored=np.ones(shape))
    source = opened(path, FILES, output="grid", flip=True)
    files = FILES[::-1]
    flip = torch.rand(50, generator=generator()) < 0.5
    assert bool((source.read(files)["grid"] == 0).all())
    seen = source.read(files, Draw(generator(), flip))["grid"]
    assert torch.equal(seen.flatten(1).amin(1) == 1, flip)
    assert torch.equal(seen.flatten(1).amax(1) == 1, flip)
    some = source.read(files, Draw(generator(), flip, slice(1, 30)))["grid"]
    assert torch.equal(some, seen[1:30])
    assert bool((source.read(files, Draw(generator()))["grid"] == 0).all())


def test_mirrored_features_that_were_not_cached_are_missed(tmp_path):
    source = opened(cached(tmp_path / "f.lmdb", np.zeros((50, 2))), FILES)
    with pytest.raises(ValueError, match=r"no features of '0\.jpg@flip'"):
        source.read(FILES, Draw(generator(), torch.ones(50, dtype=torch.bool)))


@pytest.mark.parametrize("output", ["pooled", "grid"])
@pytest.mark.parametrize("flip", [False, True])
def test_features_beyond_memory_are_read_batch_by_batch_and_are_the_same(
    tmp_path, monkeypatch, caplog, flip, output
):
    caplog.set_level("INFO", logger="snakecap")
    monkeypatch.setattr(module, "ROWS", 2)
    shape = (5, 3) if output == "pooled" else (5, 4, 3)
    values = np.random.default_rng(0).random((2, *shape), np.float32)
    path, files = tmp_path / "some.lmdb", FILES[:5]
    cached(path, values[0], files, values[1] if flip else None)
    size = 4 * math.prod(shape) * (1 + flip)
    order, mirrored = [3, 0, 4, 0], torch.tensor([True, False, False, True])
    for room, held in ((size, True), (size - 1, False)):
        monkeypatch.setattr(module.devices, "room", lambda place, room=room: room)
        source = opened(path, files, output=output, flip=flip)
        assert (source.held.kept is not None) == held
        text = "some.lmdb: 0.0 GB of features are read batch by"
        assert (text in caplog.text) == (not held)
        names = [files[row] for row in order]
        np.testing.assert_array_equal(source.read(names)[output], values[0][order])
        draw = Draw(generator(), mirrored if flip else None, slice(1, 4))
        turned = (mirrored & flip).long().tolist()
        wanted = [values[side, row] for side, row in zip(turned, order, strict=True)]
        np.testing.assert_array_equal(source.read(names, draw)[output], wanted[1:])


def test_pictures_that_were_not_kept_are_read_all_the_same(tmp_path):
    """A split that is captioned with the features that training kept another split of."""
    values = np.random.default_rng(0).random((50, 2), np.float32)
    source = opened(cached(tmp_path / "f.lmdb", values), FILES[:3])
    np.testing.assert_array_equal(source.read([FILES[9], FILES[1]])["pooled"], values[[9, 1]])


@pytest.mark.parametrize("keep", [(), FILES])
def test_features_go_where_they_are_wanted(tmp_path, keep):
    path = cached(tmp_path / "f.lmdb", np.zeros((50, 2)))
    source = opened(path, keep[:0], place=torch.device("meta"))
    assert source.read(FILES[:2])["pooled"].device.type == "meta"
    assert opened(path, keep).read(FILES[:2])["pooled"].device == CPU


def test_which_pictures_there_are(pictures, tmp_path):
    _, path = pictures
    for source in (opened(path), opened(cached(tmp_path / "f.lmdb", np.zeros((50, 2))))):
        assert source.has(FILES[0]) and not source.has("other.jpg")
    with pytest.raises(ValueError, match=r"other\.jpg"):
        opened(path, ["other.jpg"])
