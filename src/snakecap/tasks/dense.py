"""Dense captioning as a task: what a training stage trains, and how it is judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snakecap import device as devices
from snakecap.config import options
from snakecap.config.dense import Describing
from snakecap.config.settings import Training
from snakecap.config.training import Stage
from snakecap.distributed.process_group import ProcessGroup, share
from snakecap.formats import pictures as records
from snakecap.formats.dense import Described
from snakecap.formats.pictures import Picture
from snakecap.formats.vocabulary import Vocabulary
from snakecap.inference.regions import captions, find
from snakecap.inputs.batches import Batch
from snakecap.inputs.dense import DenseBatches, RegionTargets
from snakecap.inputs.input import build_inputs
from snakecap.inputs.photos import PhotosInput
from snakecap.metrics.dense import Pair, evaluate
from snakecap.models.backbones.backbone import set_mode, trainable
from snakecap.models.dense.dense_captioner import DenseCaptioner, build
from snakecap.tasks.files import Files
from snakecap.training.optimisers import Group, make_group
from snakecap.training.task import Validation


def task(
    settings: Training, files: Files, place: torch.device, processes: ProcessGroup
) -> DenseTask:
    """What the step `train` trains.

    Raises:
        ValueError: a file is not of these settings; names it.
    """
    stage = settings.stage
    words, packed = files.words()
    inputs = build_inputs(settings, place)
    [photos] = inputs.values()
    assert isinstance(photos, PhotosInput), "the settings allow no other"
    collection = records.read(files.pictures)
    photos.use(collection)
    torch.manual_seed(stage.seed)
    fresh = files.previous is None
    model = build(settings, vocabulary_size=len(words), published=fresh)
    files.fill(model, words, inputs)
    share(model.to(place), processes)
    batches = DenseBatches(packed, collection.pictures, photos, stage, place, processes)
    validation = DenseValidation(model, photos, collection.split("val"), words, stage, processes)
    return DenseTask(model, batches, validation, photos, words, stage)


class DenseTask:
    """A stage of a dense system.

    All but the trunk's backbone trains in every stage; of that, what the stage fine-tunes.

    Raises:
        ValueError: the stage fine-tunes from a layer that the backbone does not have.
    """

    unit = "pictures"

    def __init__(
        self,
        model: DenseCaptioner,
        batches: DenseBatches,
        validation: DenseValidation,
        photos: PhotosInput,
        vocabulary: Vocabulary,
        stage: Stage,
    ):
        self.model, self.stage, self.title = model, stage, f"train {stage.name}"
        self.parts, self.validate = batches, validation
        self.photos, self.vocabulary = photos, vocabulary
        self.epoch_length = batches.sampler.epoch_length
        row = stage.objective
        self.objective = options.build("objective", row.part, row.options, {"model": model})
        self.backbone = model.trunk.backbone
        self.every_group = self._sorted_parameters()
        self.finetunes: bool | None = None  # whether the backbone trains; None: not known

    def _sorted_parameters(self) -> list[Group]:
        """A group of what always trains, and one of what is fine-tuned of the backbone."""
        self.backbone.requires_grad_(False)
        named = list(self.model.named_parameters())
        inside = {id(parameter) for parameter in self.backbone.parameters()}
        groups = [
            make_group([(n, p) for n, p in named if id(p) not in inside], self.stage.optimiser)
        ]
        if self.stage.finetune_from is not None:
            chosen = {id(p) for p in trainable(self.backbone, self.stage.finetune_from)}
            found = [(n, p) for n, p in named if id(p) in chosen]
            groups.append(make_group(found, self.stage.backbone_optimiser))
        return groups

    def groups(self, iteration: int) -> list[Group]:
        """The backbone's group steps from ``finetune_after`` on."""
        finetunes = len(self.every_group) > 1 and iteration >= self.stage.finetune_after
        if not self.model.training or finetunes != self.finetunes:
            self._set_mode(finetunes)
        return self.every_group if finetunes else self.every_group[:1]

    def _set_mode(self, finetunes: bool) -> None:
        """Training mode, but for frozen layers and for batch statistics not asked for."""
        self.finetunes = finetunes
        self.model.train()
        layer = self.stage.finetune_from if finetunes else None
        set_mode(self.backbone, layer, batch_norm=self.stage.train_batch_norm)
        for group in self.every_group[1:]:
            for parameter in group.parameters:
                parameter.requires_grad_(finetunes)

    def loss(self, batch: Batch[RegionTargets], iteration: int) -> Mapping[str, Tensor]:
        losses: dict[str, Tensor] = self.objective(batch, iteration)
        return losses

    def header(self) -> dict[str, Any]:
        """The vocabulary, and how photos are read."""
        facts = {self.photos.name: self.photos.facts()}
        return {"vocabulary": self.vocabulary.as_json(), "inputs": facts}


class DenseValidation:
    """How well the same pictures of the split are described, each time.

    The score is DenseCap's mAP with the words' F1 in METEOR's place, which would start a Java
    program each time. The loss is 1 minus detmAP: what is drawn at random for the losses says less.

    Args:
        processes: share the pictures.

    Raises:
        ValueError: the validation split has no regions.
    """

    def __init__(
        self,
        model: DenseCaptioner,
        photos: PhotosInput,
        pictures: Sequence[Picture],
        vocabulary: Vocabulary,
        stage: Stage,
        processes: ProcessGroup = ProcessGroup(),
    ):
        if not pictures:
            raise ValueError("the validation split has no described regions: nothing to choose by")
        number = stage.validation_pictures
        self.pictures = pictures if number < 0 else pictures[:number]
        self.model, self.photos, self.vocabulary = model, photos, vocabulary
        self.precision, self.processes = stage.precision, processes
        self.settings = Describing()

    @torch.no_grad()  # inference_mode would cast the weights anew for every word
    def __call__(self) -> Validation | None:
        """Evaluate the model as it is; no random number is drawn. The result is rank 0's."""
        self.model.eval()
        own = self.processes.mine(self.pictures)
        found: list[Described] = []
        size = self.settings.batch_size
        for start in range(0, len(own), size):
            found += self._described(own[start : start + size])
        shares = self.processes.gather(found)
        if not shares:
            return None
        predictions = {str(one.image_id): one for share in shares for one in share}
        references = {str(picture.id): picture.regions for picture in self.pictures}
        scores = evaluate(predictions, references, word_f1)
        values = {name: getattr(scores, name) for name in ("mAP", "detmAP", "exact")}
        return Validation(1 - scores.detmAP, values, [], "mAP")

    def _described(self, pictures: Sequence[Picture]) -> list[Described]:
        inputs = {self.photos.name: self.photos.read([one.file for one in pictures])}
        place = next(self.model.parameters()).device
        with devices.autocast(self.precision, place):
            found = find(self.model, inputs, self.settings)
            said = captions(self.model, found.encoded, self.settings)
        texts = [self.vocabulary.decode(one.words) for one in said]
        sizes = self.photos_sizes(inputs)
        return described(pictures, found, texts, sizes)
