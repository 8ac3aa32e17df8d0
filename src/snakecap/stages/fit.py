"""The one training loop: every model that returns named losses trains here.

A killed run continues from its newest checkpoint as if nothing had happened: weights, optimisers,
random state and histories are saved together, and the batches are a function of the iteration. A
signal (`interruption`) ends training after its step, with a checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from snakecap import interruption
from snakecap.log import bar, logger
from snakecap.optimisers.group import Group
from snakecap.stages.checkpoints import Checkpoints, History
from snakecap.stages.timer import Timer
from snakecap.team import Team

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Part(Generic[Batch]):
    """A part of a step's batch, computed by itself.

    Attributes:
        examples: what the loss reads.
        share: its weight; those of all parts of a step, of all members of a team, sum to 1.
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


def fit(
    model: nn.Module,
    *,
    loss: Callable[[Batch], Mapping[str, Tensor]],
    batch: Callable[[int], Sequence[Part[Batch]]],
    groups: Callable[[int], list[Group]],
    every_group: list[Group],
    factor: Callable[[int], float],
    validate: Callable[[], Validation | None],
    report: Callable[[History], None],
    plan: Plan,
    work: Path,
    team: Team = Team(),
    title: str = "train",
    unit: str = "captions",
) -> History:
    """Train `model` in place; it ends with the best weights, the last ones in ``work/last``.

    Args:
        model: any module; its state is what the checkpoints hold.
        loss: named losses of a batch; their sum is minimised.
        batch: this member's parts of an iteration (from 0), a pure function of its number.
        groups: the optimiser groups that step at an iteration; sets the model's mode.
        every_group: all of them, in a fixed order.
        factor: of the learning rates, by iteration.
        validate: evaluates the model as it is; every member calls it, the leader gets the result.
        report: called with the history whenever it has grown.
        plan: iterations and intervals.
        work: folder of the checkpoints.
        team: trains together; only its leader validates, reports and writes.
        title: of the progress bar.
        unit: what is counted.
    """
    checkpoints = Checkpoints(model, every_group, work)
    history = checkpoints.restore() or History()
    if team.told(history.iteration) != history.iteration:
        raise RuntimeError(
            f"a process sees another checkpoint in {work} than the first one: does every machine "
            "see the same files? Run again"
        )
    timer = Timer(history)
    with (
        interruption.postponed(),
        bar(title=title, total=plan.iterations, unit="step", initial=history.iteration) as steps,
    ):
        if _owes_validation(history, plan):
            _validate(history, validate, report, checkpoints, team)
        while history.iteration < plan.iterations and not history.stopped:
            now = history.iteration
            team.reseed(plan.seed, now)
            parts = batch(now)
            value = _step(loss, parts, groups(now), factor(now), plan.precision, team)
            history.iteration += 1
            history.captions += parts[0].whole
            _record(history, value, plan)
            steps.update()
            last = history.iteration == plan.iterations or bool(history.stopped)
            if history.iteration % plan.log_every == 0 or last:
                timer.update()
                rate = history.captions / max(history.seconds, 1e-9)
                text = f"loss {float(value):.3f}, {rate:.0f} {unit}/s"
                steps.set_postfix_str(text, refresh=False)
            if history.iteration % plan.validate_every == 0 or last:
                timer.update()
                _validate(history, validate, report, checkpoints, team)
                timer.skip()
            ending = team.leads and interruption.came()  # the others end when the leader does
            if ending or (team.leads and timer.since_checkpoint() > plan.checkpoint_every):
                timer.update()
                checkpoints.save(history)
                timer.saved()
                report(history)
            if ending:
                interruption.end()
    timer.update()
    if not team.leads:
        return history
    checkpoints.save(history)
    report(history)
    checkpoints.save_last(history)
    checkpoints.load_best(history)
    return history


def _step(
    loss: Callable[[Batch], Mapping[str, Tensor]],
    parts: Sequence[Part[Batch]],
    groups: list[Group],
    factor: float,
    precision: str,
    team: Team,
) -> Tensor:
    device = groups[0].parameters[0].device
    value = torch.zeros((), device=device)
    for part in parts:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            losses = loss(part.examples)
        total = torch.stack(list(losses.values())).sum() * part.share
        total.backward()  # type: ignore[no-untyped-call]
        value += total.detach()
    team.gradients([p for group in groups for p in group.parameters], value)
    for group in groups:
        group.step(factor)
    return value


def _record(history: History, value: Tensor, plan: Plan) -> None:
    """Keep the loss now and then (reading it waits for the device) and watch for explosion."""
    number = history.iteration
    if number > 1 and number % plan.log_every and number != plan.iterations:
        return
    current = float(value)
    history.loss_history[str(number)] = current
    if history.first_loss is None:
        history.first_loss = current
    if not math.isfinite(current) or current > plan.explosion * history.first_loss:
        history.stopped = (
            f"loss {current:.3g} at iteration {number} is over {plan.explosion:g} times the first "
            f"({history.first_loss:.3g}): lower the learning rate"
        )
        logger.error("%s; training stops, the best model so far is kept", history.stopped)


def _owes_validation(history: History, plan: Plan) -> bool:
    """Whether a signal broke off the validation of the iteration that was restored."""
    now = history.iteration
    last = now == plan.iterations or bool(history.stopped)
    due = now > 0 and (now % plan.validate_every == 0 or last)
    return due and str(now) not in history.val_loss_history


def _validate(
    history: History,
    validate: Callable[[], Validation | None],
    report: Callable[[History], None],
    checkpoints: Checkpoints,
    team: Team,
) -> None:
    """Judge the model. A signal to the leader breaks it off, and the next run begins with it."""
    try:
        with interruption.postponed(not team.leads):
            result = validate()
    except interruption.Interrupted:
        checkpoints.save(history)
        raise
    if result is not None:
        _judge(history, result, checkpoints)
        report(history)


def _judge(history: History, result: Validation, checkpoints: Checkpoints) -> None:
    number = str(history.iteration)
    history.val_loss_history[number] = result.loss
    if result.scores:
        history.val_lang_stats_history[number] = result.scores
    history.val_predictions = result.predictions
    # A strict comparison, as NeuralTalk2: an equal score does not replace the earlier model.
    if not history.best or result.score > history.best["score"]:
        history.best = {"iteration": history.iteration, "score": result.score, "by": result.by}
        checkpoints.save_best(history)
