"""The controller is killed, with real jobs at work: no lock needs a hand, nothing is lost."""

import copy
import os
import signal
import subprocess
import sys
import time

import pytest
from checkout import CONFIG, Checkout

TARGET = "results/shapes/show_and_tell/frozen/history.json"
EPOCHS = 50  # seconds, and one validation


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """All that one training reads, and the training long enough to be caught at work."""
    checkout = Checkout(tmp_path_factory.mktemp("checkout"))
    config = copy.deepcopy(CONFIG)
    stage = config["systems"]["show_and_tell"]["stages"][0]
    stage.update(epochs=EPOCHS, checkpoint_every=0.001, validate_every=10**6)
    checkout.write_config(config)
    checkout.snakemake(TARGET, "--until", "encode", "features")
    return checkout


@pytest.fixture
def killed(prepared):
    """A controller that was killed while its training ran on; the training's process id."""
    folder = prepared.folder
    (folder / TARGET).unlink(missing_ok=True)
    controller = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1", TARGET],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    work = folder / "results/shapes/show_and_tell/frozen/.work"
    deadline = time.monotonic() + 120
    while not list(work.glob("*/checkpoint-*")):
        assert controller.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    held = (work / "model.safetensors.lock").read_text()
    controller.kill()
    controller.wait()
    assert list((folder / ".snakemake/locks").iterdir())
    job = int(held.split()[-1])
    yield job
    if alive(job):
        os.kill(job, signal.SIGKILL)


def alive(job):
    try:
        os.kill(job, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(job):
    deadline = time.monotonic() + 120
    while alive(job):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_next_run_waits_for_the_orphan_and_takes_over_what_it_made(prepared, killed):
    done = prepared.snakemake(TARGET)
    assert "removed the lock that a killed snakemake left" in done.stdout
    assert f"pid {killed}): waiting for it" in done.stdout
    assert "was made by the process before: nothing to do" in done.stdout
    assert not alive(killed) and prepared.planned(TARGET) == set()


def test_what_the_orphan_finished_is_taken_over(prepared, killed):
    """Snakemake has deleted it as incomplete before the job starts."""
    wait_for(killed)
    done = prepared.snakemake(TARGET)
    assert "removed the lock that a killed snakemake left" in done.stdout
    assert "was made by the process before: nothing to do" in done.stdout
    assert prepared.planned(TARGET) == set()
    assert not list(prepared.folder.glob("results/**/*.made"))


def test_an_orphan_that_died_too_is_resumed(prepared, killed):
    os.kill(killed, signal.SIGKILL)
    wait_for(killed)
    done = prepared.snakemake(TARGET)
    assert "continuing from checkpoint-" in done.stdout
    assert prepared.planned(TARGET) == set()
