"""Stage `annotations`: settings to ``pictures.json``, and the way back to NeuralTalk2's JSON."""

import json
import logging
from pathlib import Path

import pytest

from snakecap.config.settings import Dataset
from snakecap.formats import pictures as records
from snakecap.steps.annotations import annotations
from snakecap.steps.raw import raw


@pytest.fixture
def row(tmp_path: Path) -> Dataset:
    entries = [{"file_path": f"{i}.jpg", "captions": [f"naïve caption {i}"]} for i in range(4)]
    (tmp_path / "set").mkdir()
    (tmp_path / "set/coco_raw.json").write_text(json.dumps(entries))
    options = {"num_val": 1, "num_test": 1}
    return Dataset(reader="neuraltalk2", root=str(tmp_path / "set"), options=options)


def test_it_writes_what_the_reader_read(
    row: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "results/pictures.json"
    with caplog.at_level(logging.INFO, "snakecap"):
        annotations(pictures=path, folder=tmp_path, settings=row)
    collection = records.read(path)
    assert collection.root == tmp_path / "set"
    assert sorted(p.split for p in collection.pictures) == ["test", "train", "train", "val"]
    assert "naïve" in path.read_text(encoding="utf-8")
    assert "4 pictures (2 train, 1 val, 1 test) with 4 captions" in caplog.text


def test_downloads_are_read_where_they_are(row: Dataset, tmp_path: Path) -> None:
    path, manifest = tmp_path / "pictures.json", tmp_path / "manifest.json"
    archive = tmp_path / "set/archive.zip"
    archive.write_bytes(b"")
    manifest.write_text(json.dumps({"files": [{"path": str(archive)}]}))
    row = row.model_copy(update={"root": None})
    annotations(pictures=path, folder=tmp_path / "set", settings=row, manifest=manifest)
    assert records.read(path).root == tmp_path / "set"
    archive.unlink()
    with pytest.raises(FileNotFoundError, match=r"archive\.zip was downloaded and is gone: delete"):
        annotations(pictures=path, folder=tmp_path / "set", settings=row, manifest=manifest)


def test_generated_files_go_into_the_folder(tmp_path: Path) -> None:
    options = {"train": 2, "val": 1, "test": 1, "size": 32}
    annotations(
        pictures=tmp_path / "pictures.json",
        folder=tmp_path / "downloads",
        settings=Dataset(reader="shapes", options=options),
    )
    collection = records.read(tmp_path / "pictures.json")
    assert collection.root.parent == tmp_path / "downloads"
    assert all((collection.root / p.file).is_file() for p in collection.pictures)


def test_options_arrive_as_the_reader_declares_them(tmp_path: Path) -> None:
    """From YAML or a command line "2" is text; the reader gets a number."""
    settings = Dataset(reader="shapes", options={"train": "2", "val": 1, "test": 1, "size": 32})
    annotations(pictures=tmp_path / "p.json", folder=tmp_path, settings=settings)
    assert len(records.read(tmp_path / "p.json").split("train")) == 2


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"id": 1.5}, r"coco_raw\.json .* 1\.id: an id is a whole number or text \(in 1\.5\)"),
        ({"id": True}, r"coco_raw\.json .* 1\.id: an id is a whole number or text \(in True\)"),
        ({"id": 2}, "neuraltalk2 in .*set: two pictures have the id '2'"),
        (
            {"file_path": ""},
            r"neuraltalk2 in .*set: a picture is wrong: entry \d\.file: a file has a name",
        ),
    ],
)
def test_records_that_later_stages_would_refuse(
    row: Dataset, tmp_path: Path, entry: dict[str, object], message: str
) -> None:
    path = tmp_path / "set/coco_raw.json"
    entries = json.loads(path.read_text())
    for number, one in enumerate(entries, start=1):
        one["id"] = number
    entries[0] |= entry
    path.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match=message):
        annotations(pictures=tmp_path / "p.json", folder=tmp_path, settings=row)


def test_a_data_set_without_pictures(row: Dataset, tmp_path: Path) -> None:
    (tmp_path / "set/coco_raw.json").write_text("[]")
    none = row.model_copy(update={"options": {"num_val": 0, "num_test": 0}})
    with pytest.raises(ValueError, match=r"neuraltalk2 in .*set: there are no pictures"):
        annotations(pictures=tmp_path / "p.json", folder=tmp_path, settings=none)


def test_folders_of_images_are_needed_where_pixels_are(row: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "set/coco_raw.json"
    rows = json.loads(path.read_text())
    path.write_text(
        json.dumps([{**one, "file_path": f"gone/{at}.jpg"} for at, one in enumerate(rows)])
    )
    given = {"pictures": tmp_path / "p.json", "folder": tmp_path}
    message = r"set/gone does not exist: set `root` .* `images` .* `pixels: false`"
    with pytest.raises(FileNotFoundError, match=message):
        annotations(settings=row, **given)
    annotations(settings=row.model_copy(update={"pixels": False}), **given)
    assert len(records.read(tmp_path / "p.json").pictures) == len(rows)


def test_mistakes_name_the_setting(row: Dataset, tmp_path: Path) -> None:
    def run(**changes: object) -> None:
        settings = row.model_copy(update=changes)
        annotations(pictures=tmp_path / "pictures.json", folder=tmp_path, settings=settings)

    with pytest.raises(FileNotFoundError, match="nowhere is not a folder: set `root`"):
        run(root=str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="num_vall"):
        run(options={"num_vall": 1})
    with pytest.raises(ValueError, match=r"unknown dataset 'koko'; known: coco, "):
        run(reader="koko")
    assert not (tmp_path / "pictures.json").exists()


def test_back_to_neuraltalk2s_json(row: Dataset, tmp_path: Path) -> None:
    annotations(pictures=tmp_path / "pictures.json", folder=tmp_path, settings=row)
    raw(pictures=tmp_path / "pictures.json", output=tmp_path / "raw.json")
    rows = json.loads((tmp_path / "raw.json").read_text(encoding="utf-8"))
    split = {p.id: p.split for p in records.read(tmp_path / "pictures.json").pictures}
    assert [split[entry["id"]] for entry in rows] == ["val", "train", "train", "test"]
    original = json.loads((tmp_path / "set/coco_raw.json").read_text())
    assert {(e["file_path"], *e["captions"]) for e in rows} == {
        (e["file_path"], *e["captions"]) for e in original
    }
