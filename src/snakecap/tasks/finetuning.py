"""Which parameters of a stage step at an iteration, and in which mode its model is.

All but the backbones trains in every stage, the projections of their features too; of the
backbones, what the stage fine-tunes, from ``finetune_after`` on.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from snakecap.config.training import Stage
from snakecap.models.backbones.backbone import Backbone, set_mode, trainable
from snakecap.training.optimisers import Group, make_group


class Finetuning:
    """The optimiser groups of a stage.

    Attributes:
        every_group: of what always trains, and of what is fine-tuned of the backbones, if any is.

    Raises:
        ValueError: the stage fine-tunes from a layer that a backbone does not have.
    """

    def __init__(self, model: nn.Module, backbones: Sequence[Backbone], stage: Stage):
        self.model, self.backbones, self.stage = model, backbones, stage
        self.finetunes: bool | None = None  # whether the backbones train; None: not known
        inside = {id(weight) for one in backbones for weight in one.parameters()}
        for one in backbones:
            one.requires_grad_(False)
        named = list(model.named_parameters())
        always = [(name, weight) for name, weight in named if id(weight) not in inside]
        self.every_group = [make_group(always, stage.optimiser)]
        layer = stage.finetune_from
        if layer is not None and inside:
            chosen = {id(weight) for one in backbones for weight in trainable(one, layer)}
            found = [(name, weight) for name, weight in named if id(weight) in chosen]
            self.every_group.append(make_group(found, stage.backbone_optimiser))

    def groups(self, iteration: int) -> list[Group]:
        """Those that step; sets the model's mode."""
        finetunes = len(self.every_group) > 1 and iteration >= self.stage.finetune_after
        if not self.model.training or finetunes != self.finetunes:
            self._set_mode(finetunes)
        return self.every_group if finetunes else self.every_group[:1]

    def _set_mode(self, finetunes: bool) -> None:
        """Training mode, but for frozen layers and for batch statistics not asked for."""
        self.finetunes = finetunes
        self.model.train()
        layer = self.stage.finetune_from if finetunes else None
        for backbone in self.backbones:
            set_mode(backbone, layer, batch_norm=self.stage.train_batch_norm)
        for group in self.every_group[1:]:
            for parameter in group.parameters:
                parameter.requires_grad_(finetunes)
