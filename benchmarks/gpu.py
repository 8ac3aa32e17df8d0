"""Every heavy stage on synthetic data of COCO's size, on a GPU: seconds, pictures/s and memory.

113,287 training pictures with five captions each (their lengths are COCO's: 10.5 words on
average), vocabulary 9,487, features of 2,048 numbers on the device. Each stage runs the product's
own code for a few hundred steps; an epoch's time follows from the median step. NeuralTalk2 needed
about an hour for a frozen epoch. Without a GPU, --small shows that it runs.

    python benchmarks/gpu.py > gpu.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snakecap import device as devices
from snakecap import registry
from snakecap.config.settings import Backbone, Decoding, Preprocess, Training
from snakecap.detectors import untrained
from snakecap.formats.captions import Captions
from snakecap.formats.vocabulary import Vocabulary
from snakecap.inputs.batches import CaptionBatches
from snakecap.inputs.input import Draw, Input, Tensors
from snakecap.models.captioner import build
from snakecap.steps.features import Extraction, eye, load
from snakecap.tasks.caption import CaptionTask
from snakecap.training.loop import fit
from snakecap.training.task import Validation

WORDS, VOCABULARY, EACH = 16, 9487, 5


def coco(pictures: int) -> Captions:
    """Captions of random words."""
    random = np.random.default_rng(0)
    number = pictures * EACH
    lengths = random.normal(10.5, 2.4, number).round().clip(5, WORDS).astype(np.int64)
    labels = random.integers(1, VOCABULARY + 1, (number, WORDS), dtype=np.int64)
    labels[np.arange(WORDS) >= lengths[:, None]] = 0
    starts = np.arange(pictures) * EACH
    files = tuple(map(str, range(pictures)))
    words = tuple(f"w{place}" for place in range(VOCABULARY))
    splits = ("train",) * pictures
    return Captions(
        labels, starts, starts + EACH, lengths, files, splits, tuple(range(pictures)), words
    )


def training(architecture: str, batch_size: int, **stage: Any) -> Training:
    """NeuralTalk2's model on some backbone, and one stage of it."""
    row = {"architecture": architecture, "weights": "random", "preprocess": {"crop": None}}
    return Training.model_validate(
        {
            "width": 512,
            "inputs": {"picture": {"part": "features", "source": "seen"}},
            "encoders": [{"part": "cnn", "reads": "picture"}],
            "decoder": {"part": "lstm", "options": {"hidden_size": 512}},
            "backbones": {"seen": row},
            "geometry": {"size": 256},
            "stage": {"name": "stage", "batch_size": batch_size, **stage},
        }
    )


class Held(Input):
    """Features on the device, or some pixels on the host, over and over."""

    def __init__(self, name: str, values: torch.Tensor, place: torch.device):
        super().__init__(place)
        self.name, self.values = name, values

    def read(self, files: Sequence[str], draw: Draw | None = None) -> Tensors:
        """A row for each picture, mirrored as the batch is."""
        assert draw is not None
        rows = torch.tensor([int(file) for file in files[draw.part]]) % len(self.values)
        rows = rows.to(self.values.device, non_blocking=True)
        found = {self.name: self.values[rows].to(self.place, non_blocking=True)}
        if draw.flip is not None:
            found["flip"] = draw.flip[draw.part].to(self.place, non_blocking=True)
        return found


class Timed(CaptionTask):
    """A stage that is not judged; it notes the time at every tenth step."""

    marks: list[float]

    def groups(self, iteration: int) -> list[Any]:
        """See `Task`."""
        if iteration % 10 == 0:  # waiting for the device at every step would slow it
            wait(self.batches.place)
            self.marks.append(time.perf_counter())
        return super().groups(iteration)

    def validate(self) -> Validation:
        """See `Task`."""
        return Validation(0.0, {}, [], "loss")


def learning(
    settings: Training, packed: Captions, source: Input, place: torch.device, steps: int
) -> dict[str, float]:
    """Seconds of a step, and of an epoch."""
    captioner = build(settings, vocabulary_size=VOCABULARY, sizes={}).to(place)
    ends = {"epochs": None, "max_iterations": steps, "validate_every": steps}
    stage = settings.stage.model_copy(update={**ends, "checkpoint_every": 1e9, "explosion": 1e9})
    inputs = {"picture": source}
    batches = CaptionBatches(packed, inputs, stage, place)
    words = Vocabulary(packed.words)
    task = Timed(captioner, batches, None, inputs, words, stage)  # type: ignore[arg-type]
    task.marks = []
    precision = devices.precision("auto", place)
    with tempfile.TemporaryDirectory() as folder:
        fit(task, stage, Path(folder), report=lambda _: None, precision=precision)
    step = statistics.median(np.diff(task.marks[1:])) / 10
    return {
        "batch_size": stage.batch_size,
        "seconds_a_step": step,
        "captions_a_second": stage.batch_size * EACH / step,
        "seconds_an_epoch": step * batches.sampler.epoch_length,
    }


def looking(architecture: str, place: torch.device, batch_size: int, size: int, rounds: int) -> Any:
    """Features of pictures that are in memory: pictures/s."""
    row = Backbone(architecture=architecture, weights="random", preprocess=Preprocess(crop=None))
    settings = Extraction(backbone=row)
    see = eye(load(row).to(place), settings, place)
    images = np.random.default_rng(0).integers(0, 256, (batch_size, 3, size, size), np.uint8)
    return batch_size / median(lambda: see(images), place, rounds)


def captioning(place: torch.device, pictures: int, rounds: int) -> dict[str, float]:
    """Beam 5, 2 and 1 from given features: pictures/s."""
    captioner = build(training("resnet50", 16), vocabulary_size=VOCABULARY, sizes={})
    captioner.eval().to(place)
    inputs = {"picture": {"pooled": torch.randn(pictures, 2048, device=place)}}

    @torch.inference_mode()
    def search(width: int) -> None:
        step, state, number = captioner.start(inputs)
        decoding = Decoding(beam_width=width, max_length=WORDS)
        find = registry.load("search", "beam")
        from snakecap.search.hypothesis import NONE

        find(step, state, decoding, number, NONE)

    return {f"beam_{w}": pictures / median(lambda w=w: search(w), place, rounds) for w in (1, 2, 5)}


def detecting(place: torch.device, batch_size: int, size: int, rounds: int) -> float:
    """YOLOv2 without its decoding of boxes: pictures/s."""
    sections = untrained.sections(cfg=None, size=size, width=32, depth=5)
    cfg = untrained.cfg_for(sections, 5, 80, np.full((10, 2), 0.3))
    network = untrained.build(cfg).to(place).eval()
    images = torch.rand(batch_size, 3, size, size, device=place)

    @torch.inference_mode()
    def look() -> None:
        with torch.autocast(place.type, torch.bfloat16, enabled=place.type == "cuda"):
            network(images)

    return batch_size / median(look, place, rounds)


def median(run: Callable[[], object], place: torch.device, rounds: int) -> float:
    """Seconds, after one run that is not counted."""
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run()
        wait(place)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def wait(place: torch.device) -> None:
    if place.type == "cuda":
        torch.cuda.synchronize()


def stages(place: torch.device, *, small: bool) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What is measured, by name."""
    pictures, steps, size = (200, 31, 64) if small else (113_287, 401, 224)
    wide, rounds = (4, 1) if small else (256, 10)
    packed = coco(pictures)
    features = torch.randn(pictures, 2048).to(place)
    for batch in (8,) if small else (16, 256, 1024):
        job = training("resnet50", batch)
        source = Held("pooled", features, place)
        yield (
            f"frozen_{batch}",
            lambda job=job, source=source: learning(job, packed, source, place, steps),
        )
    pixels = np.random.default_rng(0).integers(0, 256, (256, 3, size, size), np.uint8)
    looked = Held("images", torch.from_numpy(pixels), place)
    for batch in (2,) if small else (16, 64):
        tuned = {"finetune_from": "all", "flip": True}
        job = training("squeezenet1_0" if small else "vgg16", batch, **tuned)
        yield (
            f"finetune_{batch}",
            lambda job=job: learning(job, packed, looked, place, steps if small else 101),
        )
    for name in ("squeezenet1_0",) if small else ("vgg16", "resnet152", "squeezenet1_0"):
        yield f"features_{name}", lambda name=name: looking(name, place, wide, size, rounds)
    yield "captioning", lambda: captioning(place, wide, rounds)
    yield "detecting", lambda: detecting(place, wide // 4, 64 if small else 416, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--small", action="store_true", help="a few steps, for any machine")
    given = parser.parse_args()
    place = devices.choose(given.device, 1)
    name = torch.cuda.get_device_name() if place.type == "cuda" else "cpu"
    found: dict[str, Any] = {"benchmark": "gpu", "device": name, "small": given.small}
    for stage, run in stages(place, small=given.small):
        if place.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        result = run()
        found[stage] = result if isinstance(result, dict) else {"pictures_a_second": result}
        found[stage]["peak_gigabytes"] = devices.peak_memory(place) / 1e9
    print(json.dumps(found))


if __name__ == "__main__":
    main()
