"""Where jobs go on a cluster, and what they may ask for there."""

from __future__ import annotations

from pydantic import Field

from snakecap.config.base import Count, Positive, Section


class Cluster(Section):
    """A cluster's names and limits; for runs through SLURM alone."""

    partition: str | None = Field(None, description="of jobs; null: the cluster's default")
    gpu_partition: str | None = Field(
        None, description="of jobs that ask for GPUs; null: the same as the others"
    )
    account: str | None = Field(None, description="who pays; null: SLURM's default of yours")
    gpu_model: str | None = Field(None, description="such as a100, as sinfo -o %G says; null: any")
    nodes: Positive = Field(
        1,
        description="that training, features and captioning share, with `gpus` GPUs on each; one "
        "node when there are none",
    )
    max_minutes: Positive = Field(
        1440,
        description="the partition's time limit; what needs longer goes on in the next attempt",
    )
    max_memory: Positive | None = Field(
        None, description="MB that the largest node has; null: no limit"
    )
    warning: Count = Field(
        120,
        description="seconds before its time limit at which a job is warned; 0: never",
    )
