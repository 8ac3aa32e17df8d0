"""Dense captioning as a task: what a training stage trains, and how it is judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from math import isfinite
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
from snakecap.formats import model as models
from snakecap.formats import pictures as records
from snakecap.formats.dense import Described
from snakecap.formats.pictures import Picture
from snakecap.formats.vocabulary import Vocabulary
from snakecap.inference.regions import captions, described, find, recognise
from snakecap.inputs.batches import Batch
from snakecap.inputs.dense import DenseBatches, RegionTargets
from snakecap.inputs.input import build_inputs
from snakecap.inputs.photos import PhotosInput
from snakecap.metrics.dense import Pair, evaluate
from snakecap.models.dense.dense_captioner import DenseCaptioner, build
from snakecap.objectives.cross_entropy import caption_loss
from snakecap.tasks.files import Files
from snakecap.tasks.finetuning import Finetuning
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
    photos.open(files.pictures)
    torch.manual_seed(stage.seed)
    fresh = files.previous is None
    model = build(settings, vocabulary_size=len(words), published=fresh)
    if files.previous is not None:
        models.fill(model, files.weights(words, inputs), str(files.previous))
    share(model.to(place), processes)
    pictures = collection.pictures
    batches = DenseBatches(packed, pictures, photos, stage, place, processes)
    validation = DenseValidation(model, batches, pictures, words, stage, processes)
    return DenseTask(model, batches, validation, photos, words, stage)


class DenseTask:
    """A stage of a dense system.

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
        finetuning = Finetuning(model, [model.trunk.backbone], stage)
        self.every_group, self.groups = finetuning.every_group, finetuning.groups

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
    program each time. The loss is that of the true regions' captions, by token.

    Args:
        batches: what it trains on, which has the split's regions too.
        processes: share the pictures.

    Raises:
        ValueError: the validation split has no regions.
    """

    def __init__(
        self,
        model: DenseCaptioner,
        batches: DenseBatches,
        pictures: Sequence[Picture],
        vocabulary: Vocabulary,
        stage: Stage,
        processes: ProcessGroup = ProcessGroup(),
    ):
        rows = batches.packed.rows("val")
        if not len(rows):
            raise ValueError("the validation split has no regions: nothing to choose by")
        number = stage.validation_pictures
        self.rows = rows.tolist() if number < 0 else rows[:number].tolist()
        self.pictures, self.model, self.batches = pictures, model, batches
        self.vocabulary, self.precision, self.processes = vocabulary, stage.precision, processes
        self.settings = Describing()

    @torch.no_grad()  # inference_mode would cast the weights anew for every word
    def __call__(self) -> Validation | None:
        """Evaluate the model as it is; no random number is drawn. The result is rank 0's."""
        self.model.eval()
        own, size = self.processes.mine(self.rows), self.settings.batch_size
        each = [self._judged(own[at : at + size]) for at in range(0, len(own), size)]
        shares = self.processes.gather(each)
        if not shares:
            return None
        totals, tokens, found = zip(*(batch for share in shares for batch in share), strict=True)
        predictions = {str(one.image_id): one for batch in found for one in batch}
        judged = [self.pictures[row] for row in self.rows]
        references = {str(picture.id): picture.regions for picture in judged}
        scores = evaluate(predictions, references, word_f1)
        values = {name: getattr(scores, name) for name in ("mAP", "detmAP", "exact")}
        return Validation(sum(totals) / sum(tokens), values, [], "mAP")

    def _judged(self, rows: Sequence[int]) -> tuple[float, int, list[Described]]:
        """The loss and the tokens of the true regions, and the regions that are found."""
        pictures = [self.pictures[row] for row in rows]
        photos, targets = self.batches.photos, self.batches.targets(torch.tensor(rows))
        inputs = {photos.name: photos.read([one.file for one in pictures])}
        with devices.autocast(self.precision, targets.boxes.device):
            true = recognise(self.model, inputs, [targets.of(at)[0] for at in range(len(rows))])
            memory = self.model.decoder.prepare(true.encoded)
            loss = float(caption_loss(self.model.decoder, memory, targets.words, reduction="sum"))
            found = find(self.model, inputs, self.settings)
            # Weights that exploded say nothing; the loop stops at the next loss that it reads.
            said = captions(self.model, found.encoded, self.settings) if isfinite(loss) else []
        tokens = int((targets.words != 0).sum()) + len(targets.words)
        texts = [self.vocabulary.decode(one.words) for one in said] or [""] * len(found.boxes)
        return loss, tokens, described(pictures, inputs[photos.name]["sizes"], found, texts)


def word_f1(pairs: Sequence[Pair]) -> NDArray[np.float64]:
    """For captions and their references the best F1 of the words, (N,)."""
    return np.array([max(map(partial(_f1, said), references)) for said, references in pairs])


def _f1(said: str, reference: str) -> float:
    one, other = Counter(said.split()), Counter(reference.split())
    shared = (one & other).total()
    return 2 * shared / max(one.total() + other.total(), 1)
