"""The resize stage: right pixels whoever makes them, bad files named, killed runs go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snakecap.config.settings import Resize
from snakecap.formats import decode, pictures
from snakecap.formats import rejected as rejected_tsv
from snakecap.formats.images import Images
from snakecap.provenance.record import recorded
from snakecap.steps import resize as stage
from snakecap.steps.resize import resize

SOURCE = Path(__file__).parents[3] / "src"


def photos(folder: Path, number: int, side: int = 12) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    names = [f"{k:03d}.png" for k in range(number)]
    for name in names:
        Image.fromarray(random.integers(0, 256, (side, side, 3), np.uint8)).save(folder / name)
    return names


def collection(tmp_path: Path, names: list[str]) -> dict[str, Path]:
    """pictures.json of some files, and where the stage writes."""
    records = tuple(pictures.Picture(k, name, "train") for k, name in enumerate(names))
    path = tmp_path / "results" / "pictures.json"
    pictures.write(path, pictures.Collection(tmp_path / "photos", records))
    folder = path.parent
    return {"pictures": path, "images": folder / "images.h5", "rejected": folder / "rejected.tsv"}


def left(folder: Path) -> list[str]:
    """What is in a folder, but for the lock files."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return sorted(str(path.relative_to(folder)) for path in found)


def test_rows_are_the_pictures_in_order(tmp_path):
    names = photos(tmp_path / "photos", 7)[::-1]
    paths = collection(tmp_path, names)
    resize(**paths, settings=Resize(size=8), workers=1)
    images = Images(paths["images"])
    assert list(images.files) == names
    for row, name in enumerate(names):
        expected = decode.load(tmp_path / "photos" / name, 8)
        np.testing.assert_array_equal(images.read([row])[0], expected)
    assert rejected_tsv.read(paths["rejected"]) == []
    assert images.stamp["settings"] == {"size": 8, "mode": "squash", "max_pixels": 200_000_000}
    assert left(tmp_path / "results") == ["images.h5", "pictures.json", "rejected.tsv"]


def test_the_number_of_workers_changes_no_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "CHUNK", 2)
    monkeypatch.setattr(stage, "ALONE", 0)
    names = photos(tmp_path / "photos", 24)
    (tmp_path / "photos" / names[5]).write_bytes(b"bad")
    contents = set()
    for workers in (1, 3):
        paths = collection(tmp_path, names)
        resize(**paths, settings=Resize(size=8, max_rejected=0.5), workers=workers)
        contents.add((paths["images"].read_bytes(), paths["rejected"].read_bytes()))
    assert len(contents) == 1


def test_what_cannot_be_opened_is_rejected_by_the_command_too(tmp_path):
    """It notes the photos' checksums; a pipe would wait for ever, a disk's fault end it."""
    names = photos(tmp_path / "photos", 2)
    (tmp_path / "photos/folder.jpg").mkdir()
    os.mkfifo(tmp_path / "photos/pipe.jpg")
    (tmp_path / "photos/fault.jpg").symlink_to("/proc/self/mem")
    odd = ["folder.jpg", "pipe.jpg", "fault.jpg", "missing.jpg"]
    paths = collection(tmp_path, [*names, *odd])
    recorded(resize)(**paths, settings=Resize(size=8, max_rejected=0.9), workers=1)
    assert list(Images(paths["images"]).files) == names
    found = dict(rejected_tsv.read(paths["rejected"]))
    assert list(found) == odd and "Input/output error" in found["fault.jpg"]


def test_bad_pictures_are_rejected_and_the_others_kept(tmp_path):
    names = photos(tmp_path / "photos", 6)
    folder = tmp_path / "photos"
    (folder / names[0]).write_bytes(b"")
    (folder / names[2]).write_bytes((folder / names[2]).read_bytes()[:200])
    (folder / names[3]).write_text("hello")
    (folder / names[5]).unlink()
    paths = collection(tmp_path, names)
    resize(**paths, settings=Resize(size=8, max_rejected=0.7), workers=1)
    images = Images(paths["images"])
    assert images.files == (names[1], names[4])
    expected = [decode.load(folder / names[k], 8) for k in (1, 4)]
    np.testing.assert_array_equal(images.load(), expected)
    found = rejected_tsv.read(paths["rejected"])
    assert [name for name, _ in found] == [names[k] for k in (0, 2, 3, 5)]
    reasons = [reason for _, reason in found]
    assert reasons[0] == "empty file" and "truncated" in reasons[1]
    assert reasons[2:] == ["not an image of a known format", "missing"]


def test_too_many_bad_pictures_fail_and_say_which(tmp_path):
    names = photos(tmp_path / "photos", 4)
    (tmp_path / "photos" / names[1]).write_bytes(b"")
    paths = collection(tmp_path, names)
    settings = Resize(size=8, max_rejected=0.2)
    with pytest.raises(ValueError, match=r"1 of 4 .*25\.0%.*20\.0%") as caught:
        resize(**paths, settings=settings, workers=1)
    failed = tmp_path / "results" / "rejected.failed.tsv"
    assert str(failed) in str(caught.value) and f"{names[1]}: empty file" in str(caught.value)
    assert rejected_tsv.read(failed) == [(names[1], "empty file")]
    assert not paths["images"].exists() and not paths["rejected"].exists()
    photos(tmp_path / "photos", 4)  # repaired: the next run tries the bad ones again
    resize(**paths, settings=settings, workers=1)
    assert len(Images(paths["images"])) == 4 and not failed.exists()


def test_exactly_the_allowed_share_passes(tmp_path):
    names = photos(tmp_path / "photos", 4)
    (tmp_path / "photos" / names[1]).write_bytes(b"")
    paths = collection(tmp_path, names)
    resize(**paths, settings=Resize(size=8, max_rejected=0.25), workers=1)
    assert len(Images(paths["images"])) == 3


def test_a_wrong_root_is_said_at_once(tmp_path):
    paths = collection(tmp_path, ["a.jpg"])
    with pytest.raises(FileNotFoundError, match=r"photos, the root in .* is not a folder"):
        resize(**paths, workers=1)


def test_no_pictures_make_an_empty_file(tmp_path):
    photos(tmp_path / "photos", 1)
    paths = collection(tmp_path, [])
    resize(**paths, settings=Resize(size=8))
    assert len(Images(paths["images"])) == 0


def broken_off(monkeypatch, photo):
    """Let decoding end at a given photo; the true decoder, and the names it will be given."""
    load, seen = decode.load, []

    def failing(path, *options):
        seen.append(path.name)
        if len(seen) == photo:
            raise KeyboardInterrupt
        return load(path, *options)

    monkeypatch.setattr(decode, "load", failing)
    return load, seen


def test_an_interrupted_run_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "CHUNK", 2)
    monkeypatch.setattr(stage, "SAVE", 1)
    names = photos(tmp_path / "photos", 10)
    paths = collection(tmp_path, names)
    load, seen = broken_off(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        resize(**paths, settings=Resize(size=8), workers=1)
    assert not paths["images"].exists()
    resize(**paths, settings=Resize(size=8), workers=1)
    assert seen == [*names[:5], *names[4:]]  # the finished chunks are not decoded again
    expected = [load(tmp_path / "photos" / name, 8) for name in names]
    np.testing.assert_array_equal(Images(paths["images"]).load(), expected)


def test_a_photo_that_was_replaced_is_decoded_again_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "CHUNK", 2)
    monkeypatch.setattr(stage, "SAVE", 1)
    names = photos(tmp_path / "photos", 8)
    paths = collection(tmp_path, names)
    load, seen = broken_off(monkeypatch, 7)
    with pytest.raises(KeyboardInterrupt):
        resize(**paths, settings=Resize(size=8), workers=1)
    replaced = tmp_path / "photos" / names[3]
    Image.new("RGB", (12, 12), (9, 99, 199)).save(replaced)
    again = tmp_path / "photos" / names[5]
    os.utime(again, (1e9, 1e9))  # the same bytes, for all that is known another photo
    resize(**paths, settings=Resize(size=8), workers=1)
    assert seen == [*names[:7], *names[2:]]
    expected = [load(tmp_path / "photos" / name, 8) for name in names]
    np.testing.assert_array_equal(Images(paths["images"]).load(), expected)


def test_a_chunk_that_changed_twice_is_known_by_its_newest_state(tmp_path):
    journal = tmp_path / "done.txt"
    journal.write_text("0 a\n32 b\n0 c\n64 d")
    assert stage._done(journal) == {0: "c", 32: "b"}


def test_a_line_that_a_full_disk_tore_stops_no_later_run(tmp_path):
    journal = tmp_path / "done.txt"
    journal.write_text("0 a\n32 b" + "64 c\n96 d\n" + "\0\0" + "128 e\n")
    assert stage._done(journal) == {0: "a", 96: "d"}


def test_other_settings_do_not_reuse_an_interrupted_run(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "CHUNK", 1)
    monkeypatch.setattr(stage, "SAVE", 1)
    paths = collection(tmp_path, photos(tmp_path / "photos", 3))
    with monkeypatch.context() as broken:
        broken.setattr(stage.rejected_tsv, "write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            resize(**paths, settings=Resize(size=8), workers=1)
    resize(**paths, settings=Resize(size=8, mode="crop"), workers=1)
    assert Images(paths["images"]).stamp["settings"]["mode"] == "crop"


def test_kill_9_leaves_no_process_and_no_half_output(tmp_path):
    """Kill the main process while its workers decode; then run again."""
    names = photos(tmp_path / "photos", 60)
    random = np.random.default_rng(1).integers(0, 256, (400, 400, 3), np.uint8)
    Image.fromarray(random).save(tmp_path / "photos" / names[0])  # slow enough to be killed
    for name in names[1:]:
        (tmp_path / "photos" / name).write_bytes((tmp_path / "photos" / names[0]).read_bytes())
    paths = collection(tmp_path, names)
    code = f"""
from pathlib import Path
from snakecap.config.settings import Resize
from snakecap.steps import resize as stage
stage.CHUNK, stage.SAVE, stage.ALONE = 4, 1, 0.05
stage.resize(pictures=Path({str(paths["pictures"])!r}), images=Path({str(paths["images"])!r}),
             rejected=Path({str(paths["rejected"])!r}), settings=Resize(size=8), workers=2)
"""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    child = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, start_new_session=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not any((tmp_path / "results").rglob("done.txt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    done = next((tmp_path / "results").rglob("done.txt"))
    while not done.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    child.kill()
    child.wait()
    assert done.read_text() and not paths["images"].exists()
    while (alive := group(child.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive == []
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
    images = Images(paths["images"])
    assert list(images.files) == names
    for row in (0, 30, 59):
        expected = decode.load(tmp_path / "photos" / names[row], 8)
        np.testing.assert_array_equal(images.read([row])[0], expected)


def group(leader: int) -> list[int]:
    """Living processes of a session."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = entry.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == leader and state not in "ZX":
            found.append(int(entry.parent.name))
    return found


def test_a_short_job_starts_no_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "CHUNK", 1)
    monkeypatch.setattr(stage, "ProcessPoolExecutor", None)
    paths = collection(tmp_path, photos(tmp_path / "photos", 9))
    resize(**paths, settings=Resize(size=8), workers=2)
    assert len(Images(paths["images"])) == 9


def test_a_dead_worker_is_explained(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "CHUNK", 1)
    monkeypatch.setattr(stage, "ALONE", 0)
    monkeypatch.setattr(stage, "_fill", die)
    paths = collection(tmp_path, photos(tmp_path / "photos", 8))
    with pytest.raises(RuntimeError, match="fewer workers"):
        resize(**paths, settings=Resize(size=8), workers=2)


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
