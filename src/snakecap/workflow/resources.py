"""What each job asks a cluster for: memory and minutes, from the size of the data set.

Formulas of the table in `steps`; docs/slurm.md shows both, and a test compares. They err on the
large side: a job that asks for too much waits longer, one that asks for too little dies. A job that
did not finish asks for that much more in its next attempt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from snakecap.config import options
from snakecap.config.cluster import Cluster
from snakecap.config.settings import Settings
from snakecap.config.training import Learning, Stage
from snakecap.formats import pictures as picture_files
from snakecap.workflow.plan import Plan
from snakecap.workflow.steps import ON_PIXELS, RULES, Need


class Size(NamedTuple):
    """Pictures and captions of a data set, of all splits together."""

    pictures: int
    captions: int


COCO = Size(123_287, 616_767)  # what an unread data set is taken for: the largest that is usual


class Requests:
    """What the jobs of a plan ask for."""

    def __init__(self, plan: Plan):
        self.plan, self.settings = plan, plan.settings

    def device(self, gpus: int) -> str:
        return "cuda" if gpus and self.settings.device == "auto" else self.settings.device

    def memory(self, rule: str, attempt: int, processes: int = 1, **wildcards: str) -> int:
        """MB of memory of a job with so many processes on a node."""
        found = self._size(wildcards)._asdict()
        limits = self.settings.cluster
        row = need(rule, self._stage(rule, wildcards))
        return memory(row, **found, attempt=attempt, cluster=limits, processes=processes)

    def minutes(self, rule: str, attempt: int, gpus: int, **wildcards: str) -> int:
        pictures = self._size(wildcards).pictures
        stage = self._stage(rule, wildcards)
        if rule == "features":
            times = 2.0 if self.plan.features[wildcards["features"]][1].flip else 1.0
        elif rule == "train_detector":
            times = passes(self.settings.detectors[wildcards["detector"]].training, pictures)
        else:
            times = passes(stage, pictures)
        row, limits = need(rule, stage), self.settings.cluster
        return minutes(
            row, pictures=pictures, passes=times, gpus=gpus, attempt=attempt, cluster=limits
        )

    def _size(self, wildcards: Mapping[str, str]) -> Size:
        return size(
            self.settings, wildcards.get("dataset", wildcards.get("datasets", self.plan.dataset))
        )

    def _stage(self, rule: str, wildcards: Mapping[str, str]) -> Stage | None:
        if rule != "train":
            return None
        return self.plan.systems[wildcards["system"]].stage(wildcards["stage"])


def size(settings: Settings, dataset: str) -> Size:
    """The size of a data set or of several joined with +: read, or generated, or COCO's."""
    path = Path(settings.pathvars["results"], dataset, "pictures.json")
    if path.is_file():
        return _counted(path, path.stat().st_mtime_ns)
    sizes = [_expected(settings, name) for name in dataset.split("+")]
    return Size(*map(sum, zip(*sizes, strict=True)))


@cache
def _counted(path: Path, changed: int) -> Size:
    found = picture_files.counts(path)
    return COCO if found is None else Size(*found)


def _expected(settings: Settings, dataset: str) -> Size:
    row = settings.datasets[dataset]
    chosen = options.complete("dataset", row.reader, row.options)
    numbers = [chosen.get(split) for split in ("train", "val", "test")]
    whole = [number for number in numbers if isinstance(number, int)]
    if len(whole) == len(numbers):  # generated, so many in each split
        return Size(sum(whole), 5 * sum(whole))
    return COCO


def need(rule: str, stage: Stage | None) -> Need:
    """What a rule needs; training that runs the network itself needs more."""
    found = ON_PIXELS if rule == "train" and stage and stage.reads_pictures else RULES[rule].need
    assert found is not None, "every rule has one"
    return found


def passes(training: Learning | None, pictures: int) -> float:
    """How often a job goes over the data set: once, or as often as training does."""
    if training is None:
        return 1.0
    limits = [training.epochs] if training.epochs is not None else []
    if training.max_iterations is not None:
        limits.append(training.max_iterations * training.batch_size / max(pictures, 1))
    return float(min(limits))


def memory(
    need: Need, *, pictures: int, captions: int, attempt: int, cluster: Cluster, processes: int = 1
) -> int:
    """MB of memory on a node: linear in the size, the attempt and the processes.

    Args:
        attempt: from 1.
        processes: of the job on a node, each of which needs as much.
    """
    once = need.memory + (need.per_picture * pictures + need.per_caption * captions) / 1000
    asked = math.ceil(once) * attempt * processes
    return asked if cluster.max_memory is None else min(asked, cluster.max_memory)


def minutes(
    need: Need, *, pictures: int, passes: float, gpus: int, attempt: int, cluster: Cluster
) -> int:
    """Minutes of run time: linear in the size, and in the attempt.

    Args:
        attempt: from 1.
    """
    rate = need.rate_gpu * gpus if gpus else need.rate
    return min(
        math.ceil(need.minutes + pictures * passes / rate / 60) * attempt, cluster.max_minutes
    )


def start(gpus: int, nodes: int = 1) -> str:
    """How a job's script starts: with several GPUs, a process for each.

    Args:
        gpus: on a node.
    """
    if gpus * nodes < 2:
        return "python"
    several = f" --nodes {nodes}" if nodes > 1 else ""
    return f"python -m snakecap.distributed.torchrun --processes {gpus}{several}"


def placement(cluster: Cluster, gpus: int, nodes: int = 1) -> dict[str, str | int]:
    """Partition, account, GPUs, nodes and warning, as the SLURM plugin names them.

    Args:
        gpus: on a node.
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
