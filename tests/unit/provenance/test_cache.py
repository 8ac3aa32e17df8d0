"""The shared folder: one computes, the others link; whoever they are and whatever happens."""

import functools
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from PIL import Image

from snakecap.config.settings import Resize
from snakecap.formats import pictures as records
from snakecap.formats.images import Images
from snakecap.formats.pictures import Collection, Picture
from snakecap.provenance import cache, record, sidecar
from snakecap.provenance import code as provenance
from snakecap.steps.resize import resize

CODE = f"snakecap.steps.resize={provenance.digest('snakecap.steps.resize')}"
RULE = {"code": CODE, "lock": provenance.lock_digest()}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The shared folder; open to all, as on a cluster."""
    place = tmp_path / "shared"
    place.mkdir()
    place.chmod(0o2777)
    monkeypatch.setenv(cache.VARIABLE, str(place))
    return place


def checkout(path, colours=("red", "blue"), root="photos"):
    """A working copy with photos of its own."""
    (path / root).mkdir(parents=True)
    for at, colour in enumerate(colours):
        Image.new("RGB", (20, 20), colour).save(path / root / f"{at}.png")
    rows = tuple(Picture(id=at, file=f"{at}.png", split="train") for at in range(len(colours)))
    records.write(path / "pictures.json", Collection(path / root, rows), code="")
    return path


def run(path, rule=RULE, size=16, make=resize, *, shared=True):
    """One job of a working copy; what its record says of the shared folder."""
    record.recorded(make, rule, shared=shared)(
        pictures=path / "pictures.json",
        images=path / "images.h5",
        rejected=path / "rejected.tsv",
        settings=Resize(size=size),
        workers=1,
    )
    return sidecar.read(path / "images.h5")["shared"]


def entries(folder):
    return [path.parent for path in folder.glob("resize/*/entry.json")]


def test_the_second_working_copy_links_what_the_first_made(tmp_path, folder):
    one = checkout(tmp_path / "one")
    two = checkout(tmp_path / "two", root="elsewhere")  # the same photos at another place
    assert run(one) == run(two) == str(entries(folder)[0])
    for name in ("images.h5", "rejected.tsv"):
        assert (one / name).resolve() == (two / name).resolve()
        assert folder in (two / name).resolve().parents
    first, second = (sidecar.read(path / "images.h5") for path in (one, two))
    assert first["started"] == second["started"] and first["sha256"] == second["sha256"]
    assert {row["argument"]: row["path"] for row in second["inputs"]} == {
        "pictures": str(two / "pictures.json"),
        "photos": str(two / "elsewhere"),
    }
    assert Images(two / "images.h5").load()[0, 0].min() == 255  # red


@pytest.mark.parametrize("change", ["a pixel", "a record", "settings", "code"])
def test_what_changes_the_result_is_another_entry(tmp_path, folder, change):
    run(checkout(tmp_path / "one"))
    two = checkout(tmp_path / "two", ("red", "green" if change == "a pixel" else "blue"))
    if change == "a record":  # as by hand: same code, same settings
        text = (two / "pictures.json").read_text()
        (two / "pictures.json").write_text(text.replace('"train"', '"test"', 1))
    code = {**RULE, "code": "snakecap.steps.resize=0123"} if change == "code" else RULE
    run(two, code, size=8 if change == "settings" else 16)
    assert len(entries(folder)) == 2


def test_nothing_is_shared_without_a_folder_or_outside_of_the_workflow(
    tmp_path, folder, monkeypatch
):
    assert run(checkout(tmp_path / "one"), None, shared=False) is None
    monkeypatch.delenv(cache.VARIABLE)
    assert run(checkout(tmp_path / "two")) is None
    assert not entries(folder) and not (tmp_path / "two/images.h5").is_symlink()


def test_the_setting_names_the_folder_for_all_jobs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache.use(None)
    assert os.environ[cache.VARIABLE] == str(tmp_path / "shared")
    cache.use("other")
    assert cache.folder_for("resize") == tmp_path / "other/resize"


def test_entries_cannot_be_written_through_a_link(tmp_path, folder):
    run(checkout(tmp_path / "one"))
    for path in entries(folder)[0].iterdir():
        assert not stat.S_IMODE(path.stat().st_mode) & 0o222
    assert stat.S_IMODE(entries(folder)[0].stat().st_mode) == 0o2777


def test_a_new_result_replaces_the_link_and_not_the_entry(tmp_path, folder):
    one = checkout(tmp_path / "one")
    run(one)
    kept = (entries(folder)[0] / "images.h5").read_bytes()
    run(one, size=8)
    assert Images(one / "images.h5").size == 8
    first = next(path for path in entries(folder) if Images(path / "images.h5").size == 16)
    assert (first / "images.h5").read_bytes() == kept


def test_a_damaged_entry_is_made_anew(tmp_path, folder):
    run(checkout(tmp_path / "one"))
    place = entries(folder)[0] / "images.h5"
    place.chmod(0o644)
    place.write_bytes(place.read_bytes()[:-5])
    two = checkout(tmp_path / "two")
    run(two)
    assert (two / "images.h5").resolve() == place
    assert len(Images(two / "images.h5").load()) == 2


def test_an_output_on_another_disk_is_copied(tmp_path, folder, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    one = checkout(tmp_path / "one")
    run(one)
    assert (one / "images.h5").resolve().parent == entries(folder)[0]
    assert len(Images(one / "images.h5").load()) == 2


def test_a_failed_stage_leaves_no_entry_and_frees_the_lock(tmp_path, folder):
    one = checkout(tmp_path / "one")
    (one / "photos/1.png").write_text("no picture")
    for _ in range(2):
        with pytest.raises(ValueError, match="unreadable"):
            run(one)
    assert not entries(folder) and not list(folder.rglob("*.tmp"))


# Several processes.

SLOW = """
import functools, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_cache
from snakecap.steps.resize import resize as real

@functools.wraps(real)
def resize(**given):
    with open({journal!r}, "a") as file:
        file.write("made\\n")
    time.sleep({seconds})
    real(**given)

test_cache.run(Path({path!r}), make=resize)
"""


def start(path, journal, seconds=1.0):
    tests = str(Path(__file__).parent)
    code = SLOW.format(tests=tests, path=str(path), journal=str(journal), seconds=seconds)
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def test_of_two_at_once_one_computes_and_the_other_waits(tmp_path, folder):
    journal = tmp_path / "journal"
    paths = [checkout(tmp_path / name) for name in ("one", "two")]
    jobs = [start(path, journal) for path in paths]
    for job in jobs:
        error = job.communicate()[1]
        assert job.returncode == 0, error
    assert journal.read_text() == "made\n"
    assert (paths[0] / "images.h5").resolve() == (paths[1] / "images.h5").resolve()


def test_a_killed_job_leaves_nothing_in_the_way(tmp_path, folder):
    journal = tmp_path / "journal"
    first = start(checkout(tmp_path / "one"), journal, seconds=600)
    until(journal.exists)
    second = start(checkout(tmp_path / "two"), journal, seconds=0)
    time.sleep(0.5)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    error = second.communicate()[1]
    assert second.returncode == 0, error
    assert journal.read_text() == "made\n" * 2 and len(entries(folder)) == 1


def test_without_locks_the_first_to_finish_wins(tmp_path, folder):
    """As on a disk that has none: both compute, and the second takes the first's entry."""

    @functools.wraps(resize)
    def overtaken(**values):
        others = checkout(tmp_path / "other")
        place = next(folder.glob("resize/*.lock"))
        place.rename(place.with_suffix(".kept"))
        run(others)
        resize(**values)

    one = checkout(tmp_path / "one")
    run(one, make=overtaken)
    assert (one / "images.h5").resolve() == (tmp_path / "other/images.h5").resolve()
    assert len(entries(folder)) == 1 and not list(folder.rglob("*.tmp"))


# Another user.


def as_nobody(path, folder):
    """Run a working copy's job as a user who may only read what others made."""
    shutil.chown(path, "nobody")
    for place in path.rglob("*"):
        shutil.chown(place, "nobody")
    reader = os.fork()
    if reader == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            run(path)
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_another_user_reads_entries_and_computes_what_is_missing(tmp_path, folder):
    for place in tmp_path.parents:
        if place.is_relative_to(tempfile.gettempdir()) and place != Path(tempfile.gettempdir()):
            place.chmod(0o755)
    tmp_path.chmod(0o755)
    run(checkout(tmp_path / "one"))
    folder.chmod(0o755)
    (folder / "resize").chmod(0o755)
    two, three = checkout(tmp_path / "two"), checkout(tmp_path / "three", ("green",))
    assert as_nobody(two, folder) == 0
    assert (two / "images.h5").resolve().parent == entries(folder)[0]
    assert as_nobody(three, folder) == 0
    assert not (three / "images.h5").is_symlink() and len(entries(folder)) == 1
    assert json.loads(sidecar.path_of(three / "images.h5").read_text())["shared"] is None


# Photos are inputs too.


def test_replaced_photos_are_named(tmp_path):
    from snakecap.provenance import staleness

    one = checkout(tmp_path / "one")
    run(one)
    images, photo = one / "images.h5", one / "photos/0.png"
    assert staleness.problems(images) == []
    os.utime(photo, ns=(1, 1))  # a copy has other dates
    assert staleness.problems(images) == []
    Image.new("RGB", (20, 20), "white").save(photo)
    assert staleness.problems(images) == [(images, f"made before photos in {photo.parent} changed")]
