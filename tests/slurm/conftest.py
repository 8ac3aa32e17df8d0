"""A cluster, and working copies in which only training is left to do."""

import copy
import os
import shutil

import filelock
import pytest
from slurm_run import WORKING, Run


@pytest.fixture(scope="session", autouse=True)
def cluster():
    """The cluster of tests/slurm/run.sh; without it the tests fail, they are not skipped."""
    lab = os.environ.get("SNAKECAP_LAB")
    if not lab or not shutil.which("sbatch"):
        pytest.fail("these tests need a cluster of their own: run `make test-slurm`")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory, worker_id):
    """A working copy where all is made that training reads; one for all workers."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared if worker_id == "master" else shared.parent
    with filelock.FileLock(shared / "prepared.lock"):
        folder = shared / "prepared"
        if not (folder / "ready").exists():
            folder.mkdir()
            run = Run(folder, WORKING)
            run.snakemake("--until", "encode", "layout")
            (folder / "ready").touch()
    return folder


@pytest.fixture
def working(prepared, tmp_path):
    """A copy of `prepared`, with what its configuration is to be changed by."""

    def make(change=lambda config: None):
        folder = tmp_path / "working"
        shutil.copytree(prepared, folder, symlinks=True)
        config = copy.deepcopy(WORKING)
        change(config)
        return Run(folder, config, fresh=False)

    made = []
    yield lambda *change: made.append(make(*change)) or made[-1]
    for run in made:
        run.end()
