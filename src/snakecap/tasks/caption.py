"""Captioning as a task: what a training stage of a system trains, and how it is judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from snakecap import device as devices
from snakecap.config import options
from snakecap.config.evaluation import Decoding
from snakecap.config.settings import Training
from snakecap.config.training import VALIDATION_METRICS, Stage
from snakecap.distributed.process_group import ProcessGroup, share
from snakecap.formats import model as models
from snakecap.formats import pictures as records
from snakecap.formats.captions import Captions
from snakecap.formats.pictures import Collection
from snakecap.formats.vocabulary import Vocabulary
from snakecap.inputs.batches import Batch, CaptionBatches, CaptionTargets
from snakecap.inputs.input import Input, Inputs, build_inputs, open_inputs
from snakecap.metrics.scorer import Scorer
from snakecap.models.backbones.backbone import Backbone
from snakecap.models.captioner import Captioner, build, stepper
from snakecap.models.encoded import Memory
from snakecap.objectives.cross_entropy import caption_loss
from snakecap.search import greedy
from snakecap.tasks.files import Files
from snakecap.tasks.finetuning import Finetuning
from snakecap.training.task import Validation

DECODER = "decoder."  # what the names of a decoder's weights begin with
VALIDATION_BATCH = 64  # pictures


def task(
    settings: Training, files: Files, place: torch.device, processes: ProcessGroup
) -> CaptionTask:
    """What the step `train` trains.

    Raises:
        ValueError: a file is not of these settings; names it.
    """
    stage = settings.stage
    words, packed = files.words()
    inputs = build_inputs(settings, place)
    open_inputs(inputs, files.inputs, stage, keep=packed.files)
    captioner = _model(settings, files, words, inputs).to(place)
    share(captioner, processes)
    batches = CaptionBatches(packed, inputs, stage, place, processes)
    collection = records.read(files.pictures)
    validation = CaptionValidation(captioner, inputs, packed, words, collection, stage, processes)
    return CaptionTask(captioner, batches, validation, inputs, words, stage)


def _model(
    settings: Training, files: Files, words: Vocabulary, inputs: Mapping[str, Input]
) -> Captioner:
    torch.manual_seed(settings.stage.seed)
    sizes = {name: one.sizes() for name, one in inputs.items()}
    captioner = build(settings, vocabulary_size=len(words), sizes=sizes, full_stop=words.full_stop)
    if files.previous is not None:
        weights = _adopted(captioner, files.weights(words, inputs))
        models.fill(captioner, weights, str(files.previous))
        return captioner
    from snakecap.models.backbones.weights import load_weights

    for name, row in settings.backbones.items():
        backbone = captioner.backbones[name]
        assert isinstance(backbone, Backbone)
        load_weights(backbone, row.architecture, row.weights)
    return captioner


def _adopted(captioner: Captioner, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of another system, whose decoder's may be those of another kind of decoder."""
    said = {n.removeprefix(DECODER): w for n, w in weights.items() if n.startswith(DECODER)}
    kept = {name: weight for name, weight in weights.items() if not name.startswith(DECODER)}
    return kept | {DECODER + n: w for n, w in captioner.decoder.adopt(said).items()}


class CaptionTask:
    """A stage of a system.

    Raises:
        ValueError: the stage fine-tunes from a layer that a backbone does not have.
    """

    unit = "captions"

    def __init__(
        self,
        captioner: Captioner,
        batches: CaptionBatches,
        validation: CaptionValidation,
        inputs: Mapping[str, Input],
        vocabulary: Vocabulary,
        stage: Stage,
    ):
        self.model, self.stage, self.title = captioner, stage, f"train {stage.name}"
        self.parts, self.validate = batches, validation
        self.inputs, self.vocabulary = inputs, vocabulary
        self.epoch_length = batches.sampler.epoch_length
        available = {
            "model": captioner,
            "vocabulary": vocabulary,
            "references": batches.packed,  # by the rows that batches name
            "mirror": batches.mirror,  # what a word becomes where a picture is flipped
            "epoch_length": self.epoch_length,
        }
        row = stage.objective
        self.objective = options.build("objective", row.part, row.options, available)
        backbones = [one for one in captioner.backbones.values() if isinstance(one, Backbone)]
        finetuning = Finetuning(captioner, backbones, stage)
        self.every_group, self.groups = finetuning.every_group, finetuning.groups

    def loss(self, batch: Batch[CaptionTargets], iteration: int) -> Mapping[str, Tensor]:
        losses: dict[str, Tensor] = self.objective(batch, iteration)
        return losses

    def header(self) -> dict[str, Any]:
        """The vocabulary, and how the inputs are read."""
        facts = {name: one.facts() for name, one in self.inputs.items()}
        return {"vocabulary": self.vocabulary.as_json(), "inputs": facts}


class CaptionValidation:
    """Loss by token, greedy captions and their scores, always on the same pictures of the split.

    Args:
        processes: share the pictures; rank 0 tokenises the references.

    Raises:
        ValueError: the validation split has no captions.
    """

    def __init__(
        self,
        captioner: Captioner,
        inputs: Mapping[str, Input],
        packed: Captions,
        vocabulary: Vocabulary,
        collection: Collection,
        stage: Stage,
        processes: ProcessGroup = ProcessGroup(),
    ):
        rows = [int(row) for row in packed.rows("val") if packed.counts[row] > 0]
        if not rows:
            raise ValueError("the validation split has no captioned pictures: nothing to choose by")
        self.rows = rows if stage.validation_pictures < 0 else rows[: stage.validation_pictures]
        self.captioner, self.inputs, self.packed = captioner, inputs, packed
        self.vocabulary, self.processes = vocabulary, processes
        self.place, self.precision = next(captioner.parameters()).device, stage.precision
        self.scorer = None
        if stage.language_eval and processes.is_rank_0:
            found = {picture.file: picture.captions for picture in collection.pictures}
            references = {packed.ids[row]: found[packed.files[row]] for row in self.rows}
            self.scorer = Scorer(references, metrics=VALIDATION_METRICS)

    @torch.no_grad()  # inference_mode would cast the weights anew for every word
    def __call__(self) -> Validation | None:
        """Evaluate the captioner as it is; no random number is drawn. The result is rank 0's."""
        self.captioner.eval()
        total, tokens, captions = 0.0, 0, list[str]()
        own = self.processes.mine(self.rows)  # none, where the processes are many
        with devices.autocast(self.precision, self.place):
            for start in range(0, len(own), VALIDATION_BATCH):
                rows = own[start : start + VALIDATION_BATCH]
                memory = self.captioner.prepare(self._read(rows))
                words, owners = self._labels(rows)
                decoder = self.captioner.decoder
                value = float(caption_loss(decoder, memory.select(owners), words, reduction="sum"))
                total += value
                tokens += int((words != 0).sum()) + len(words)
                # Weights that exploded say nothing; the loop stops at the next loss that it reads.
                captions += self._captions(memory) if math.isfinite(value) else [""] * len(rows)
        shares = self.processes.gather((total, tokens, captions))
        if not shares:
            return None
        totals, numbers, texts = zip(*shares, strict=True)
        return self._result(sum(totals) / sum(numbers), self.processes.merged(texts))

    def _result(self, loss: float, texts: list[str]) -> Validation:
        captions = dict(zip((self.packed.ids[row] for row in self.rows), texts, strict=True))
        predictions = [{"image_id": key, "caption": text} for key, text in captions.items()]
        scores = self.scorer.score(captions).values if self.scorer else {}
        return Validation(loss, scores, predictions, "CIDEr" if scores else "loss")

    def _read(self, rows: Sequence[int]) -> Inputs:
        files = [self.packed.files[row] for row in rows]
        return {name: one.read(files) for name, one in self.inputs.items()}

    def _labels(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """All captions of some pictures, and each caption's place in the batch."""
        spans = [range(self.packed.starts[row], self.packed.ends[row]) for row in rows]
        owners = [place for place, span in enumerate(spans) for _ in span]
        chosen = [caption for span in spans for caption in span]
        return torch.from_numpy(self.packed.labels[chosen]), torch.tensor(owners, device=self.place)

    def _captions(self, memory: Memory) -> list[str]:
        decoder = self.captioner.decoder
        step, state = stepper(decoder, memory), decoder.start(memory)
        longest = Decoding(method="greedy", max_length=self.packed.labels.shape[1])
        found = greedy.search(step, state, longest, len(memory.encoded.summary))
        return [self.vocabulary.decode(best[0].words) for best in found]
