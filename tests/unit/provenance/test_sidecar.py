"""Records beside results: checksums that are taken once, and never believed wrongly."""

import json
import os

import pytest

from snakecap.provenance import sidecar
from snakecap.provenance.code import file_digest


def write(path, **facts):
    sidecar.write(path, {"step": "made", "inputs": [], **facts})


def test_a_record_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "result.tsv"
    path.write_text("one\ttwo\n")
    write(path, settings={"width": 3})
    record = sidecar.read(path)
    assert record["sha256"] == file_digest(path)
    assert (record["file"], record["size"]) == ("result.tsv", 8)
    assert record["settings"] == {"width": 3}
    sidecar.forget(path)
    assert sidecar.read(path) is None
    sidecar.forget(path)  # there is none any more


def test_a_checksum_is_believed_only_of_the_recorded_size_and_date(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("first")
    write(path, sha256="f" * 64)  # known to be wrong: it shows where an answer comes from
    assert sidecar.digest(path) == "f" * 64
    before = path.stat()
    path.write_text("other")  # of the same size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert sidecar.digest(path) == file_digest(path)
    path.write_text("longer")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert sidecar.digest(path) == file_digest(path)


@pytest.mark.parametrize("text", ["[]", "{}", "{", '{"sha256": 1}', "null"])
def test_a_damaged_record_is_named_and_checksums_do_without(tmp_path, text):
    path = tmp_path / "result.json"
    path.write_text("{}")
    sidecar.path_of(path).write_text(text)
    with pytest.raises(ValueError, match=r"result\.json\.provenance\.json"):
        sidecar.read(path)
    assert sidecar.digest(path) == file_digest(path)


def test_paths_move_with_the_results_and_whole_ones_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from pathlib import Path

    folder, source = Path("results/a/model"), Path("results/a/pictures.json")
    text = sidecar.relative(source, folder)
    assert sidecar.resolve(text, folder) == source
    assert sidecar.resolve(text, Path("/else/a/model")) == Path("/else/a/pictures.json")
    whole = tmp_path / "weights.pth"
    assert sidecar.resolve(sidecar.relative(whole, folder), folder) == whole


def test_photos_are_told_apart_by_name_and_content_not_by_date(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder / "sub").mkdir(parents=True)
        for name in ("a.jpg", "sub/b.jpg"):
            (tmp_path / folder / name).write_text(name)
    names = ["sub/b.jpg", "a.jpg", "gone.jpg"]
    os.utime(tmp_path / "two/a.jpg", ns=(1, 1))
    one, two = (sidecar.photos(tmp_path / folder, names) for folder in ("one", "two"))
    assert one["files"] == two["files"] == 2
    assert one["sha256"] == two["sha256"] and one["signature"] != two["signature"]
    (tmp_path / "two/a.jpg").write_text("A.JPG")
    assert sidecar.photos(tmp_path / "two", names)["sha256"] != one["sha256"]
    (tmp_path / "one/a.jpg").rename(tmp_path / "one/gone.jpg")
    assert sidecar.photos(tmp_path / "one", names)["sha256"] != one["sha256"]


def test_photos_of_a_known_signature_are_not_read_again(tmp_path):
    (tmp_path / "a.jpg").write_text("a")
    state = sidecar.photos(tmp_path, ["a.jpg"])
    known = [{**state, "sha256": "known"}]
    assert sidecar.photos(tmp_path, ["a.jpg"], known)["sha256"] == "known"
    (tmp_path / "a.jpg").write_text("another")
    assert sidecar.photos(tmp_path, ["a.jpg"], known)["sha256"] not in ("known", state["sha256"])


def test_a_record_is_plain_json(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("")
    write(path)
    assert json.loads((tmp_path / "a.csv.provenance.json").read_text())["step"] == "made"
