"""What the training loop is given: a model, its batches and loss, and how it is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

from snakecap.training.checkpoints import History
from snakecap.training.optimisers import Group

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Part(Generic[Batch]):
    """A part of a step's batch, computed by itself.

    Attributes:
        examples: what the loss reads.
        share: its weight; those of all parts of a step, of all processes, sum to 1.
        whole: captions, or whatever is counted, of the whole step.
    """

    examples: Batch
    share: float
    whole: int


@dataclass(frozen=True)
class Validation:
    """One evaluation: the loss, language scores if any, captions, and which number decides."""

    loss: float
    scores: dict[str, float]
    predictions: list[dict[str, Any]]
    by: str

    @property
    def score(self) -> float:
        """Higher is better: the deciding metric, or minus the loss."""
        return self.scores.get(self.by, -self.loss)


@dataclass(frozen=True)
class Plan:
    """How long to train, and when to look up."""

    iterations: int
    validate_every: int
    log_every: int = 25
    checkpoint_every: float = 60.0
    explosion: float = 20.0
    precision: str = "float32"
    seed: int = 0


@dataclass(frozen=True)
class Lesson(Generic[Batch]):
    """What is trained, and how.

    Attributes:
        model: any module; its state is what the checkpoints hold.
        loss: named losses of a batch; their sum is minimised.
        batch: this member's parts of an iteration (from 0), a pure function of its number.
        groups: the optimiser groups that step at an iteration; sets the model's mode.
        every_group: all of them, in a fixed order.
        factor: of the learning rates, by iteration.
        validate: evaluates the model as it is; every member calls it, the leader gets the result.
        report: called with the history whenever it has grown.
        title: of the progress bar.
        unit: what is counted.
    """

    model: nn.Module
    loss: Callable[[Batch], Mapping[str, Tensor]]
    batch: Callable[[int], Sequence[Part[Batch]]]
    groups: Callable[[int], list[Group]]
    every_group: list[Group]
    factor: Callable[[int], float]
    validate: Callable[[], Validation | None]
    report: Callable[[History], None]
    title: str = "train"
    unit: str = "captions"
