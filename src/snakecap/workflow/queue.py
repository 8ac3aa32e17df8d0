"""This folder's jobs in SLURM's queue: what they wait for, and how to be rid of them.

After ``kill -9`` of Snakemake its jobs run on. They can be left alone: the next run waits for what
they make. Or they are cancelled here: only your own, of this folder, that Snakemake submitted.
"""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from snakecap.log import logger

# Snakemake's SLURM plugin names jobs by the run's UUID, perhaps after a prefix, and puts rule and
# wildcards into the comment.
NAME = re.compile(r"([\w-]+_)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
COMMENT = re.compile(r"rule_(?P<rule>\w+?)(_wildcards_(?P<wildcards>.*))?")
BETWEEN = "\x1f"  # in no file name that people use
FIELDS = ("%i", "%T", "%r", "%M", "%N", "%j", "%k", "%Z")
GONE = 60.0  # seconds; SLURM gives a cancelled job 30 to end, as a rule
# Reasons for which a job may wait for ever, and the settings that help.
HELP = {
    "PartitionTimeLimit": "set cluster.max_minutes to the partition's limit (sinfo -o '%P %l')",
    "PartitionConfig": "set cluster.partition to one that has such nodes (sinfo -o '%P %c %m %G')",
    "BadConstraints": "no node has that much: set cluster.max_memory, gpu_model, gpus or threads",
    "ReqNodeNotAvail": "the nodes are down or reserved: sinfo -R, scontrol show reservation",
    "DependencyNeverSatisfied": "cancel it, and run snakemake again",
}


class Job(NamedTuple):
    """A job in the queue.

    Attributes:
        state: such as PENDING or RUNNING.
        reason: why it waits: Resources, Priority, PartitionTimeLimit, ...
        run: the name that Snakemake gave to all jobs of one run.
        what: rule and wildcards.
        folder: that Snakemake was started in.
    """

    number: str
    state: str
    reason: str
    elapsed: str
    nodes: str
    run: str
    what: str
    folder: str


def jobs(*, folder: Path = Path(), cancel: bool = False) -> None:
    """List the jobs that Snakemake has in SLURM's queue for a folder, and cancel them if asked to.

    Stop Snakemake first (control-C cancels its jobs itself): while it runs, it takes cancelled jobs
    for failed ones and submits them again.

    Args:
        folder: where Snakemake was started.
        cancel: end all that are listed, and wait until they are gone.

    Raises:
        RuntimeError: SLURM does not answer; says what it said.
    """
    found = queued(folder)
    print("\n".join(map(_line, found)) if found else f"no jobs of {folder.resolve()} in the queue")
    if cancel and found:
        _slurm("scancel", *(job.number for job in found))
        _wait_until_gone(folder)


def queued(folder: Path) -> list[Job]:
    """Your jobs that Snakemake submitted from a folder and that have not ended."""
    lines = _slurm("squeue", "--me", "--noheader", f"--format={BETWEEN.join(FIELDS)}").splitlines()
    found = [Job(*line.split(BETWEEN)) for line in lines]
    here = str(folder.resolve())
    return [job for job in found if str(Path(job.folder).resolve()) == here and _submitted(job)]


def _submitted(job: Job) -> bool:
    return bool(NAME.fullmatch(job.run) and COMMENT.fullmatch(job.what))


def _line(job: Job) -> str:
    match = COMMENT.fullmatch(job.what)
    assert match is not None, "only jobs of Snakemake's are listed"
    what = " ".join(filter(None, (match["rule"], match["wildcards"])))
    where = job.nodes if job.state == "RUNNING" else f"({job.reason})"
    # SLURM may add to it, such as in "ReqNodeNotAvail, Reserved for maintenance"
    advice = HELP.get(job.reason.partition(",")[0])
    return f"{job.number}  {job.state}  {job.elapsed}  {where}  {what}" + (
        f"\n    {advice}" if advice else ""
    )


def _wait_until_gone(folder: Path) -> None:
    end = time.monotonic() + GONE
    while left := queued(folder):
        if time.monotonic() > end:
            numbers = " ".join(job.number for job in left)
            raise RuntimeError(f"SLURM still holds {numbers}: see scontrol show job {numbers}")
        time.sleep(1)
    logger.info("cancelled; nothing of it runs any more")


def _slurm(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise RuntimeError(f"there is no {command[0]} on this machine: no SLURM") from None
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{command[0]}: SLURM did not answer within a minute") from None
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout
