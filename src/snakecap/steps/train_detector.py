"""Train a YOLOv2 detector from scratch on a data set's own boxes.

The network that has the best average precision on the validation split is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch

from snakecap import device as devices
from snakecap.config import options
from snakecap.config.detection import Detector
from snakecap.detectors import untrained
from snakecap.detectors.darknet_network import Network
from snakecap.distributed.process_group import join, share
from snakecap.formats import model as models
from snakecap.formats import pictures as records
from snakecap.formats.darknet import read_names
from snakecap.formats.images import readable
from snakecap.formats.pictures import Collection
from snakecap.inputs.detection import Examples, Squares
from snakecap.log import logger
from snakecap.objects.categories import ordered
from snakecap.provenance import code
from snakecap.provenance.identity import Output, Photos, step, work_folder
from snakecap.tasks.detect import DetectionTask
from snakecap.training.loop import fit, reporter

OUT_OF_MEMORY = "lower the detector's training.batch_size, or set training.accumulate to 2 or more"


@step
def train_detector(
    *,
    pictures: Annotated[Path, Photos],
    model: Annotated[Path, Output],
    history: Annotated[Path, Output],
    settings: Detector,
    images: Path | None = None,
    root: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Train a detector; a killed run continues where it was.

    Under torchrun all its processes train together, and rank 0 writes.

    Args:
        pictures: pictures.json; its train split teaches, its val split judges.
        model: where the best model goes, complete enough to detect by itself.
        history: where losses and average precisions go; readable while training.
        settings: a row of `detectors` that has `training`.
        images: an images.h5; when given, only the pictures in it are used.
        root: folder of the photos; null: the root in pictures.json.
        device: auto, cpu or cuda.
        threads: CPU threads.

    Raises:
        FileNotFoundError: a file that the row names is missing.
        ValueError: the row has no `training`, a split shows no objects, an object's category is
            unknown, or the network's size does not fit.
    """
    training = settings.training
    if training is None:
        raise ValueError(f"the detector {settings.part} has no `training` in its row")
    place = devices.choose(device, threads, deterministic=training.deterministic)
    processes = join()
    row = settings.model_dump(mode="json")
    whole = records.read(pictures, root)
    collection = Collection(whole.root, tuple(readable(whole.pictures, images)))
    with devices.advice(OUT_OF_MEMORY), processes.on_rank_0(work_folder(model)) as work:
        categories = _categories(settings, collection)
        chosen = options.model("detector", settings.part)(**settings.options).model_dump()
        anchors = chosen.pop("anchors")
        chosen.pop("names")
        sections = untrained.sections(**chosen)
        size, number = Network(sections).size, training.validation_pictures
        examples = _examples(collection, "train", size, categories)
        held_out = _examples(collection, "val", size, categories, number)
        torch.manual_seed(training.seed)
        cfg = untrained.cfg_for(sections, anchors, len(categories), examples.shapes())
        network = untrained.build(cfg).to(place)
        share(network, processes)
        count = sum(parameter.numel() for parameter in network.parameters())
        facts = code.stamp(settings=row, categories=list(categories), cfg=cfg, parameters=count)
        past = fit(
            DetectionTask(network, examples, held_out, settings, place, processes),
            training,
            work,
            report=reporter(history, facts, place),
            precision=devices.precision(training.precision, place),
            processes=processes,
        )
        if processes.is_rank_0:
            models.write(model, network.state_dict(), {**facts, "best": past.best})
            logger.info("wrote %s", model)


def _categories(settings: Detector, collection: Collection) -> tuple[str, ...]:
    if names := settings.options.get("names"):
        return read_names(Path(names))
    return ordered(seen.category for picture in collection.pictures for seen in picture.objects)


def _examples(
    collection: Collection, split: str, size: int, categories: Sequence[str], number: int = -1
) -> Examples:
    """The pictures of a split that show objects, the first `number` of them unless it is -1."""
    found = [picture for picture in collection.split(split) if picture.objects]
    chosen = found if number < 0 else found[:number]
    if not chosen:
        raise ValueError(
            f"the {split} split shows no objects: a detector learns from the train split and is "
            "judged by the val split"
        )
    return Examples(Squares(collection.root, chosen, size), categories)
