"""Several processes end with one code, which says whether the job goes on when it is run again."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from snakecap.distributed import torchrun
from snakecap.workflow import resources

TWO = [sys.executable, *resources.start(2).split()[1:]]
# The leader saves for a while when a signal comes; the other one does not end by itself.
SAVING = """
import os, signal, sys, time
leads = os.environ["RANK"] == "0"
for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
    signal.signal(number, (lambda *_: (time.sleep(1), os.write(1, b"saved\\n"), sys.exit(75)))
                  if leads else signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
os.write(1, " ".join([os.environ[name] for name in NAMES]).encode() + b"\\n")
while True:
    time.sleep(1)
""".replace("NAMES", repr(["RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "WORLD_SIZE"]))
FAILING = """
import os, sys, time
sys.exit(3) if os.environ["RANK"] == "1" else time.sleep(600)
"""
LAUNCH = """
import sys
sys.path.insert(0, sys.argv[1])
from snakecap.distributed import torchrun as launch
sys.exit(launch.main(sys.argv[2:]))
"""


def started(tmp_path, text):
    script = tmp_path / "script.py"
    script.write_text(text)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*TWO, script], **pipes)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGINT])
def test_a_signal_lets_the_leader_save_and_its_code_is_the_jobs(tmp_path, number):
    job = started(tmp_path, SAVING)
    assert ready(job) == ["0 0 2 2\n", "1 1 2 2\n"]
    job.send_signal(number)
    said, errors = job.communicate()
    assert job.returncode == 75 and said == "saved\n", errors
    assert "Traceback" not in errors and "failed first" not in errors


def test_who_fails_first_is_named_and_gives_the_code(tmp_path):
    job = started(tmp_path, FAILING)
    _, errors = job.communicate()
    assert job.returncode == 3 and "process 1 failed first" in errors
    assert "Traceback" not in errors


def test_a_signal_before_there_is_anything_to_save_ends_at_once(tmp_path):
    """The handlers are there before torch is imported, which takes seconds."""
    (tmp_path / "torch.py").write_text("print('torch', flush=True)\nimport time; time.sleep(600)")
    words = [sys.executable, "-c", LAUNCH, str(tmp_path), "--processes", "2", "never.py"]
    job = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert job.stdout.readline() == "torch\n"
    job.send_signal(signal.SIGUSR1)
    assert job.communicate()[0] == "" and job.returncode == 75


def ready(job):
    """What two processes are, when both run."""
    return sorted([job.stdout.readline(), job.stdout.readline()])


def nodes(tmp_path):
    """Two nodes as SLURM describes them, both of them this machine, with two processes each."""
    script = tmp_path / "script.py"
    script.write_text(SAVING)
    with socket.socket() as free:
        free.bind(("", 0))
        port = str(free.getsockname()[1])
    said = {"SLURM_STEP_NUM_NODES": "2", "SLURM_JOB_ID": "7"}
    said["SLURM_LAUNCH_NODE_IPADDR"] = "127.0.0.1"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return [
        subprocess.Popen(
            [*TWO, "--nodes", "2", "--port", port, script],
            env={**os.environ, **said, "SLURM_NODEID": str(number)},
            **pipes,
        )
        for number in range(2)
    ]


def test_processes_of_two_nodes_are_one_team_and_each_node_ends_with_its_code(tmp_path):
    first, second = nodes(tmp_path)
    assert ready(first) == ["0 0 2 4\n", "1 1 2 4\n"]
    assert ready(second) == ["2 0 2 4\n", "3 1 2 4\n"]
    for job in (first, second):
        job.send_signal(signal.SIGTERM)
    assert "saved" in first.communicate()[0]
    second.communicate()
    assert [first.returncode, second.returncode] == [75, 75]


def test_only_a_job_of_so_many_nodes_is_spread(monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURMD_NODENAME", "SLURM_JOB_NUM_NODES"):
        monkeypatch.delenv(name, raising=False)
    assert not torchrun.in_a_job(2)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert not torchrun.in_a_job(2), "a login node, in salloc"
    monkeypatch.setenv("SLURMD_NODENAME", "one")
    assert torchrun.in_a_job(2)
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "1")
    assert not torchrun.in_a_job(2), "a whole run of snakemake in a job of one node"


def test_the_network_that_leads_to_a_node():
    assert torchrun.interface("127.0.0.1") is None
    assert torchrun.interface("no.such.host.invalid") is None
    networks = {name for _, name in socket.if_nameindex()} - {"lo"}
    assert torchrun.interface("192.0.2.77") in {*networks, None}  # an address for documentation


@pytest.mark.parametrize(
    ("failed", "first", "received", "wanted"),
    [
        ({0: 75, 1: 1}, 1, [signal.SIGUSR1], 75),  # the leader is gone, so the other fails
        ({0: 1, 1: 75}, 1, [signal.SIGTERM], 1),  # it could not save
        ({0: 130}, 0, [signal.SIGINT], 130),
        ({0: -signal.SIGUSR1, 1: -signal.SIGUSR1}, 0, [signal.SIGUSR1], 75),  # still starting
        ({2: 75, 3: -signal.SIGKILL}, 2, [signal.SIGTERM], 75),  # the leader is on another node
        ({0: 75, 1: 1}, 1, [], 1),  # the leader is told to end since the other failed
        ({0: 75}, 0, [], 75),  # the signal was sent to it alone
        ({1: -signal.SIGKILL, 0: 75}, 1, [], 137),
    ],
)
def test_the_code(failed, first, received, wanted):
    assert torchrun.code(failed, first, received) == wanted
