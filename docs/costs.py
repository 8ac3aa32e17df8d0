"""What a run costs: disk, memory and GPU-hours of jobs and recipes; docs/cluster.md shows them.

Pure arithmetic: sizes of files are `file_sizes.py`; times follow from the counted operations
and from a machine's speed, a row of `MACHINES`. Dimensions as there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import file_sizes
from file_sizes import FLOAT, RUNNING

from snakecap.config.settings import Settings, Stage, System
from snakecap.workflow.plan import features_name

# Estimates, until benchmarks/gpu.py has run on a GPU.
PROGRAM = 3.0e9  # bytes of host memory of a job with CUDA: torch, its libraries, batches made ahead
CONTEXT = 1.0e9  # bytes of GPU memory of CUDA itself and its libraries' work space

# Multiply-adds of one picture at 224 x 224; a test holds them to torchvision's own counts.
OPERATIONS = {
    "vgg16": 15.47e9,
    "resnet50": 4.089e9,
    "resnet152": 11.514e9,
    "squeezenet1_0": 0.819e9,
}
BACKWARD = 3  # a training step computes about three times what looking alone does
TOKENS = 11.5  # words and END of a caption of COCO, in the mean: 6,447,836 words of 616,767


class Machine(NamedTuple):
    """How fast a GPU is.

    Attributes:
        products: floating-point operations a second in large bfloat16 matrix products, measured.
        share: of that, what a convolutional network reaches. ASSUMED.
        step: seconds of a step that are not computing: launches and fetching. ASSUMED.
    """

    products: float
    share: float
    step: float


# Products: 8192 x 8192 x 8192 in PyTorch, random numbers. `share` and `step` are cautious guesses
# until benchmarks on a GPU say better.
MACHINES = {
    "H200": Machine(products=7.9e14, share=0.25, step=5e-3),
    "H100": Machine(products=8.0e14, share=0.25, step=5e-3),
}


@dataclass(frozen=True)
class Data:
    """What is known of a data set before it is there.

    Attributes:
        pictures, training: N, and how many of them teach.
        captions: M.
        fetched: bytes of its files before anything is done.
    """

    pictures: int
    training: int
    captions: int
    fetched: float


@dataclass(frozen=True)
class Network:
    """What a system is made of.

    Attributes:
        parameters: P, the backbones' included.
        backbone: of these, the backbones'.
        values: F of each input that a backbone sees, by the input's name.
    """

    parameters: int
    backbone: int = 0
    values: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """Of a whole recipe.

    Attributes:
        disk: bytes when it is done, by what they are.
        work: bytes besides while the largest training job runs.
        gpu: bytes of GPU memory of the largest training job, without activations.
        host: bytes of memory of that job.
        seconds: of a GPU.
    """

    disk: Mapping[str, float]
    work: float
    gpu: float
    host: float
    seconds: float


# Jobs.


def trained(network: Network, stage: Stage) -> int:
    """T: all but the backbone; with it, when the stage fine-tunes (at most all of it)."""
    return network.parameters - (0 if stage.finetunes else network.backbone)


def gpu_memory(network: Network, stage: Stage, data: Data, *, flip: bool = False) -> float:
    """GPU memory: 1 GB + 4 P, with Adam 12 T more, and 4 N F when features are cached.

    Activations come on top: they grow with `batch_size`, and out-of-memory names it.
    """
    kept = FLOAT * (1 + RUNNING.get(stage.optimiser.name, 2)) * trained(network, stage)
    cached = 0 if stage.reads_pictures else FLOAT * data.pictures * sum(network.values.values())
    return CONTEXT + FLOAT * network.parameters + kept + cached * (2 if flip else 1)


def host_memory(network: Network, stage: Stage, data: Data, *, flip: bool = False) -> float:
    """Host memory: 3 GB + 160 M + 8 P, and 4 N F when features are cached."""
    cached = 0 if stage.reads_pictures else FLOAT * data.pictures * sum(network.values.values())
    packed = 8 * data.captions * 20
    return PROGRAM + packed + 2 * FLOAT * network.parameters + cached * (2 if flip else 1)


def stage_seconds(
    network: Network, architectures: Sequence[str], stage: Stage, data: Data, machine: Machine
) -> float:
    """Seconds of a training stage: iterations x (operations of a step / speed + 5 ms)."""
    iterations = stage.iterations(math.ceil(data.training / stage.batch_size))
    head = network.parameters - network.backbone
    of_caption = 2 * BACKWARD * head * TOKENS
    of_picture = 0.0
    if stage.reads_pictures:
        looks = sum(OPERATIONS[architecture] for architecture in architectures)
        of_picture = 2 * looks * (BACKWARD if stage.finetunes else 1)
    of_step = stage.batch_size * (of_picture + stage.captions_per_picture * of_caption)
    return iterations * (of_step / (machine.products * machine.share) + machine.step)


def look_seconds(
    architecture: str, pictures: int, machine: Machine, *, flip: bool = False
) -> float:
    """Seconds in which a backbone sees all pictures: operations of N (2 N) pictures / speed."""
    operations = 2 * OPERATIONS[architecture] * pictures * (2 if flip else 1)
    return operations / (machine.products * machine.share)


# Recipes.


def recipe(
    settings: Settings, data: Data, networks: Mapping[str, Network], machine: Machine
) -> Cost:
    """The cost of all that a recipe compares.

    Args:
        settings: the checked recipe.
        data: its data set.
        networks: of each row of `systems` that it compares.
        machine: where it runs.
    """
    runs = [(networks[name], row) for name, row in _runs(settings)]
    jobs = [(network, row, stage) for network, row in runs for stage in row.stages]
    squares = file_sizes.images(data.pictures, settings.resize.size)
    looks = sum(_looks(settings, data, machine).values())
    return Cost(
        disk={
            "files as they come": data.fetched,
            "`images.h5`": squares if settings.pixels else 0.0,
            "features": sum(_features(settings, data, networks).values()),
            "captions": sum(_captions(settings, data).values()),
            "models": sum(2 * file_sizes.model(network.parameters) for network, *_ in jobs),
        },
        work=max(
            file_sizes.work(n.parameters, trained(n, s), s.optimiser.name) for n, _, s in jobs
        ),
        gpu=max(gpu_memory(n, s, data, flip=flips(row)) for n, row, s in jobs),
        host=max(host_memory(n, s, data, flip=flips(row)) for n, row, s in jobs),
        seconds=looks
        + sum(stage_seconds(n, _architectures(settings, r), s, data, machine) for n, r, s in jobs),
    )


# Data sets of the recipes, by the name of their row.
DATA = {
    # The zips, unpacked beside themselves. Captions: NeuralTalk2's own count.
    "coco2014": Data(123_287, 113_287, 616_767, fetched=2 * 20.4e9),
    "coco2014_karpathy": Data(123_287, 113_287, 616_767, fetched=2 * 20.4e9),
    "flickr8k": Data(8_000, 6_000, 40_000, fetched=1.1e9),
    # Boxes and captions of val2017 alone.
    "coco_layouts": Data(5_000, 3_500, 25_000, fetched=3e7),
}


def _runs(settings: Settings) -> list[tuple[str, System]]:
    """Rows of `systems` as often as they are trained."""
    names = settings.compare or tuple(settings.systems)
    return [(name, settings.systems[name]) for name in names for _ in settings.seeds or (0,)]


def flips(row: System) -> bool:
    """Whether mirrored features are cached of a system's inputs."""
    return any(one.features.flip for one in row.inputs.values() if one.table == "backbones")


def _architectures(settings: Settings, row: System) -> list[str]:
    return [settings.backbones[name].architecture for name in row.sources("backbones")]


def _features(
    settings: Settings, data: Data, networks: Mapping[str, Network]
) -> dict[object, float]:
    return {
        features_name(one): file_sizes.features(
            data.pictures,
            networks[name].values[key],
            half=one.features.half,
            flip=one.features.flip,
        )
        for name, row in _runs(settings)
        for key, one in row.inputs.items()
        if one.table == "backbones"
    }


def _captions(settings: Settings, data: Data) -> dict[str, float]:
    return {
        row.vocabulary: file_sizes.captions(
            data.pictures, data.captions, settings.vocabularies[row.vocabulary].max_length
        )
        for _, row in _runs(settings)
    }


def _looks(settings: Settings, data: Data, machine: Machine) -> dict[object, float]:
    return {
        features_name(one): look_seconds(
            settings.backbones[one.source].architecture,
            data.pictures,
            machine,
            flip=one.features.flip,
        )
        for _, row in _runs(settings)
        for one in row.inputs.values()
        if one.table == "backbones"
    }
