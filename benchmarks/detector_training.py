"""Detector training, pictures/s, beside a loop that decodes every batch and trains it plainly.

What bounds it: the convolutions. The pictures are decoded once, the next batch is made meanwhile.

    python benchmarks/detector_training.py --number 512
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from measure import alternate

from snakecap import device as devices
from snakecap.config.training import Optimiser
from snakecap.data.shapes import Looks, generate
from snakecap.detectors import untrained
from snakecap.detectors.yolov2 import decode
from snakecap.formats.decode import load_whole
from snakecap.inputs.detection import Augmentation, DetectionBatches, Examples, Squares, Truths
from snakecap.inputs.input import Prefetch
from snakecap.objectives.yolov2 import region_loss
from snakecap.objects.boxes import letterbox
from snakecap.training.optimisers import make_group

KINDS = ("circle", "square", "star", "triangle")


def network(examples: Examples, size: int, width: int) -> untrained.Network:
    sections = untrained.sections(cfg=None, size=size, width=width, depth=3)
    return untrained.build(untrained.cfg_for(sections, 1, len(KINDS), examples.shapes()))


def loss(model: untrained.Network, images: torch.Tensor, truths: Truths) -> torch.Tensor:
    raw = model(images)
    parts = region_loss(raw, decode(raw, model.anchors), model.anchors, truths)
    return torch.stack(list(parts.values())).sum()


def ours(examples: Examples, model: untrained.Network, batch_size: int) -> None:
    place = model.anchors.device
    batches = DetectionBatches(examples, Augmentation(), place, batch_size=batch_size, seed=1)
    weights = make_group(list(model.named_parameters()), Optimiser(grad_clip=None))
    ahead = Prefetch(batches, batches.sampler.epoch_length)
    for iteration in range(batches.sampler.epoch_length):
        batch = ahead(iteration)
        loss(model, batch.inputs["pictures"]["images"], batch.targets).backward()
        weights.step()
    ahead.close()


def plain(examples: Examples, model: untrained.Network, batch_size: int) -> None:
    """One picture decoded after the other, and torch's own Adam."""
    squares, place = examples.squares, model.anchors.device
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-4)
    for start in range(0, len(squares.pictures), batch_size):
        rows = range(start, min(start + batch_size, len(squares.pictures)))
        files = [squares.root / squares.pictures[row].file for row in rows]
        pixels = [letterbox(load_whole(file), squares.size)[0] for file in files]
        images = torch.from_numpy(np.stack(pixels)).to(place).float() / 255
        optimiser.zero_grad()
        loss(model, images, examples.batch(rows, place)[1]).backward()
        optimiser.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=512, help="pictures")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    place = devices.choose(given.device, 1)
    with tempfile.TemporaryDirectory() as folder:
        looks = Looks(size=given.size)
        pictures = generate(Path(folder), {"train": given.number}, looks, workers=1)
        examples = Examples(Squares(Path(folder), pictures, given.size), KINDS)
        model = network(examples, given.size, given.width).to(place)
        medians = alternate(
            {
                "plain": lambda: plain(examples, model, given.batch_size),
                "ours": lambda: ours(examples, model, given.batch_size),
            },
            given.rounds,
        )
    result = {
        "benchmark": "detector_training",
        "pictures_per_second": {name: given.number / value for name, value in medians.items()},
        "times_the_baseline": medians["plain"] / medians["ours"],
        **vars(given),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
