"""Captioning as a task: what a training stage of a system trains, and how it is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from snakecap.config import options
from snakecap.config.training import Stage
from snakecap.formats.vocabulary import Vocabulary
from snakecap.inputs.batches import Batch, CaptionBatches, CaptionTargets, MicroBatch
from snakecap.inputs.input import Input
from snakecap.models.backbones.backbone import Backbone, set_mode, trainable
from snakecap.models.captioner import Captioner
from snakecap.tasks.validation import CaptionValidation
from snakecap.training.optimisers import Group, make_group
from snakecap.training.task import Validation


class CaptionTask:
    """A stage of a system.

    All but the backbones trains in every stage, the projections of their features too; of the
    backbones, what the stage fine-tunes.

    Args:
        captioner: what learns.
        batches: pictures and captions, by iteration.
        validation: judges.
        inputs: what the encoders read, by name.
        vocabulary: the words.
        stage: objective, optimisers, what is fine-tuned and from when on.

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
        self.batches, self.validation = batches, validation
        self.inputs, self.vocabulary = inputs, vocabulary
        self.epoch_length = batches.sampler.epoch_length
        available = {
            "model": captioner,
            "vocabulary": vocabulary,
            "references": batches.packed,  # by the rows that batches name
        }
        row = stage.objective
        self.objective = options.build("objective", row.part, row.options, available)
        self.every_group = self._sorted_parameters()
        self.finetunes: bool | None = None  # whether the backbones train; None: not known

    def _sorted_parameters(self) -> list[Group]:
        """A group of what always trains, and one of what is fine-tuned of the backbones."""
        backbones, layer = self.model.backbones, self.stage.finetune_from
        backbones.requires_grad_(False)
        inside = {id(parameter) for parameter in backbones.parameters()}
        named = list(self.model.named_parameters())
        groups = [
            make_group([(n, p) for n, p in named if id(p) not in inside], self.stage.optimiser)
        ]
        if layer is not None and inside:
            chosen = {id(p) for one in self._backbones() for p in trainable(one, layer)}
            found = [(n, p) for n, p in named if id(p) in chosen]
            groups.append(make_group(found, self.stage.backbone_optimiser))
        return groups

    def _backbones(self) -> list[Backbone]:
        return [one for one in self.model.backbones.values() if isinstance(one, Backbone)]

    def parts(self, iteration: int) -> Sequence[MicroBatch[CaptionTargets]]:
        """See `Task`."""
        return self.batches(iteration)

    def groups(self, iteration: int) -> list[Group]:
        """See `Task`; the backbones' group steps from ``finetune_after`` on."""
        finetunes = len(self.every_group) > 1 and iteration >= self.stage.finetune_after
        if not self.model.training or finetunes != self.finetunes:
            self._set_mode(finetunes)
        return self.every_group if finetunes else self.every_group[:1]

    def _set_mode(self, finetunes: bool) -> None:
        """Training mode, but for frozen layers and for batch statistics not asked for."""
        self.finetunes = finetunes
        self.model.train()
        layer = self.stage.finetune_from if finetunes else None
        for backbone in self._backbones():
            set_mode(backbone, layer, batch_norm=self.stage.train_batch_norm)
        for group in self.every_group[1:]:
            for parameter in group.parameters:
                parameter.requires_grad_(finetunes)

    def loss(self, batch: Batch[CaptionTargets], iteration: int) -> Mapping[str, Tensor]:
        """See `Task`."""
        losses: dict[str, Tensor] = self.objective(batch, iteration)
        return losses

    def validate(self) -> Validation | None:
        """See `Task`."""
        return self.validation()

    def header(self) -> dict[str, Any]:
        """The vocabulary, and how the inputs are read."""
        facts = {name: one.facts() for name, one in self.inputs.items()}
        return {"vocabulary": self.vocabulary.as_json(), "inputs": facts}
