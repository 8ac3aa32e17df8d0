"""Outputs of one process at a time: locks, folders to resume from, and nothing made twice."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest

from snakecap.formats import atomic
from snakecap.provenance import code as provenance
from snakecap.provenance import outputs


@pytest.fixture
def child(tmp_path):
    """Runs a script in another process, which prints a line when it is where the test wants it."""
    started = []

    def start(code, wanted="held"):
        environment = {**os.environ, "PYTHONPATH": str(Path(provenance.__file__).parents[2])}
        environment.pop("SNAKECAP_CODE", None)
        head = "import sys, time\nfrom pathlib import Path\nfrom snakecap import log\n"
        head += "from snakecap.provenance import outputs\n"
        process = subprocess.Popen(
            [sys.executable, "-c", head + "log.setup()\n" + textwrap.dedent(code)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            text=True,
            env=environment,
        )
        started.append(process)
        line = process.stdout.readline()
        assert wanted in line, line
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


HOLD = """
    with outputs.work_folder(Path("model"), 1) as folder:
        (folder / "state").write_text("half")
        print("held", flush=True)
        while not Path("go").exists():
            time.sleep(0.02)
        Path("model").write_text("whole")
"""


def test_state_stays_after_a_failure_and_goes_after_success(tmp_path):
    output = tmp_path / "model"
    with pytest.raises(KeyError), outputs.work_folder(output, {"a": 1}) as folder:
        (folder / "state").write_text("half")
        raise KeyError
    with outputs.work_folder(output, {"a": 1.0}) as again:
        assert again == folder and (again / "state").read_text() == "half"
    assert not folder.exists()


@pytest.mark.parametrize(("output", "key"), [("model", {"a": 2}), ("other", {"a": 1})])
def test_another_job_has_another_folder(tmp_path, output, key):
    with outputs.work_folder(tmp_path / "model", {"a": 1}) as first:
        pass
    with outputs.work_folder(tmp_path / output, key) as second:
        assert first != second


def test_a_killed_process_holds_nothing_and_its_state_is_taken_up(child, tmp_path):
    """No lock is left that needs a hand."""
    child(HOLD).kill()
    with outputs.work_folder(tmp_path / "model", 1) as folder:
        assert (folder / "state").read_text() == "half"


@pytest.mark.parametrize("key", [1, 2])
def test_a_second_process_waits_and_says_for_whom(child, tmp_path, key):
    """Also with other settings: the first would write its old result over the new one."""
    first = child(HOLD)
    holder = f"model is being made by another process (host {os.uname()[1]}, pid {first.pid})"
    second = child(HOLD.replace('"model"), 1', f'"model"), {key}'), holder)
    assert not (tmp_path / "model").exists()
    (tmp_path / "go").touch()
    assert second.stdout.readline() == "held\n" and (tmp_path / "model").read_text() == "whole"
    assert first.wait() == second.wait() == 0


def test_waiting_ends_by_a_signal(child):
    child(HOLD)
    second = child(HOLD, "waiting")
    second.send_signal(signal.SIGTERM)
    assert second.wait(timeout=5) != 0


def test_what_other_settings_left_of_the_same_output_is_removed(tmp_path):
    """A killed resize of COCO leaves 24 GB."""
    left = []
    for output, key in (("images.h5", 1), ("images.h5", 2), ("images.h5.other", 1)):
        with pytest.raises(KeyError), outputs.work_folder(tmp_path / output, key) as folder:
            left.append(folder)
            raise KeyError
    assert [folder.exists() for folder in left] == [False, True, True]
    with outputs.work_folder(tmp_path / "images.h5", 2):
        assert left[1].exists()
    assert [folder.exists() for folder in left] == [False, False, True]


# What is made once.


@pytest.fixture
def pair(tmp_path):
    """Two outputs, and a function that makes them and counts how often it is called."""
    made = [tmp_path / "model", tmp_path / "history"]
    calls = []

    def make(text="x"):
        calls.append(text)
        with outputs.work_folder(made[0], 1) as folder:
            (folder / "state").write_text(text)
        for path in made:
            atomic.write_text(path, text)

    return made, make, calls


def test_what_a_process_before_made_is_taken_over(pair):
    """Snakemake deletes what it finds marked as incomplete, before it starts the job again."""
    made, make, calls = pair
    outputs.once(made, lambda: [1, "a"], make)
    for path in made:
        path.unlink()
    outputs.once(made, lambda: [1, "a"], make)
    made[1].unlink()
    outputs.once(made, lambda: [1, "a"], make)
    assert [path.read_text() for path in made] == ["x", "x"] and calls == ["x"]
    assert not list(made[0].parent.glob(".work/*-*"))


def test_another_job_is_not_taken_over(pair):
    made, make, calls = pair
    for key in (1, 2, 1):
        outputs.once(made, partial(int, key), make)
    assert len(calls) == 3


def test_what_failed_is_not_taken_over_and_resumes(pair):
    made, make, calls = pair

    def fail():
        with outputs.work_folder(made[0], 1) as folder:
            (folder / "state").write_text("half")
            raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            outputs.once(made, lambda: [1], fail)
    with outputs.work_folder(made[0], 1) as folder:
        assert (folder / "state").read_text() == "half"
    outputs.once(made, lambda: [1], make)
    assert len(calls) == 1


def test_an_output_that_went_while_it_was_made_keeps_the_state(pair):
    """The next controller may delete it in that moment: then the last step is done again."""
    made, make, calls = pair

    def make_and_lose():
        make()
        made[1].unlink()

    outputs.once(made, lambda: [1], make_and_lose)
    assert list(made[0].parent.glob(".work/model-*/state"))
    outputs.once(made, lambda: [1], make)
    assert len(calls) == 2 and made[1].exists()


def test_what_is_damaged_is_made_again(pair):
    made, make, calls = pair
    for damage in (
        lambda kept: (kept / "key.json").write_text("{"),
        lambda kept: (kept / "1").unlink(),
        lambda kept: (kept / "0").write_text("longer than it was"),
    ):
        outputs.once(made, lambda: [1], make)
        damage(made[0].parent / ".work/model.made")
        before = len(calls)
        outputs.once(made, lambda: [1], make)
        assert len(calls) == before + 1 and made[0].read_text() == "x"


def test_after_a_run_in_good_order_nothing_is_taken_over(pair, tmp_path):
    """A forced run computes."""
    made, make, calls = pair
    outputs.once(made, lambda: [1], make)
    outputs.forget(tmp_path.parent)
    outputs.once(made, lambda: [1], make)
    assert len(calls) == 2


def test_another_controllers_end_meanwhile_is_no_failure(pair, tmp_path, monkeypatch):
    """It removes all links at a moment that no job chooses."""
    made, make, _ = pair
    link = Path.hardlink_to

    def forgotten(self, target):
        outputs.forget(tmp_path)
        link(self, target)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Path, "hardlink_to", forgotten)
        outputs.once(made, lambda: [1], make)
    assert [path.read_text() for path in made] == ["x", "x"]


def test_folders_that_go_while_links_are_removed_are_no_failure(pair, tmp_path, monkeypatch):
    """Jobs of other controllers, and orphans, end when they end."""
    made, make, _ = pair
    outputs.once(made, lambda: [1], make)
    (tmp_path / ".work" / "other-1").mkdir()
    look = os.scandir

    def vanishing(path="."):
        if str(path).endswith("other-1"):
            raise FileNotFoundError(path)
        return look(path)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(os, "scandir", vanishing)
        outputs.forget(tmp_path)
    assert not list(tmp_path.glob(".work/*.made"))


def test_litter_of_killed_processes_is_removed(pair):
    made, make, _ = pair
    litter = made[0].parent / ".model.12345.tmp"
    other = made[0].parent / ".another.12345.tmp"
    for path in (litter, other):
        path.write_text("half")
    outputs.once(made, lambda: [1], make)
    assert not litter.exists() and other.exists()


def test_litter_of_one_killed_while_it_took_over_is_removed(pair):
    made, make, calls = pair
    outputs.once(made, lambda: [1], make)
    litter = [path.with_name(f".{path.name}.12345.tmp") for path in made]
    for left, path in zip(litter, made, strict=True):
        left.hardlink_to(path)
    outputs.once(made, lambda: [1], make)
    assert not any(left.exists() for left in litter) and len(calls) == 1


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    """filelock would go on with files that say they are locked, which two jobs can both write."""
    import fcntl

    def refused(*_):
        raise OSError(errno.ENOSYS, "not implemented")

    monkeypatch.setattr(fcntl, "flock", refused)
    with (
        pytest.raises(OSError, match="Lustre: -o flock"),
        outputs.lock(tmp_path / "x.lock", "x"),
    ):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="of Linux")
def test_a_lock_on_a_full_disk_says_so(tmp_path, monkeypatch):
    def full(self, *_, **__):
        with Path("/dev/full").open("w") as file:
            file.write("x")

    monkeypatch.setattr(Path, "write_text", full)
    with (
        pytest.raises(atomic.DiskFullError, match=r"x\.lock cannot be written: the disk is full"),
        outputs.lock(tmp_path / "x.lock", "x"),
    ):
        pass
    monkeypatch.undo()
    with outputs.lock(tmp_path / "x.lock", "x") as alone:
        assert alone
