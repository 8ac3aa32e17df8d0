"""Small systems for tests: settings of a job, generated data, and inputs that hold tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from snakecap.config import settings as configuration
from snakecap.config.settings import Training
from snakecap.formats.captions import Captions, pack
from snakecap.inputs.input import Input
from snakecap.models.encoded import Encoded
from snakecap.steps.annotations import annotations
from snakecap.steps.caption import caption
from snakecap.steps.encode import encode
from snakecap.steps.resize import resize
from snakecap.steps.train import train
from snakecap.steps.vocabulary import vocabulary

CPU = torch.device("cpu")


def packed(
    said: Sequence[Sequence[Sequence[int]]],
    longest: int,
    splits: Sequence[str] = (),
    words: int = 0,
) -> Captions:
    """Each picture's captions as ids, all for training; the vocabulary has all, or `words`."""
    labels, lengths = pack([caption for row in said for caption in row], longest)
    ends = np.cumsum([len(row) for row in said])
    starts = ends - [len(row) for row in said]
    files = tuple(f"{i}.jpg" for i in range(len(said)))
    chosen = tuple(splits) or ("train",) * len(said)
    names = tuple(map(str, range(1, (words or labels.max()) + 1)))
    return Captions(labels, starts, ends, lengths, files, chosen, tuple(range(len(said))), names)


TINY = {"architecture": "tiny", "weights": "random", "preprocess": {"crop": None}}
CNN = {"part": "cnn"}
# What a system reads: a row of `settings`, for one backbone and one layout.
PICTURE = {"picture": {"part": "features", "source": "tiny", "options": {"flip": True}}}
GRID = {"grid": {"part": "features", "source": "tiny", "options": {"output": "grid", "flip": True}}}
OBJECTS = {"objects": {"part": "layout", "source": "seen"}}
EVERY_INPUT = {**PICTURE, **GRID, **OBJECTS}


def settings(system: dict[str, Any], **tables: Any) -> configuration.Settings:
    """A whole configuration of one system, called `system`, on generated pictures."""
    return configuration.read(
        {
            "datasets": {"shapes": {"reader": "shapes"}},
            "resize": {"size": 32},
            "vocabularies": {"words": {"min_count": 0, "tokenizer": "treebank"}},
            "backbones": {"tiny": TINY},
            "detectors": {"truth": {"part": "truth"}},
            "layouts": {"seen": {"detector": "truth"}},
            "systems": {"system": {"vocabulary": "words", **system}},
            **tables,
        }
    )


def training(
    stage: dict[str, Any],
    *,
    inputs: dict[str, Any] = PICTURE,
    encoders: Any = (CNN,),
    decoder: dict[str, Any] | None = None,
    width: int = 12,
    system: dict[str, Any] | None = None,
    **tables: Any,
) -> Training:
    """What the job of one stage is given; a small LSTM speaks unless there is a `decoder`."""
    chosen = {"part": "lstm", "options": {"hidden_size": width}} if decoder is None else decoder
    row = {"inputs": inputs, "decoder": chosen, "width": width, **(system or {})}
    if encoders:
        row["encoders"] = list(encoders)
    checked = settings({**row, "stages": [stage]}, **tables)
    return checked.training(checked.systems["system"], stage["name"])


def generate(folder, train=16, val=4, test=5, **more):
    """Generated pictures through every step before features and layouts."""
    pictures, images = folder / "pictures.json", folder / "images.h5"
    options = {"train": train, "val": val, "test": test, "size": 32, **more}
    shapes = configuration.Dataset(reader="shapes", options=options)
    annotations(pictures=pictures, folder=folder / "shapes", settings=shapes)
    rejected = folder / "rejected.tsv"
    square = configuration.Resize(size=32)
    resize(pictures=pictures, images=images, rejected=rejected, settings=square, workers=1)
    words = {"vocabulary": folder / "vocabulary.json"}
    row = configuration.Vocabulary(min_count=0)
    vocabulary(pictures=pictures, settings=row, **words)
    packed = folder / "captions.h5"
    encode(pictures=pictures, captions=packed, images=images, settings=row, **words)
    return folder


def train_on(data, folder, chosen, inputs, **files):
    """Train a stage on what `generate` made; its model's path."""
    folder.mkdir(parents=True, exist_ok=True)
    given = {"vocabulary": data / "vocabulary.json", "captions": data / "captions.h5", **files}
    model = folder / "model.safetensors"
    train(
        pictures=data / "pictures.json",
        inputs=inputs,
        model=model,
        last=folder / "last.safetensors",
        history=folder / "history.json",
        settings=chosen,
        device="cpu",
        **given,
    )
    return model


def caption_test(data, model, captions, inputs, **given):
    """Caption the test split of what `generate` made."""
    pictures = {"pictures": data / "pictures.json", **given}
    models = model if isinstance(model, list) else [model]
    caption(model=models, inputs=inputs, captions=captions, device="cpu", **pictures)


class Stored(Input):
    """Tensors in memory, a row for each file."""

    def __init__(self, files, place=CPU, **tensors):
        super().__init__(place)
        self.files, self.tensors = list(files), tensors

    def has(self, file):
        return file in self.files

    def read(self, files, draw=None):
        rows = [self.files.index(file) for file in (files if draw is None else files[draw.part])]
        return {name: value[rows].to(self.place) for name, value in self.tensors.items()}


class Pooled(torch.nn.Module):
    """An encoder that gives on what it reads."""

    def forward(self, inputs):
        return Encoded(inputs["pooled"])
