"""What the one training loop trains: a model, its batches and losses, and how it is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from snakecap.inputs.batches import Batch, MicroBatch
from snakecap.training.optimisers import Group

Targets = TypeVar("Targets")


@dataclass(frozen=True)
class Validation:
    """One evaluation: the loss, scores if any, captions, and which number decides."""

    loss: float
    scores: dict[str, float]
    predictions: list[dict[str, Any]]
    by: str

    @property
    def score(self) -> float:
        """Higher is better: the deciding metric, or minus the loss."""
        return self.scores.get(self.by, -self.loss)


class Task(Protocol[Targets]):
    """What is trained, and how."""

    every_group: list[Group]  # all optimiser groups, in a fixed order
    epoch_length: int  # iterations in which every picture is seen once
    title: str  # of the progress bar
    unit: str  # what is counted

    @property
    def model(self) -> nn.Module:
        """What is trained; its state is what the checkpoints hold."""

    def parts(self, iteration: int) -> Sequence[MicroBatch[Targets]]:
        """This process's parts of an iteration (from 0), a pure function of its number."""

    def groups(self, iteration: int) -> list[Group]:
        """The optimiser groups that step at an iteration; sets the model's mode."""

    def loss(self, batch: Batch[Targets], iteration: int) -> Mapping[str, Tensor]:
        """Named losses of a batch; the sum of those that have a gradient is minimised."""

    def validate(self) -> Validation | None:
        """Evaluate the model as it is; all processes call it, rank 0 gets the result."""

    def header(self) -> dict[str, Any]:
        """What the model's file must say so that it works alone; JSON."""
