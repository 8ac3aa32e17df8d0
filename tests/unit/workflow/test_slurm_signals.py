"""A signal that reaches Snakemake alone comes to its job's command, and the shell outlives it."""

import os
import signal
import subprocess
import sys

import pytest

# As Snakemake does it: a handler of its own that does nothing at once, and a shell with a pipeline.
PARENT = """
import signal, subprocess, sys
from snakecap.distributed import slurm_signals as relay
relay.start()
signal.signal(signal.SIGTERM, lambda *_: None)
sys.exit(subprocess.run(["bash", "-c", sys.argv[1]]).returncode)
"""
JOB = """
import signal, sys, time
def end(number, frame):
    print("saved after", signal.Signals(number).name, flush=True)
    sys.exit(75)
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, end)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def started(tmp_path):
    """Start the parent with a job of its own, and wait until the job is ready for signals."""
    (tmp_path / "job.py").write_text(JOB)
    signals = "TERM USR1"
    command = f"set -euo pipefail; trap : {signals}; {sys.executable} {tmp_path / 'job.py'} "
    command += f"| (trap '' {signals}; cat)"
    made = []

    def start(**variables):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
        words = [sys.executable, "-c", PARENT, command]
        child = subprocess.Popen(
            words,
            env={**environment, **variables},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        made.append(child)
        assert child.stdout.readline() == "ready\n"
        return child

    yield start
    for child in made:
        with child:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_the_command_hears_what_snakemake_hears(started, number):
    child = started(SLURM_STEP_ID="0")
    child.send_signal(number)
    assert child.stdout.read() == f"saved after {number.name}\n"
    assert child.wait(10) == 75


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_to_all_of_them_at_once_ends_the_command_alone(started, number):
    """Other ways of tracking processes signal the whole tree."""
    child = started(SLURM_STEP_ID="0")
    os.killpg(child.pid, number)
    assert child.stdout.read() == f"saved after {number.name}\n"
    assert child.wait(10) == 75


def test_outside_of_a_step_nothing_changes(started):
    child = started()
    child.send_signal(signal.SIGUSR1)
    assert child.wait(10) == -signal.SIGUSR1
