"""Train one stage of one system.

Source: neuraltalk2/train.lua for the knobs and their defaults (docs/systems.md lists deviations).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from safetensors.torch import load_file

from snakecap import device as devices
from snakecap import registry
from snakecap.config.settings import Training
from snakecap.distributed.process_group import join
from snakecap.formats import model as models
from snakecap.log import logger
from snakecap.provenance import code
from snakecap.provenance.identity import Output, step, work_folder
from snakecap.tasks.files import Files
from snakecap.training.loop import fit, reporter

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
        files = Files(captions, vocabulary, pictures, inputs, previous)
        task = registry.load("task", settings.task)(settings, files, place, processes)
        parameters = sum(parameter.numel() for parameter in task.model.parameters())
        facts = {"parameters": parameters, "words": len(task.vocabulary)}
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
            models.write(model, task.model.state_dict(), {**header, **past.best})
            task.model.load_state_dict(load_file(work / "last.safetensors"), strict=False)
            models.write(last, task.model.state_dict(), {**header, "iteration": past.iteration})
            logger.info("wrote %s", model)
