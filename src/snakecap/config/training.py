"""How a model is trained: optimisers, schedules and stages."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field, model_validator

from snakecap import registry
from snakecap.config.base import Count, Fraction, Name, NoEffect, Positive, Precision, Section, Seed
from snakecap.config.options import check as check_options
from snakecap.config.options import check_rules, complete
from snakecap.config.parts import Part

# METEOR would start a Java program at every validation.
VALIDATION_METRICS = ("Bleu", "ROUGE_L", "CIDEr")


class Optimiser(Section):
    """One parameter group's optimiser (NeuralTalk2's optim_updates.lua, and AdamW)."""

    name: str = Field("adam", description="a name in registry.OPTIMISERS")
    learning_rate: Annotated[float, Field(gt=0)] = Field(
        4e-4, description="NeuralTalk2's; times the schedule's factor"
    )
    alpha: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.8, description="Adam's beta 1, momentum, or RMSProp's decay"
    )
    beta: Annotated[float, Field(ge=0, lt=1)] = Field(0.999, description="Adam's beta 2")
    epsilon: Annotated[float, Field(gt=0)] = Field(1e-8, description="added to the denominator")
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        0.0, description="L2, added to the gradient before clipping (cnn_weight_decay)"
    )
    decoupled_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="AdamW's own")
    grad_clip: Annotated[float, Field(gt=0)] | None = Field(
        0.1, description="each gradient element to +-this; NeuralTalk2's sweep found 0.1 best"
    )

    @model_validator(mode="after")
    def _known(self) -> Optimiser:
        registry.location("optimiser", self.name)
        return self


class Schedule(Section):
    """Learning-rate factor by iteration; the same for every optimiser of a stage."""

    name: str = Field("constant", description="a name in registry.SCHEDULES")
    options: dict[str, Any] = Field({}, description="keyword arguments of the schedule")

    @model_validator(mode="after")
    def _known(self) -> Schedule:
        check_options("schedule", self.name, self.options)
        return self

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"options": complete("schedule", self.name, self.options)}


class Learning(Section):
    """How long and how fast something is trained, and when it is looked at."""

    epochs: Annotated[float, Field(gt=0)] | None = Field(10, description="passes over the pictures")
    max_iterations: Positive | None = Field(None, description="whichever ends first")
    batch_size: Positive = Field(16, description="pictures a step")
    accumulate: Positive = Field(
        1, description="parts that a step is computed in, one after the other: less memory"
    )
    optimiser: Optimiser = Field(Optimiser(), description="of all that always trains")
    schedule: Schedule = Field(Schedule(), description="of every learning rate")
    seed: Seed = Field(123, description="of weights, order, captions and augmentation")
    validate_every: Positive | None = Field(None, description="iterations; null: every epoch")
    validation_pictures: int = Field(
        3200, ge=-1, description="how many of the validation split to use; -1: all"
    )
    log_every: Annotated[Positive, NoEffect] = Field(
        25, description="iterations between entries of the loss history"
    )
    checkpoint_every: Annotated[float, Field(gt=0), NoEffect] = Field(
        60.0, description="seconds between checkpoints that a killed run continues from"
    )
    explosion: Annotated[float, Field(gt=1)] = Field(
        20.0, description="stop when the loss exceeds this many times the first, or times 1"
    )
    precision: Precision = "auto"
    deterministic: bool = Field(
        False,
        description="the same weights bit for bit on a GPU too; slower. CPUs of one kind give the "
        "same anyway, for a number of threads; with `auto` another kind may compute otherwise",
    )

    @model_validator(mode="after")
    def _ends(self) -> Learning:
        if self.epochs is None and self.max_iterations is None:
            raise ValueError("give epochs or max_iterations: training must end")
        if self.validation_pictures == 0:
            raise ValueError("validation_pictures: 0 leaves nothing to choose by; -1: all")
        return self

    def iterations(self, epoch_length: int) -> int:
        """How many there are: of the epochs, or fewer.

        Args:
            epoch_length: iterations in which every picture is seen once.
        """
        by_epochs = math.inf if self.epochs is None else round(self.epochs * epoch_length)
        return max(1, int(min(by_epochs, self.max_iterations or math.inf)))


class Stage(Learning):
    """One training stage; it starts from the model of the stage before it."""

    name: Name = Field(description="of the stage and of its folder")
    objective: Part = Field(Part(part="cross_entropy"), description="what it learns by")
    captions_per_picture: Positive = Field(5, description="NeuralTalk2's seq_per_img")
    shuffle: bool = Field(True, description="false: file order, as NeuralTalk2")
    finetune_from: str | None = Field(
        None,
        description="train the backbones from this layer up (`all`, or a prefix such as layer3); "
        "null: frozen",
    )
    finetune_after: Count = Field(0, description="iteration at which backbone training starts")
    backbone_optimiser: Optimiser = Field(
        Optimiser(learning_rate=1e-5), description="of the fine-tuned layers"
    )
    train_batch_norm: bool = Field(
        False, description="batch statistics in the fine-tuned layers; needs large batches"
    )
    flip: bool = Field(False, description="mirror pictures, and their layouts, at random")
    mirror_words: tuple[tuple[str, str], ...] = Field(
        (), description="pairs of words that change places in a mirrored picture's captions"
    )
    object_dropout: Fraction = Field(0.0, description="share of a layout's objects left out")
    box_jitter: Fraction = Field(
        0.0, description="edges of a layout's boxes move by up to this share of the box's size"
    )
    random_crop: bool = Field(False, description="NeuralTalk2's random crop; reads pictures")
    language_eval: bool = Field(
        True, description="choose the best model by validation CIDEr, else by validation loss"
    )

    @model_validator(mode="after")
    def _known(self) -> Stage:
        row = self.objective
        check_rules("objective", row.part, check_options("objective", row.part, row.options))
        return self

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"objective": self.objective.of("objective")}

    def unread(self) -> set[str]:
        """How backbones would be trained, where they are not."""
        frozen = {"backbone_optimiser", "finetune_after", "train_batch_norm"}
        return set() if self.finetunes else frozen

    @property
    def finetunes(self) -> bool:
        """Whether this stage changes a backbone."""
        return self.finetune_from is not None

    @property
    def reads_pictures(self) -> bool:
        """Whether this stage needs pixels rather than cached features."""
        return self.finetunes or self.random_crop
