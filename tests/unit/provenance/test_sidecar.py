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


def test_times_are_restored_where_contents_are_the_recorded_ones(tmp_path):
    names = ("copied", "edited", "linked")
    for name in names:
        (tmp_path / name).write_text(name)
        write(tmp_path / name)
    before = [(tmp_path / name).stat().st_mtime_ns for name in names]
    (tmp_path / "edited").write_text("EDITED")
    (tmp_path / "linked").unlink()
    (tmp_path / "linked").symlink_to("copied")
    os.utime(tmp_path / "copied", ns=(1, 1))
    sidecar.restore_times(tmp_path)
    after = [(tmp_path / name).lstat().st_mtime_ns for name in names]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, False]
    os.utime(tmp_path / "copied", ns=(1, 1))
    sidecar.accept_times(tmp_path)  # as after `snakemake --touch`
    sidecar.restore_times(tmp_path)
    assert (tmp_path / "copied").stat().st_mtime_ns == 1


def test_records_of_what_is_gone_are_removed(tmp_path):
    for name in ("there", "gone"):
        (tmp_path / name).write_text(name)
        write(tmp_path / name)
    (tmp_path / "gone").unlink()
    sidecar.remove_orphans(tmp_path)
    assert [path.name for path in tmp_path.glob("*.json")] == ["there.provenance.json"]


def test_photos_with_other_times_are_those_of_a_record_when_their_contents_are(tmp_path):
    photo = tmp_path / "a.jpg"
    photo.write_text("a")
    record = {"inputs": [{"argument": "photos", **sidecar.photos(tmp_path, ["a.jpg"])}]}
    names = ["a.jpg", "not there.jpg"]
    before = sidecar.photos_since(tmp_path, names, record)
    os.utime(photo, ns=(1, 1))
    assert sidecar.photos_since(tmp_path, names, record) == before
    assert sidecar.photos_since(tmp_path, names, None) != before
    photo.write_text("b")
    assert sidecar.photos_since(tmp_path, names, record) != before
    photo.write_text("a")
    assert sidecar.photos_since(tmp_path, names, record) == before
    photo.write_text("ab")
    assert sidecar.photos_since(tmp_path, names, record) != before


@pytest.mark.parametrize("contents", [False, True])
def test_photos_of_a_record_stay_what_snakemake_compared_before_they_were_made(tmp_path, contents):
    """Photos that a job of the same run wrote anew looked otherwise when the run was prepared."""
    (tmp_path / "a.jpg").write_text("new")
    row = {"argument": "photos", **sidecar.photos(tmp_path, ["a.jpg"]), "compared": "old"}
    record = {"inputs": [row]}
    assert sidecar.photos_since(tmp_path, ["a.jpg"], record, contents=contents) == "old"
    (tmp_path / "a.jpg").write_text("wen")
    assert sidecar.photos_since(tmp_path, ["a.jpg"], record, contents=contents) != "old"


def test_checksums_of_large_files_are_kept_from_run_to_run(tmp_path, monkeypatch):
    monkeypatch.setattr(sidecar, "_memory", {})
    monkeypatch.setattr(sidecar, "_kept", [])
    large, small = tmp_path / "large", tmp_path / "small"
    large.write_bytes(b"x" * sidecar.SMALL)
    small.write_bytes(b"x")
    sidecar.remember_in(tmp_path / "kept.json")
    found = sidecar.digest(large), sidecar.digest(small)
    assert list(json.loads((tmp_path / "kept.json").read_text())) == [str(large)]
    monkeypatch.setattr(sidecar, "_memory", {})
    sidecar.remember_in(tmp_path / "kept.json")
    monkeypatch.setattr(sidecar, "file_digest", lambda path: "computed")
    assert (sidecar.digest(large), sidecar.digest(small)) == (found[0], "computed")
    os.utime(large, ns=(1, 1))  # an older file
    assert sidecar.digest(large) == "computed"


def test_photos_that_are_gone_are_not_others(tmp_path):
    """Results copied without their photos stand; an empty folder is another thing."""
    root = tmp_path / "photos"
    root.mkdir()
    (root / "a.jpg").write_bytes(b"a")
    row = {"argument": "photos", **sidecar.photos(root, ["a.jpg"])}
    record = {"inputs": [row]}
    before = sidecar.photos_since(root, ["a.jpg"], record)
    assert before == row["signature"]
    (root / "a.jpg").unlink()
    assert sidecar.photos_since(root, ["a.jpg"], record) != before
    root.rmdir()
    assert sidecar.photos_since(root, ["a.jpg"], record) == before
