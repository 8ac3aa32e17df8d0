"""Others' features, byte by byte, found by name or number; and what is refused."""

import pickle
import struct

import h5py
import lmdb
import numpy as np
import pytest

from snakecap.formats import features as own
from snakecap.formats.vectors import opened

VALUES = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
FILES = ["0.jpg", "1.jpg", "2.jpg"]


def picsom(path, values, *, magic=b"PSBD", kind=1, width=None, record=None, header=64):
    """As picsom/bin_data.py says, field by field."""
    fields = struct.pack("<4sfQQQQQQQ", magic, 1.0, header, record or values[0].nbytes,
                         width or values.shape[1], kind, 0, 0, 0)  # fmt: skip
    path.write_bytes(fields + b"\0" * (header - 64) + values.tobytes())
    return path


def npy(path, values):
    np.save(path, values)
    return path


def h5(path, values, **more):
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=values, **more)
    return path


def store(path, rows, vdim=None):
    environment = lmdb.open(str(path), subdir=False)
    with environment, environment.begin(write=True) as transaction:
        for key, value in rows.items():
            transaction.put(key.encode(), np.ascontiguousarray(value).tobytes())
        if vdim is not None:
            transaction.put(b"@vdim", np.array(vdim, np.int32).tobytes())
    return path


def by_file(path, values):
    return store(path, dict(zip(FILES, values, strict=True)), values.shape[1:])


WRITERS = {"bin": picsom, "npy": npy, "h5": h5, "lmdb": by_file}


@pytest.mark.parametrize("ending", WRITERS)
def test_three_vectors_come_back(tmp_path, ending):
    """Spec D8."""
    found = opened(WRITERS[ending](tmp_path / f"x.{ending}", VALUES))
    assert found.vdim == (5,)
    np.testing.assert_array_equal(found.read(["2.jpg", "a/0.jpg", "2.jpg"]), VALUES[[2, 0, 2]])
    assert all(file in found for file in FILES) and "3.jpg" not in found
    found.check(FILES)
    with pytest.raises(ValueError, match=rf"x\.{ending} lacks 2 of 3 pictures: 3\.jpg, other\.jpg"):
        found.check(["0.jpg", "3.jpg", "other.jpg"])
    with pytest.raises(ValueError, match=r"lacks 1 of 2 pictures: 3\.jpg"):
        found.read(["0.jpg", "3.jpg"])


@pytest.mark.parametrize("more", [{}, {"chunks": (1, 5)}, {"compression": "gzip"}])
def test_hdf5_however_it_is_stored(tmp_path, more):
    found = opened(h5(tmp_path / "x.h5", VALUES, **more))
    np.testing.assert_array_equal(found.read(FILES[::-1]), VALUES[::-1])


def test_our_own_cache_is_read_by_the_whole_file(tmp_path):
    writer = own.Writer(tmp_path / "x.lmdb", (5,), "float16")
    writer.put(["a/0.jpg", "b/0.jpg"], VALUES[:2])
    writer.close({})
    found = opened(tmp_path / "x.lmdb").read(["b/0.jpg", "a/0.jpg"])
    np.testing.assert_array_equal(found, VALUES[[1, 0]].astype(np.float16))


def test_lmdb_by_id_and_without_a_shape(tmp_path):
    """MSR-VTT's and ImageCaptioning.pytorch's keys are the numbers alone."""
    found = opened(store(tmp_path / "x.lmdb", {"42": VALUES[1], "7": VALUES[2]}))
    files = ["val2014/COCO_val2014_000000000042.jpg", "0007:kf1.jpeg"]
    np.testing.assert_array_equal(found.read(files), VALUES[1:])
    assert "x" * 600 + ".jpg" not in found


@pytest.mark.parametrize(
    ("file", "row"),
    [("0001:kf1.jpeg", 1), ("2:9.jpeg", 2), ("video1", 1), ("COCO_val2014_000000000002.jpg", 2)],
)
def test_a_row_goes_by_the_number_in_a_name(tmp_path, file, row):
    found = opened(npy(tmp_path / "x.npy", VALUES))
    np.testing.assert_array_equal(found.read([file]), VALUES[[row]])


@pytest.mark.parametrize(
    "text", ["#0 <c> fn=[c.jpg]\n#1 <a>\n\n#2 <b>\n", "c\na\nb\n", "c\na.jpg\nb"]
)
def test_a_row_goes_by_its_label(tmp_path, text):
    labels = tmp_path / "labels.txt"
    labels.write_text(text)
    found = opened(picsom(tmp_path / "x.bin", VALUES), labels=str(labels))
    np.testing.assert_array_equal(found.read(["dir/a.jpg", "b", "c"]), VALUES[[1, 2, 0]])
    assert "0.jpg" not in found


def test_two_pictures_of_one_row_or_key_are_no_accident(tmp_path):
    """train/0.jpg and val/0.jpg, whose numbers are the same."""
    files = ["train/0.jpg", "train/1.jpg", "val/0.jpg"]
    for path in (npy(tmp_path / "x.npy", VALUES), by_file(tmp_path / "x.lmdb", VALUES)):
        with pytest.raises(
            ValueError, match=r"x\.\w+: train/0\.jpg and val/0\.jpg would both have"
        ):
            opened(path).check(files)
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(files))
    found = opened(tmp_path / "x.npy", labels=str(labels))
    found.check(files)
    np.testing.assert_array_equal(found.read(files), VALUES)
    opened(npy(tmp_path / "x-mean.npy", VALUES)).check(files)


def test_a_missing_vector_falls_through_to_the_alias(tmp_path):
    """Spec D8: of an item's indices the first whose vector does not begin with NaN."""
    values = VALUES.copy()
    values[:2, 0] = np.nan
    labels, aliases = tmp_path / "labels.txt", tmp_path / "map"
    labels.write_text("#0 <a>\n#1 <b>\n#2 <c>\n")
    aliases.write_text("a b c\n")
    path = picsom(tmp_path / "x.bin", values)
    found = opened(path, labels=str(labels), aliases=str(aliases))
    np.testing.assert_array_equal(found.read(["a", "c"]), values[[2, 2]])
    assert "b" not in found
    assert "a" not in opened(path, labels=str(labels))


def test_a_list_of_files_puts_their_vectors_side_by_side(tmp_path):
    """Spec D8; any formats, paths beside the list."""
    picsom(tmp_path / "a.bin", VALUES)
    picsom(tmp_path / "b.bin", 2 * VALUES[:, :2])
    npy(tmp_path / "c.npy", 3 * VALUES[:2])
    path = tmp_path / "all.txt"
    path.write_text("# mine\na.bin\n\n  b.bin\n")
    found = opened(path)
    assert found.vdim == (7,)
    np.testing.assert_array_equal(found.read(FILES), np.concatenate([VALUES, 2 * VALUES[:, :2]], 1))
    path.write_text("a.bin\nc.npy\n")
    assert opened(path).vdim == (10,) and "2.jpg" not in opened(path) and "1.jpg" in opened(path)


@pytest.mark.parametrize("ending", ["npy", "h5", "lmdb"])
def test_grids_and_feature_maps_are_cells(tmp_path, ending):
    maps = np.random.default_rng(0).normal(size=(3, 4, 2, 3)).astype(np.float32)  # C, h, w
    found = opened(WRITERS[ending](tmp_path / f"x.{ending}", maps), output="grid")
    assert found.vdim == (6, 4)
    np.testing.assert_array_equal(found.read(["1.jpg"])[0, 4], maps[1, :, 1, 1])
    cells = maps.reshape(3, 4, 6).swapaxes(1, 2)
    same = opened(WRITERS[ending](tmp_path / f"y.{ending}", cells), output="grid")
    np.testing.assert_array_equal(found.read(FILES), same.read(FILES))
    with pytest.raises(ValueError, match=r"\(6, 4\) for a picture, which is no pooled"):
        opened(tmp_path / f"x.{ending}", output="pooled")


def test_a_mean_stands_for_every_picture(tmp_path, caplog):
    found = opened(npy(tmp_path / "x-mean.npy", VALUES))
    np.testing.assert_array_equal(found.read(["any.jpg", "2.jpg"]), VALUES[[0, 0]])
    assert "one vector for all pictures" in caplog.text


def test_whole_numbers_and_a_longer_header(tmp_path):
    values = np.arange(6, dtype=np.uint64).reshape(3, 2)
    found = opened(picsom(tmp_path / "x.bin", values, kind=9, header=128))
    assert found.read(FILES).tolist() == values.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"magic": b"PSBX"}, r"x\.bin cannot be read as vectors: .*begin with PSBD"),
        ({"kind": 5}, "header is wrong"),
        ({"width": 6}, "header is wrong: 20 bytes for 6 numbers"),
        ({"record": 16, "width": 4}, r"x\.bin.*cut short"),
    ],
)
def test_picsom_files_that_are_something_else(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        opened(picsom(tmp_path / "x.bin", VALUES, **change))


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("kept", [0, 3, 70, -1])
def test_files_that_are_cut_short_are_refused_and_named(tmp_path, ending, kept):
    path = WRITERS[ending](tmp_path / f"x.{ending}", VALUES)
    content = path.read_bytes()
    path.write_bytes(content[:kept])
    with pytest.raises(ValueError, match=rf"x\.{ending}"):
        opened(path).read(FILES)


class Boom:
    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


def test_python_objects_are_refused_and_never_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[Boom()]], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"x\.npy.*Python objects"):
        opened(tmp_path / "x.npy")
    (tmp_path / "y.npy").write_bytes(pickle.dumps([1]))
    with pytest.raises(ValueError, match=r"y\.npy"):
        opened(tmp_path / "y.npy")


@pytest.mark.parametrize(
    "values",
    [np.zeros(3), np.array([["a"]]), np.zeros((0, 5)), np.zeros((5, 0)), np.zeros([1] * 5)],
)
def test_arrays_that_are_no_vectors(tmp_path, values):
    with pytest.raises(ValueError, match=r"not vectors|not arrays"):
        opened(npy(tmp_path / "x.npy", values))


def test_numbers_that_are_not_finite_name_the_picture(tmp_path):
    values = VALUES.copy()
    values[1, 3] = np.inf
    with pytest.raises(ValueError, match=r"x\.npy: 1\.jpg has NaN or infinity"):
        opened(npy(tmp_path / "x.npy", values)).read(FILES)


def test_text_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "names").write_bytes(b"\xe9t\xe9.jpg\n")
    with pytest.raises(ValueError, match="names is not UTF-8"):
        opened(npy(tmp_path / "x.npy", VALUES), labels=str(tmp_path / "names"))


def test_what_is_not_there_or_not_known(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        opened(tmp_path / "x.npy")
    npy(tmp_path / "x.npy", VALUES)
    with pytest.raises(FileNotFoundError, match=r"labels\.txt"):
        opened(tmp_path / "x.npy", labels=str(tmp_path / "labels.txt"))
    (tmp_path / "x.pkl").write_text("")
    with pytest.raises(ValueError, match=r"x\.pkl.*\.lmdb, \.mdb, \.txt, \.npy, \.h5, \.bin"):
        opened(tmp_path / "x.pkl")
    (tmp_path / "x.txt").write_text("none.bin\n")
    with pytest.raises(ValueError, match=r"none\.bin"):
        opened(tmp_path / "x.txt")
    (tmp_path / "x.txt").write_text("# nothing\n")
    with pytest.raises(ValueError, match=r"x\.txt lists none"):
        opened(tmp_path / "x.txt")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["other"] = VALUES
    with pytest.raises(ValueError, match=r"x\.h5.*no dataset `data`"):
        opened(tmp_path / "x.h5")
