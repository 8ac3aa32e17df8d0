"""What each job asks a cluster for: memory and minutes, from the size of the data set.

One table, and formulas of it; docs/slurm.md shows both, and a test compares. They err on the large
side: a job that asks for too much waits longer, one that asks for too little dies. A job that did
not finish asks for that much more in its next attempt.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from snakecap.config.cluster import Cluster
from snakecap.config.training import Learning, Stage


class Need(NamedTuple):
    """What a rule needs, linear in the size of the data set.

    Attributes:
        memory: MB, whatever the size: Python, torch, CUDA, a batch.
        per_picture: KB more for every picture.
        per_caption: KB more for every caption.
        minutes: whatever the size: starting, and waiting for a file system.
        rate: pictures a second on a CPU core, the slowest network that is usual.
        rate_gpu: pictures a second on a GPU.
    """

    memory: int
    per_picture: float
    per_caption: float
    minutes: int
    rate: float
    rate_gpu: float


# Estimates on the large side. Measured, with 123,287 pictures of five captions and seven objects:
# vocabulary, encode, references and combine (docs/slurm.md); the other rows have not been, and no
# rate on a GPU. `mem_mb` and `runtime` of a rule can be set on the command line.
NEEDS = {
    "download": Need(1000, 0, 0, 30, 50, 50),
    "annotations": Need(1000, 40, 2, 20, 100, 100),
    "combine": Need(1000, 16, 2, 10, 1000, 1000),
    "resize": Need(4000, 12, 2, 20, 50, 50),
    "vocabulary": Need(1000, 12, 2, 10, 1000, 1000),
    "encode": Need(1000, 12, 3, 10, 1000, 1000),
    "references": Need(1000, 12, 3, 10, 1000, 1000),
    "features": Need(6000, 0, 0, 20, 2, 100),
    "train_detector": Need(8000, 12, 2, 30, 2, 50),
    "detect": Need(6000, 16, 2, 20, 2, 50),
    "judge": Need(2000, 40, 2, 15, 500, 500),
    "layout": Need(2000, 20, 2, 10, 500, 500),
    "train": Need(6000, 36, 2, 30, 50, 1000),
    "train on pixels": Need(10000, 16, 2, 30, 2, 100),
    "caption": Need(6000, 32, 2, 20, 2, 50),
    "score": Need(5000, 4, 2, 20, 100, 100),
    "report": Need(3000, 16, 2, 15, 200, 200),
}


def kind(rule: str, stage: Stage | None) -> str:
    """The row of `NEEDS`: training that runs the network itself has one of its own."""
    return "train on pixels" if rule == "train" and stage and stage.reads_pictures else rule


def passes(training: Learning | None, pictures: int) -> float:
    """How often a job goes over the data set: once, or as often as training does."""
    if training is None:
        return 1.0
    limits = [training.epochs] if training.epochs is not None else []
    if training.max_iterations is not None:
        limits.append(training.max_iterations * training.batch_size / max(pictures, 1))
    return float(min(limits))


def memory(
    rule: str, *, pictures: int, captions: int, attempt: int, cluster: Cluster, processes: int = 1
) -> int:
    """MB of memory on a node: linear in the size, the attempt and the processes.

    Args:
        rule: a row of `NEEDS`.
        pictures: of the data set, at least 0.
        captions: of the data set, at least 0.
        attempt: from 1.
        cluster: its limits.
        processes: of the job on a node, each of which needs as much.
    """
    need = NEEDS[rule]
    once = need.memory + (need.per_picture * pictures + need.per_caption * captions) / 1000
    asked = math.ceil(once) * attempt * processes
    return asked if cluster.max_memory is None else min(asked, cluster.max_memory)


def minutes(
    rule: str, *, pictures: int, passes: float, gpus: int, attempt: int, cluster: Cluster
) -> int:
    """Minutes of run time: linear in the size, and in the attempt.

    Args:
        rule: a row of `NEEDS`.
        pictures: of the data set, at least 0.
        passes: over the data set.
        gpus: that the job is given.
        attempt: from 1.
        cluster: its limits.
    """
    need = NEEDS[rule]
    rate = need.rate_gpu * gpus if gpus else need.rate
    return min(
        math.ceil(need.minutes + pictures * passes / rate / 60) * attempt, cluster.max_minutes
    )


def start(gpus: int, nodes: int = 1) -> str:
    """How a job's script starts: with several GPUs, a process for each.

    Args:
        gpus: on a node.
        nodes: of the job.
    """
    if gpus * nodes < 2:
        return "python"
    several = f" --nodes {nodes}" if nodes > 1 else ""
    return f"python -m snakecap.distributed.torchrun --processes {gpus}{several}"


def placement(cluster: Cluster, gpus: int, nodes: int = 1) -> dict[str, str | int]:
    """Partition, account, GPUs, nodes and warning, as the SLURM plugin names them.

    Args:
        cluster: its names.
        gpus: on a node.
        nodes: of the job.
    """
    partition = (gpus and cluster.gpu_partition) or cluster.partition
    # Without "B:", which would tell the batch shell alone: every process of the job's step.
    extra = [f"--signal=USR1@{cluster.warning}"] if cluster.warning else []
    found: dict[str, str | int | None] = {
        "slurm_partition": partition,
        "slurm_account": cluster.account,
        "gpu_model": cluster.gpu_model if gpus else None,
    }
    if nodes > 1:
        extra += ["--ntasks-per-node=1", f"--gpus-per-node={_typed(cluster, gpus)}"]
        # By `mpi` the plugin starts the command on the first node alone, and leaves the others to
        # the command (`launch`). Tasks by GPU, its other way to count, would contradict theirs.
        found |= {"mpi": "srun", "nodes": nodes, "tasks": nodes}
    named = {name: value for name, value in found.items() if value}
    named |= {"slurm_extra": " ".join(extra)} if extra else {}
    return named | ({"tasks_per_gpu": 0} if nodes > 1 else {})


def _typed(cluster: Cluster, gpus: int) -> str:
    return f"{cluster.gpu_model}:{gpus}" if cluster.gpu_model else str(gpus)
