"""Listing a folder's jobs: what is said where there is no SLURM, or one that does not answer.

What it says of real jobs is tested in tests/slurm.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from snakecap.workflow import queue


def listed(tmp_path, squeue=None):
    """Run ``snakecap jobs`` where `squeue`, a shell script, is all that there is of SLURM."""
    (tmp_path / "bin").mkdir()
    if squeue is not None:
        script = tmp_path / "bin" / "squeue"
        script.write_text(f"#!/bin/sh\n{squeue}\n")
        script.chmod(0o755)
    return subprocess.run(
        [Path(sys.executable).with_name("snakecap"), "jobs", "--cancel"],
        cwd=tmp_path,
        env={**os.environ, "PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
    )


def test_no_slurm(tmp_path):
    done = listed(tmp_path)
    assert done.returncode and "there is no squeue on this machine" in done.stderr


def test_a_slurm_that_does_not_answer(tmp_path):
    done = listed(tmp_path, "echo Unable to contact slurm controller >&2; exit 1")
    assert done.returncode
    assert "squeue failed: Unable to contact slurm controller" in done.stderr


def test_an_empty_queue(tmp_path):
    done = listed(tmp_path, "exit 0")
    assert done.returncode == 0
    assert done.stdout == f"no jobs of {tmp_path} in the queue\n"


@pytest.mark.parametrize(
    ("run", "what", "ours"),
    [
        ("0a8f0b5e-2a03-440f-85bb-aed575885f53", "rule_train_wildcards_a_b", True),
        ("mine_0a8f0b5e-2a03-440f-85bb-aed575885f53", "rule_all", True),
        ("0a8f0b5e-2a03-440f-85bb-aed575885f53", "", False),
        ("0a8f0b5e-2a03-440f-85bb-aed575885f53", "(null)", False),
        ("wrap", "rule_train", False),
        ("bash", "(null)", False),
    ],
)
def test_only_jobs_that_snakemake_submitted_count(run, what, ours):
    job = queue.Job("1", "RUNNING", "None", "0:01", "node", run, what, "/")
    assert queue._submitted(job) == ours
