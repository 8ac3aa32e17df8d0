"""Which parameters train at an iteration, with which optimiser, and in which mode."""

from __future__ import annotations

from snakecap.config.settings import Stage
from snakecap.models.captioner import Captioner
from snakecap.training.optimisers import Group, make_group


class Groups:
    """The parts' group, and the fine-tuned backbone's; the rest of the backbone is frozen.

    The projection between the two belongs to the parts: it trains in every stage.
    """

    def __init__(self, captioner: Captioner, stage: Stage):
        """Sort the parameters.

        Raises:
            ValueError: the stage fine-tunes from a layer that the backbone does not have.
        """
        self.captioner = captioner
        self.stage = stage
        self.backbone = captioner.backbone
        named = list(captioner.named_parameters())
        inside = set() if self.backbone is None else {id(p) for p in self.backbone.parameters()}
        chosen = self._finetuned()
        self.parts = make_group([(n, p) for n, p in named if id(p) not in inside], stage.optimiser)
        self.tuned = None
        if chosen:
            found = [(n, p) for n, p in named if id(p) in chosen]
            self.tuned = make_group(found, stage.backbone_optimiser)

    def _finetuned(self) -> set[int]:
        if self.backbone is None:
            return set()
        self.backbone.requires_grad_(False)
        if self.stage.finetune_from is None:
            return set()
        from snakecap.models.backbones.backbone import trainable

        return {id(p) for p in trainable(self.backbone, self.stage.finetune_from)}

    def __call__(self, iteration: int) -> list[Group]:
        """The groups that step at an iteration; the model is put in its mode for it."""
        finetunes = self.tuned is not None and iteration >= self.stage.finetune_after
        self._set_mode(finetunes)
        if self.tuned is None:
            return [self.parts]
        for parameter in self.tuned.parameters:
            parameter.requires_grad_(finetunes)
        return [self.parts, self.tuned] if finetunes else [self.parts]

    def all(self) -> list[Group]:
        """Every group, in the order in which checkpoints hold them."""
        return [self.parts] if self.tuned is None else [self.parts, self.tuned]

    def _set_mode(self, finetunes: bool) -> None:
        """Training mode, but for a frozen backbone and for batch statistics not asked for."""
        self.captioner.train()
        if self.backbone is None:
            return
        from snakecap.models.backbones.backbone import set_mode

        layer = self.stage.finetune_from if finetunes else None
        set_mode(self.backbone, layer, batch_norm=self.stage.train_batch_norm)
