"""The controller is killed, with real jobs at work: no lock needs a hand, nothing is lost."""

import concurrent.futures
import copy
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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
    os.kill(killed, signal.SIGSTOP)  # until the other is there
    log = prepared.folder / "results/logs/shapes/train_show_and_tell_frozen.log"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        coming = pool.submit(prepared.snakemake, TARGET)
        deadline = time.monotonic() + 120
        while not log.exists() or f"pid {killed}): waiting for it" not in log.read_text():
            assert not coming.done() and time.monotonic() < deadline
            time.sleep(0.05)
        assert alive(killed)
        os.kill(killed, signal.SIGCONT)
        done = coming.result()
    assert "removed the lock that a killed snakemake left" in done.stdout
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


@pytest.mark.parametrize("force", [("--forcerun", "train"), ("--force",)])
def test_who_forces_a_job_gets_it_computed(prepared, killed, force):
    """Not taken over: perhaps he suspects what is there."""
    wait_for(killed)
    done = prepared.snakemake(TARGET, *force)
    assert "was made by the process before" not in done.stdout
    assert "wrote results/shapes/show_and_tell/frozen/model.safetensors" in done.stdout


def test_an_orphan_that_died_too_is_resumed(prepared, killed):
    os.kill(killed, signal.SIGKILL)
    wait_for(killed)
    done = prepared.snakemake(TARGET)
    assert "continuing from checkpoint-" in done.stdout
    assert prepared.planned(TARGET) == set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_all_of_a_job_is_answered_by_its_stage(prepared, number):
    """The shell and the log outlive it: snakemake sees the stage's code, and its last words."""
    output = prepared.snakemake("--dry-run", "--printshellcmds", "--forceall", TARGET).stdout
    line = next(line for line in output.splitlines() if "scripts/train.py" in line)
    command = line[line.index("trap") :]
    frozen = prepared.folder / "results/shapes/show_and_tell/frozen"
    for path in (*frozen.glob(".work/*/*"), *frozen.glob(".work/*.made/*")):
        path.unlink()
    log = next(word for word in command.split() if word.endswith(".log)"))[:-1]
    (prepared.folder / log).parent.mkdir(parents=True, exist_ok=True)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    job = subprocess.Popen(
        ["bash", "-c", f"set -euo pipefail; {command}"],
        cwd=prepared.folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(prepared.folder / "src")},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not list(frozen.glob(".work/*/checkpoint-*")):
        assert job.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(job.pid, number)
    assert job.wait(60) == 75
    said = (prepared.folder / log).read_text()
    assert f"ended by {signal.Signals(number).name}: run again" in said
