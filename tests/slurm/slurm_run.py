"""Snakemake on the cluster of the tests, and the processes of its jobs."""

import contextlib
import copy
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from checkout import CONFIG, Checkout

PROFILE = ("--workflow-profile", "workflow/profiles/slurm")
# Quicker than the profile's: a test's jobs take seconds.
QUICK = ("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5")
LONG = 600  # seconds: more than anything takes here

# One system that needs no pictures, and trains long enough to be caught at it.
WORKING = copy.deepcopy(CONFIG)
WORKING["compare"] = ["obj2text"]
WORKING["layouts"]["seen"]["detector"] = "truth"
WORKING["systems"]["obj2text"]["stages"] = [
    {
        "name": "train",
        "epochs": 200,
        "batch_size": 8,
        "captions_per_picture": 2,
        "checkpoint_every": 0.1,
        "validate_every": 200,
        "language_eval": False,
    }
]
PAIR = {"partition": "cpu", "gpu_partition": "pair", "gpu_model": "fake", "nodes": 2}
MODEL = "results/shapes/obj2text/train/model.safetensors"


def wait_for(what, seconds=LONG, message="it did not happen"):
    """Call until it returns something true, and return that."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, message
        time.sleep(0.02)
    return found


class Run(Checkout):
    """A working copy whose Snakemake submits to the cluster."""

    def __init__(self, folder, config, *, fresh=True):
        self.controllers = []
        if fresh:
            super().__init__(folder)
        self.folder = folder
        self.write_config(config)

    def start(self, *arguments):
        """Snakemake in the background; its output goes to controller-N.log."""
        log = self.folder / f"controller-{len(self.controllers)}.log"
        with log.open("w") as file:
            controller = subprocess.Popen(
                [sys.executable, "-m", "snakemake", *arguments, *PROFILE, *QUICK],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        controller.log = log
        self.controllers.append(controller)
        return controller

    def submit(self, *arguments):
        """Snakemake to its end: its exit code and output."""
        controller = self.start(*arguments)
        return controller.wait(LONG * 2), controller.log.read_text()

    def caught(self, but=()):
        """Stop a training job that has written a checkpoint, as it is; its process."""

        def training():
            found = [pid for pid in processes("train.py", self.folder) if pid not in but]
            return found if self.checkpoints() else []

        pid = wait_for(training, message="no job came to train")[0]
        os.kill(pid, signal.SIGSTOP)
        return pid

    def checkpoints(self):
        return sorted(self.folder.glob("results/**/.work/*/checkpoint-*"))

    def jobs(self, *fields):
        """Every job that was submitted from here, also ended ones, oldest first."""
        text = slurm("squeue", "--states=all", "--noheader", f"--format=%i|{'|'.join(fields)}|%Z")
        rows = [line.split("|") for line in text.splitlines()]
        mine = [row[:-1] for row in rows if row[-1] == str(self.folder)]
        return sorted(mine, key=lambda row: int(row[0]))

    def minutes(self, number):
        """How long a job runs, rounded up to SLURM's whole minutes."""
        hours, minutes, _ = slurm("squeue", "-h", "-j", number, "-o", "0:%M").split(":")[-3:]
        return int(hours) * 60 + int(minutes) + 1

    def failures(self, rule):
        """What the failed jobs of a rule said, which is kept where SLURM writes it."""
        logs = (self.folder / f".snakemake/slurm_logs/{rule}").glob("**/*.log")
        return [log.read_text() for log in sorted(logs, key=lambda log: int(log.stem))]

    def end(self):
        """Nothing of this run stays."""
        for controller in self.controllers:
            with contextlib.suppress(ProcessLookupError):
                controller.kill()
            controller.wait()
        if numbers := [row[0] for row in self.jobs("%T") if row[1] in ("PENDING", "RUNNING")]:
            slurm("scancel", *numbers)


def slurm(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def listed(folder, *words):
    """What ``snakecap jobs`` says in a folder."""
    command = [Path(sys.executable).with_name("snakecap"), "jobs", *words]
    done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def processes(script, folder):
    """Python processes that run a rule's script in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            python, *words = (entry / "cmdline").read_bytes().split(b"\0")
            run = next((word for word in words if word != b"-u"), b"")
            named = re.search(rb"python[\d.]*$", python) and run.endswith(b"/" + script.encode())
            if named and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
    return sorted(found)


def environment(pid):
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def stopped(pid, until):
    """Whether a process stands still and no such signal waits for it; SLURM may wake it up."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    masks = [int(value, 16) for value in re.findall(r"^(?:Sig|Shd)Pnd:\s*(\w+)", status, re.M)]
    waits = any(mask >> (until - 1) & 1 for mask in masks)
    return re.search(r"^State:\s*T", status, re.M) is not None and not waits
