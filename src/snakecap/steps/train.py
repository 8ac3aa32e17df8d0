"""Train one stage of one system.

Source: neuraltalk2/train.lua for the knobs and their defaults (docs/systems.md lists deviations).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from snakecap import device as devices
from snakecap import registry
from snakecap.config.settings import Stage, Training
from snakecap.distributed.process_group import ProcessGroup, join, share
from snakecap.formats import captions as packing
from snakecap.formats import layouts as layout_files
from snakecap.formats import model as models
from snakecap.formats import pictures as records
from snakecap.formats import vocabulary as vocabularies
from snakecap.formats.layouts import Layouts
from snakecap.formats.vocabulary import Vocabulary
from snakecap.inputs.prefetch import Ahead
from snakecap.inputs.sources import every_source
from snakecap.log import logger
from snakecap.models.build import build
from snakecap.models.captioner import Captioner
from snakecap.objects.layout import Reading
from snakecap.provenance import code, outputs
from snakecap.training.batches import Batches
from snakecap.training.checkpoints import History
from snakecap.training.groups import Groups
from snakecap.training.lesson import Lesson, Plan
from snakecap.training.loop import fit, reporter
from snakecap.training.validation import Validator

OUT_OF_MEMORY = (
    "set the stage's `accumulate` to 2 or more (the same result in smaller parts), or lower its "
    "`batch_size`"
)


def train(
    *,
    captions: Path,
    vocabulary: Path,
    pictures: Path,
    model: Path,
    last: Path,
    history: Path,
    settings: Training,
    images: Path | None = None,
    features: Path | None = None,
    layouts: Path | None = None,
    previous: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Train one stage of a system; a killed run continues where it was.

    Under torchrun all its processes train together, and its leader writes.

    Args:
        captions: captions.h5, packed.
        vocabulary: vocabulary.json.
        pictures: pictures.json, for the references of the validation split.
        model: where the best model goes, complete enough to caption by itself.
        last: where the last model goes.
        history: where losses and scores go; readable while training.
        settings: the stage, and the parts it trains.
        images: images.h5, when the stage reads pictures.
        features: cached features, when it does not.
        layouts: layouts.h5, when an encoder reads layouts.
        previous: model of the stage before; without one the weights start fresh.
        device: auto, cpu or cuda.
        threads: CPU threads.

    Raises:
        ValueError: a file that the stage needs was not given, or a split is empty.
    """
    place = devices.choose(device, threads, deterministic=settings.stage.deterministic)
    processes = join()
    given = [captions, vocabulary, pictures, images, features, layouts, previous]
    inputs = [*given, _weights(settings)] if processes.is_rank_0 else []
    sums = [code.file_digest(path) if path else None for path in inputs]
    locked = outputs.work_folder(model, settings.model_dump(mode="json"), sums)
    with devices.advice(OUT_OF_MEMORY), processes.on_rank_0(locked) as work:
        words = vocabularies.read(vocabulary)
        packed = packing.read(captions)
        if packed.words != words.words:
            raise ValueError(f"{captions} was packed with another vocabulary than {vocabulary}")
        seen = layout_files.read(layouts) if layouts else None
        captioner = _model(settings, words, seen, previous).to(place)
        share(captioner, processes)
        source = every_source(settings, packed.files, images, features, seen, place)
        validator = Validator(
            captioner, source, packed, words, records.read(pictures), settings.stage, processes
        )
        batches = Batches(packed, source, settings.stage, place, processes)
        facts = _facts(settings, captioner, words, seen, processes)
        report = reporter(history, facts, place)
        past = _fit(captioner, batches, validator, report, settings.stage, work)
        if processes.is_rank_0:
            header = {**facts, "vocabulary": words.as_json(), "best": past.best}
            models.write(model, captioner.state_dict(), {**header, **past.best})
            captioner.load_state_dict(load_file(work / "last.safetensors"), strict=False)
            models.write(last, captioner.state_dict(), {**header, "iteration": past.iteration})
            logger.info("wrote %s", model)


def _weights(settings: Training) -> Path | None:
    """The file that a backbone's weights are read from, if it is one."""
    path = Path(settings.backbone.weights) if settings.backbone else None
    return path if path and path.is_file() else None


def _model(
    settings: Training, words: Vocabulary, seen: Layouts | None, previous: Path | None
) -> Captioner:
    torch.manual_seed(settings.stage.seed)
    categories = len(seen.reading.categories) if seen else None
    captioner = build(settings, vocabulary_size=len(words), categories=categories)
    row = settings.backbone
    if previous is not None:
        weights, header = models.read(previous)
        if header["vocabulary"]["words"] != list(words.words):
            raise ValueError(f"{previous} was trained with another vocabulary than {words}")
        if seen is not None and Reading.from_json(header["layout"]) != seen.reading:
            raise ValueError(f"{previous} was trained with layouts that were made differently")
        captioner.load_state_dict(weights)
    elif captioner.backbone is not None and row is not None:
        from snakecap.models.backbones.weights import load_weights

        load_weights(captioner.backbone, row.architecture, row.weights)
    return captioner


def _fit(
    captioner: Captioner,
    batches: Batches,
    validator: Validator,
    report: Callable[[History], None],
    stage: Stage,
    work: Path,
) -> History:
    groups = Groups(captioner, stage)
    schedule = registry.load("schedule", stage.schedule.name)
    plan = Plan(
        iterations=batches.iterations,
        validate_every=stage.validate_every or batches.sampler.epoch_length,
        log_every=stage.log_every,
        checkpoint_every=stage.checkpoint_every,
        explosion=stage.explosion,
        precision=devices.precision(stage.precision, batches.place),
        seed=stage.seed,
    )
    with contextlib.closing(Ahead(batches, plan.iterations)) as ahead:
        lesson = Lesson(
            captioner,
            loss=lambda batch: captioner(*batch, label_smoothing=stage.label_smoothing),
            batch=ahead,
            groups=groups,
            every_group=groups.all(),
            factor=lambda now: schedule(now, plan.iterations, **stage.schedule.options),
            validate=validator,
            report=report,
            title=f"train {stage.name}",
        )
        return fit(lesson, plan, work, batches.processes)


def _facts(
    settings: Training,
    captioner: Captioner,
    words: Vocabulary,
    seen: Layouts | None,
    processes: ProcessGroup,
) -> dict[str, Any]:
    parameters = sum(parameter.numel() for parameter in captioner.parameters())
    facts = {"parameters": parameters, "words": len(words)}
    if processes.size > 1:
        facts["processes"] = processes.size
    stamp = code.stamp(settings=settings.model_dump(mode="json"), **facts)
    return stamp if seen is None else {**stamp, "layout": seen.reading.as_json()}
