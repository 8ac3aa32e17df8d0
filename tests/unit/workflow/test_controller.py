"""Snakemake's lock: removed when all who could hold it are dead, and never else."""

import errno
import multiprocessing
import os
import socket

import pytest

from snakecap.workflow import controller


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A .snakemake that a killed controller of this machine left."""
    monkeypatch.setattr(controller, "_alive", [])
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "0.output.lock").write_text("model\n")
    (tmp_path / "controllers").write_text(socket.gethostname() + "\n")
    yield tmp_path
    for mark in controller._alive:
        mark.close()


def locked(folder):
    return (folder / "locks" / "0.output.lock").exists()


def test_a_dead_controllers_lock_goes(folder, caplog):
    controller.begin(folder)
    assert not locked(folder)
    assert "removed the lock that a killed snakemake left" in caplog.text


def _live(folder, ready, go):
    controller.begin(folder)
    (folder / "locks").mkdir(exist_ok=True)
    (folder / "locks" / "0.output.lock").write_text("model\n")
    ready.set()
    go.wait()
    os._exit(9)  # as a kill: nothing is cleaned up


def test_a_living_controllers_lock_stays_until_it_dies(folder):
    context = multiprocessing.get_context("spawn")
    ready, go = context.Event(), context.Event()
    other = context.Process(target=_live, args=(folder, ready, go))
    other.start()
    assert ready.wait(60)
    controller.begin(folder)
    assert locked(folder)
    controller._alive.pop().close()
    go.set()
    other.join()
    controller.begin(folder)
    assert not locked(folder)


@pytest.mark.parametrize("hosts", ["", "elsewhere\n", "elsewhere\n{here}\n"])
def test_a_lock_from_another_machine_or_of_nobody_known_stays(folder, hosts):
    (folder / "controllers").write_text(hosts.format(here=socket.gethostname()))
    for _ in range(3):
        controller.begin(folder)
        assert locked(folder)
        controller._alive.pop().close()


def test_without_locks_in_the_file_system_snakemakes_own_must_do(folder, caplog, monkeypatch):
    def refused(*_):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(controller.fcntl, "flock", refused)
    controller.begin(folder)
    assert locked(folder) and "say snakemake --unlock" in caplog.text


def test_after_a_good_end_there_is_nothing_to_remember(folder):
    (folder / "locks" / "0.output.lock").unlink()
    (folder / "controllers").write_text("elsewhere\n")
    controller.begin(folder)
    assert (folder / "controllers").read_text() == socket.gethostname() + "\n"


def test_the_reason_of_a_failed_job_is_said_again(tmp_path):
    """Snakemake ends with a dump of the command, under which nobody finds the reason."""
    for name, text in (
        (
            "resize.log",
            "INFO: started\nresize: error: 5 of 9 are unreadable; the first:\n  a.jpg: missing\n",
        ),
        ("train.log", "Traceback (most recent call last):\n  File ...\nKeyError: 'x'\n"),
        ("empty.log", ""),
    ):
        (tmp_path / name).write_text(text)
    dump = "Error in rule {0}:\n    jobid: 3\n    log: {1}/{0}.log (check log file(s) for ...)\n"
    logs = [tmp_path / "snakemake.log"]
    rules = ("resize", "train", "empty", "gone", "resize")
    logs[0].write_text("".join(dump.format(rule, tmp_path) for rule in rules))
    assert list(controller.reasons(logs)) == [
        "resize: error: 5 of 9 are unreadable; the first:",
        "  a.jpg: missing",
        f"  ({tmp_path}/resize.log)",
        "KeyError: 'x'",
        f"  ({tmp_path}/train.log)",
        f"  ({tmp_path}/empty.log)",
    ]
