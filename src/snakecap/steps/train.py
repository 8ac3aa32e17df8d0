"""Train one stage of one system.

Source: neuraltalk2/train.lua for the knobs and their defaults (docs/systems.md lists deviations).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
from safetensors.torch import load_file

from snakecap import device as devices
from snakecap.config.settings import Training
from snakecap.distributed.process_group import join, share
from snakecap.formats import captions as packing
from snakecap.formats import model as models
from snakecap.formats import pictures as records
from snakecap.formats import vocabulary as vocabularies
from snakecap.formats.vocabulary import Vocabulary
from snakecap.inputs.batches import CaptionBatches
from snakecap.inputs.input import Input, build_inputs, open_inputs
from snakecap.log import logger
from snakecap.models.backbones.backbone import Backbone
from snakecap.models.captioner import Captioner, build
from snakecap.provenance import code
from snakecap.provenance.identity import Output, step, work_folder
from snakecap.tasks.caption import CaptionTask, CaptionValidation
from snakecap.training.loop import fit, reporter

DECODER = "decoder."  # what the names of a decoder's weights begin with
OUT_OF_MEMORY = (
    "set the stage's `accumulate` to 2 or more (the same result in smaller parts), or lower its "
    "`batch_size`"
)


@step
def train(
    *,
    captions: Path,
    vocabulary: Path,
    pictures: Path,
    inputs: list[Path],
    model: Annotated[Path, Output],
    last: Annotated[Path, Output],
    history: Annotated[Path, Output],
    settings: Training,
    previous: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Train one stage of a system; a killed run continues where it was.

    Under torchrun all its processes train together, and rank 0 writes.

    Args:
        captions: captions.h5, packed.
        vocabulary: vocabulary.json.
        pictures: pictures.json, for the references of the validation split.
        inputs: a file for each of the system's inputs, in the alphabetical order of their names:
            cached features, or images.h5 when the stage reads pixels; layouts.h5.
        model: where the best model goes, complete enough to caption by itself.
        last: where the last model goes.
        history: where losses and scores go; readable while training.
        settings: the stage, and the parts it trains.
        previous: model of the stage before, or of the system that this one starts from; without
            one the weights start fresh.
        device: auto, cpu or cuda.
        threads: CPU threads.

    Raises:
        ValueError: a file that the stage needs was not given, or a split is empty.
    """
    stage = settings.stage
    place = devices.choose(device, threads, deterministic=stage.deterministic)
    processes = join()
    with devices.advice(OUT_OF_MEMORY), processes.on_rank_0(work_folder(model)) as work:
        words = vocabularies.read(vocabulary)
        packed = packing.read(captions)
        if packed.words != words.words:
            raise ValueError(f"{captions} was packed with another vocabulary than {vocabulary}")
        opened = build_inputs(settings, place)
        open_inputs(opened, inputs, stage, keep=packed.files)
        captioner = _model(settings, words, opened, previous).to(place)
        share(captioner, processes)
        batches = CaptionBatches(packed, opened, stage, place, processes)
        collection = records.read(pictures)
        validation = CaptionValidation(
            captioner, opened, packed, words, collection, stage, processes
        )
        task = CaptionTask(captioner, batches, validation, opened, words, stage)
        parameters = sum(parameter.numel() for parameter in captioner.parameters())
        facts = {"parameters": parameters, "words": len(words)}
        if processes.size > 1:
            facts["processes"] = processes.size
        stamp = code.stamp(settings=settings.model_dump(mode="json"), **facts)
        past = fit(
            task,
            stage,
            work,
            report=reporter(history, stamp, place),
            precision=devices.precision(stage.precision, place),
            processes=processes,
        )
        if processes.is_rank_0:
            header = {**stamp, **task.header(), "best": past.best}
            models.write(model, captioner.state_dict(), {**header, **past.best})
            captioner.load_state_dict(load_file(work / "last.safetensors"), strict=False)
            models.write(last, captioner.state_dict(), {**header, "iteration": past.iteration})
            logger.info("wrote %s", model)


def _model(
    settings: Training, words: Vocabulary, inputs: Mapping[str, Input], previous: Path | None
) -> Captioner:
    torch.manual_seed(settings.stage.seed)
    sizes = {name: one.sizes() for name, one in inputs.items()}
    captioner = build(settings, vocabulary_size=len(words), sizes=sizes, full_stop=words.full_stop)
    if previous is None:
        from snakecap.models.backbones.weights import load_weights

        for name, row in settings.backbones.items():
            backbone = captioner.backbones[name]
            assert isinstance(backbone, Backbone)
            load_weights(backbone, row.architecture, row.weights)
        return captioner
    weights, header = models.read(previous)
    if header["vocabulary"]["words"] != list(words.words):
        raise ValueError(f"{previous} was trained with another vocabulary than {words}")
    for name, one in inputs.items():
        if header["inputs"][name] != one.facts():
            raise ValueError(f"{previous} was trained with {name} that were made differently")
    of_decoder = {name for name in weights if name.startswith(DECODER)}
    said = captioner.decoder.adopt({n.removeprefix(DECODER): weights[n] for n in of_decoder})
    kept = {name: weight for name, weight in weights.items() if name not in of_decoder}
    kept |= {DECODER + name: weight for name, weight in said.items()}
    models.fill(captioner, kept, str(previous))
    return captioner
