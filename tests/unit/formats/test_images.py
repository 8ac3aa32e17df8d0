"""images.h5 and rejected.tsv: what one writes the other reads, and HDF5 agrees."""

import pickle
import threading

import h5py
import numpy as np
import pytest

from snakecap.formats import images as images_h5
from snakecap.formats import rejected
from snakecap.formats.images import Images, Rows

NAMES = ["a.jpg", "b/ü 1.png", "c\udcff.jpg", "d.jpg", "e.jpg"]


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), np.uint8)


@pytest.fixture
def path(tmp_path, pixels):
    path = tmp_path / "images.h5"
    images_h5.create(path, NAMES, 8, "squash", {"code": "abc"})
    writer = Rows(path)
    for row in (3, 0, 4, 1, 2):  # processes finish in any order
        writer.write(row, pixels[row])
    writer.close()
    return path


def test_rows_come_back(path, pixels):
    images = Images(path)
    assert len(images) == 5 and images.size == 8
    assert images.files == tuple(NAMES)
    assert images.stamp == {"code": "abc"}
    np.testing.assert_array_equal(images.load(), pixels)


def test_any_hdf5_reader_sees_the_same(path, pixels):
    with h5py.File(path) as file:
        assert file["images"].dtype == np.uint8 and file["images"].chunks is None
        np.testing.assert_array_equal(file["images"][:], pixels)
        names = [name.decode("utf-8", "surrogateescape") for name in file["files"][:]]
        assert names == NAMES and file.attrs["size"] == 8 and file.attrs["mode"] == "squash"


@pytest.mark.parametrize(
    "rows", [[], [2], [0, 1, 2, 3, 4], [4, 0, 0, 3], [1, 2, 4, 3], range(1, 4)]
)
def test_reading_equals_indexing(path, pixels, rows):
    found = Images(path).read(rows)
    np.testing.assert_array_equal(found, pixels[list(rows)])
    found[:] = 0  # a copy: the caller may write into it
    np.testing.assert_array_equal(Images(path).load(), pixels)


@pytest.mark.parametrize("options", [{"chunks": (2, 3, 8, 8), "compression": "gzip"}, {}])
def test_other_tools_files_are_read(tmp_path, pixels, options):
    """NeuralTalk2's own prepro.py writes `images` alone."""
    path = tmp_path / "cocotalk.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=pixels, **options)
    images = Images(path)
    np.testing.assert_array_equal(images.read([3, 1, 1]), pixels[[3, 1, 1]])
    assert images.stamp == {}
    with pytest.raises(ValueError, match="does not name its pictures"):
        _ = images.files


def test_rows_of_files(path):
    images = Images(path)
    assert images.rows(["d.jpg", "a.jpg"]).tolist() == [3, 0]
    with pytest.raises(ValueError, match=r"no image of 2 pictures, the first 'x.jpg'.*rejected"):
        images.rows(["a.jpg", "x.jpg", "y.jpg"])


@pytest.mark.parametrize("rows", [[5], [-1], [0, 99]])
def test_rows_outside_are_refused(path, rows):
    with pytest.raises(IndexError, match="rows 0 to 4"):
        Images(path).read(rows)


def test_keep_leaves_rows_out(path, pixels, tmp_path):
    images_h5.keep(path, tmp_path / "kept.h5", [0, 2, 3], block=2)
    kept = Images(tmp_path / "kept.h5")
    assert kept.files == (NAMES[0], NAMES[2], NAMES[3]) and kept.stamp == {"code": "abc"}
    np.testing.assert_array_equal(kept.load(), pixels[[0, 2, 3]])


def test_no_pictures_at_all(tmp_path):
    path = tmp_path / "images.h5"
    images_h5.create(path, [], 8, "crop", {})
    assert len(Images(path)) == 0 and Images(path).load().shape == (0, 3, 8, 8)
    assert Images(path).files == ()


def test_it_pickles_and_threads_share_it(path, pixels):
    images = pickle.loads(pickle.dumps(Images(path)))
    wrong = []

    def read():
        for _ in range(50):
            row = np.random.randint(5)
            if not np.array_equal(images.read([row])[0], pixels[row]):
                wrong.append(row)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_bad_files_are_named(tmp_path, path):
    with pytest.raises(FileNotFoundError, match=r"none\.h5 does not exist: run `snakecap resize`"):
        Images(tmp_path / "none.h5")
    text = tmp_path / "text.h5"
    text.write_text("hello")
    with pytest.raises(ValueError, match=r"text\.h5 is not an images\.h5"):
        Images(text)
    with h5py.File(tmp_path / "float.h5", "w") as file:
        file["images"] = np.zeros((1, 3, 8, 8))
    with pytest.raises(ValueError, match="float64"):
        Images(tmp_path / "float.h5")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(ValueError, match="images"):
        Images(tmp_path / "empty.h5")


def test_a_file_cut_short_is_not_read_as_zeros(tmp_path, path):
    images = Images(path)
    with path.open("rb+") as file:
        file.truncate(images.offset + 2 * images.bytes)
    with pytest.raises(ValueError, match="cut short"):
        images.read([0, 1, 2])


def test_rejected_survives_hostile_names(tmp_path):
    rows = [("a.jpg", "empty file"), ("t\tab\nline\\n\r.jpg", "x\ty"), ("ü\udcff.png", "missing")]
    path = tmp_path / "rejected.tsv"
    rejected.write(path, rows)
    assert rejected.read(path) == rows
    assert path.read_bytes().startswith(b"file\treason\n") and path.read_bytes().count(b"\n") == 4
    rejected.write(path, [])
    assert rejected.read(path) == []


@pytest.mark.parametrize(("text", "message"), [("", "first line"), ("file\treason\na\n", ":2: 1")])
def test_another_table_is_refused(tmp_path, text, message):
    path = tmp_path / "rejected.tsv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        rejected.read(path)
