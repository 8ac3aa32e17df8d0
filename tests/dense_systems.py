"""A small dense system for tests: its settings, a model and a batch of noise."""

import torch

from snakecap.inputs.batches import Batch
from snakecap.inputs.dense import RegionTargets
from snakecap.models.dense.dense_captioner import build
from tests.systems import training

PHOTO = {"picture": {"part": "photos", "source": "tiny", "options": {"size": 64}}}
SMALL = {"layers": ["1", "2"], "pyramid": 16, "filters": 8, "code": 24, "dropout": 0.0}
SMALL["anchors"] = [[12, 12], [24, 16], [40, 40]]


def dense_training(stage=None, decoder=None, regions=None, inputs=PHOTO, **tables):
    """What the job of one stage of a small dense system is given."""
    return training(
        {"name": "train", "objective": {"part": "dense"}, **(stage or {})},
        inputs=inputs,
        encoders=None,
        decoder=decoder,
        system={"task": "dense", "regions": {**SMALL, **(regions or {})}},
        **tables,
    )


def dense_model(words=9, **given):
    torch.manual_seed(3)
    return build(dense_training(**given), vocabulary_size=words, published=True)


def noise(pictures=2, width=64, height=48, regions=5, words=9):
    """A batch: uint8 noise, and boxes with phrases of one to three words."""
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(256, (pictures, 3, height, width), generator=generator).byte()
    sizes = torch.tensor([[width, height]] * pictures)
    corners = torch.rand(pictures * regions, 2, generator=generator) * torch.tensor([40.0, 25.0])
    sides = 8 + torch.rand(pictures * regions, 2, generator=generator) * 12
    said = torch.randint(1, words + 1, (pictures * regions, 3), generator=generator)
    said[::2, 2] = 0
    owners = torch.arange(pictures).repeat_interleave(regions)
    targets = RegionTargets(torch.cat([corners, corners + sides], 1), said, owners)
    inputs = {"picture": {"images": images, "sizes": sizes}}
    return Batch(torch.arange(pictures), inputs, targets)
