"""The one training loop: every model that returns named losses trains here.

A killed run continues from its newest checkpoint as if nothing had happened: weights, optimisers,
random state and histories are saved together, and the batches are a function of the iteration. A
signal ends training after its step, with a checkpoint.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snakecap import device as devices
from snakecap import registry
from snakecap.config import options
from snakecap.config.training import Learning
from snakecap.distributed import signals
from snakecap.distributed.process_group import ProcessGroup
from snakecap.formats import atomic
from snakecap.inputs.input import Prefetch
from snakecap.log import bar, logger
from snakecap.training.checkpoints import Checkpoints, History, Timer
from snakecap.training.task import Task, Validation

REFRESH_EVERY = 2.0  # seconds between histories on disk, for whoever watches


def fit(
    task: Task[Any],
    settings: Learning,
    work: Path,
    *,
    report: Callable[[History], None],
    precision: str = "float32",
    processes: ProcessGroup = ProcessGroup(),
) -> History:
    """Train a model in place; it ends with the best weights, the last ones in ``work/last``.

    Args:
        report: called with the history whenever it has grown.
        precision: float32, or bfloat16 for autocast.
        processes: train together; rank 0 alone reports and writes.

    Raises:
        RuntimeError: the loss exploded before any model was judged.
    """
    total = settings.iterations(task.epoch_length)
    with contextlib.closing(Prefetch(task.parts, total)) as parts:
        loop = _Loop(task, settings, work, report, precision, processes, parts)
        loop.run()
    if processes.is_rank_0:
        loop.finish()
    return loop.history


def reporter(
    path: Path, facts: Mapping[str, Any], place: torch.device
) -> Callable[[History], None]:
    """A `report` that writes the history, how fast it was and the memory that it took."""

    def report(past: History) -> None:
        rate = past.captions / past.seconds if past.seconds else 0.0
        measured = {"throughput": rate, "peak_memory": devices.peak_memory(place)}
        atomic.write_json(path, {**facts, **vars(past), **measured}, indent=1)

    return report


class _Loop:
    """A task from its newest checkpoint on."""

    def __init__(
        self,
        task: Task[Any],
        settings: Learning,
        work: Path,
        report: Callable[[History], None],
        precision: str,
        processes: ProcessGroup,
        parts: Prefetch[Any],
    ):
        self.task, self.settings, self.processes, self.parts = task, settings, processes, parts
        self.report, self.short = report, precision == "bfloat16"
        self.total = settings.iterations(task.epoch_length)
        self.validate_every = settings.validate_every or task.epoch_length
        self.schedule = registry.load("schedule", settings.schedule.name)
        self.schedule_needs = options.needs("schedule", settings.schedule.name)
        self.checkpoints = Checkpoints(task.model, task.every_group, work)
        self.history = self.checkpoints.restore() or History()
        if processes.broadcast(self.history.iteration) != self.history.iteration:
            raise RuntimeError(
                f"a process sees another checkpoint in {work} than the first one: does every "
                "machine see the same files? Run again"
            )
        self.timer = Timer(self.history)
        self.reported = time.monotonic()

    def run(self) -> None:
        """Train to the end, or until the loss explodes."""
        history, total = self.history, self.total
        done = history.iteration
        with (
            signals.postponed(),
            bar(title=self.task.title, total=total, unit="step", initial=done) as steps,
        ):
            if self._owes_validation():
                self._validate()
            while history.iteration < total and not history.stopped:
                value, named = self._step()
                self._record(value, named)
                steps.update()
                if self._due(self.settings.log_every):
                    steps.set_postfix_str(self._progress(value), refresh=False)
                    self._refresh()
                if self._due(self.validate_every) and not history.stopped:
                    self.timer.update()
                    self._validate()
                    self.timer.skip()
                self._save_or_end()
        self.timer.update()

    def finish(self) -> None:
        """Save all, and take up the best weights."""
        self.checkpoints.save(self.history)
        self.report(self.history)
        self.checkpoints.save_last(self.history)
        if not self.history.best:
            reason = self.history.stopped or "the validation loss is not finite"
            raise RuntimeError(f"{reason}; no model was judged before, so that there is no best")
        self.checkpoints.load_best(self.history)

    def _step(self) -> tuple[Tensor, dict[str, Tensor]]:
        """One iteration; the batch's loss, and all that its task named, on the device."""
        now = self.history.iteration
        self.processes.reseed(self.settings.seed, now)
        parts, groups = self.parts(now), self.task.groups(now)
        factor = self._factor(now)
        device = groups[0].parameters[0].device
        value, named = torch.zeros((), device=device), dict[str, Tensor]()
        for part in parts:
            with torch.autocast(device.type, torch.bfloat16, enabled=self.short):
                losses = self.task.loss(part.batch, now)
            taught = [loss for loss in losses.values() if loss.requires_grad]
            total = torch.stack(taught).sum() * part.share
            total.backward()
            value += total.detach()
            for name, loss in losses.items():
                named[name] = named.get(name, 0.0) + loss.detach() * part.share
        parameters = [p for group in groups for p in group.parameters]
        self.processes.gradients(parameters, value, *named.values())
        for group in groups:
            group.step(factor)
        self.history.iteration += 1
        self.history.captions += parts[0].whole
        return value, named

    def _factor(self, now: int) -> float:
        """Of the learning rates: by the iteration, and whatever else the schedule asks for."""
        past, by = self.history, self.history.best.get("by", "")
        available = {
            "epoch_length": self.task.epoch_length,
            "validations": [
                {"loss": loss, "score": past.val_lang_stats_history.get(at, {}).get(by, -loss)}
                for at, loss in past.val_loss_history.items()
            ],
        }
        asked = {name: available[name] for name in self.schedule_needs}
        found: float = self.schedule(now, self.total, **asked, **self.settings.schedule.options)
        return found

    def _record(self, value: Tensor, named: dict[str, Tensor]) -> None:
        """Keep the loss now and then (reading it waits for the device); watch for explosion."""
        history, limit = self.history, self.settings.explosion
        number = history.iteration
        if number > 1 and number % self.settings.log_every and number != self.total:
            return
        current = float(value)
        history.loss_history[str(number)] = current
        if len(named) > 1:
            parts = {name: float(one) for name, one in named.items()}
            history.objective_history[str(number)] = parts
        if history.first_loss is None:
            history.first_loss = current
        most = limit * max(1.0, abs(history.first_loss))  # a self-critical loss begins near 0
        if not math.isfinite(current) or current > most:
            history.stopped = (
                f"loss {current:.3g} at iteration {number} is over {most:.3g} (the first was "
                f"{history.first_loss:.3g}): lower the learning rate"
            )
            kept = ", the best model so far is kept" if history.best else ""
            logger.error("%s; training stops%s", history.stopped, kept)

    def _progress(self, value: Tensor) -> str:
        self.timer.update()
        rate = self.history.captions / max(self.history.seconds, 1e-9)
        return f"loss {float(value):.3f}, {rate:.0f} {self.task.unit}/s"

    def _refresh(self) -> None:
        """Report the history when the last report is old."""
        if self.processes.is_rank_0 and time.monotonic() - self.reported > REFRESH_EVERY:
            self.report(self.history)
            self.reported = time.monotonic()

    def _due(self, every: int) -> bool:
        """Whether this iteration is one of every so many, or the last."""
        now = self.history.iteration
        return now % every == 0 or now == self.total

    def _owes_validation(self) -> bool:
        """Whether a signal broke off the validation of the iteration that was restored."""
        now = self.history.iteration
        due = now > 0 and self._due(self.validate_every) and not self.history.stopped
        return due and str(now) not in self.history.val_loss_history

    def _validate(self) -> None:
        """Judge the model. A signal to rank 0 breaks it off; the next run begins with it."""
        try:
            with signals.postponed(not self.processes.is_rank_0):
                result = self.task.validate()
        except signals.Interrupted:
            self.checkpoints.save(self.history)
            raise
        result = self.processes.broadcast(result)  # schedules may read it
        if result is not None and _judge(self.history, result) and self.processes.is_rank_0:
            self.checkpoints.save_best(self.history)
        if self.processes.is_rank_0:
            self.report(self.history)

    def _save_or_end(self) -> None:
        """Save a checkpoint when it is time, or because a signal came, and end then."""
        if not self.processes.is_rank_0:  # the others end when rank 0 does
            return
        ending = signals.came()
        if ending or self.timer.since_checkpoint() > self.settings.checkpoint_every:
            self.timer.update()
            self.checkpoints.save(self.history)
            self.timer.saved()
            self.report(self.history)
        if ending:
            signals.end()


def _judge(history: History, result: Validation) -> bool:
    """Keep what a validation found; whether the model is the best so far."""
    number = str(history.iteration)
    history.val_loss_history[number] = result.loss
    if result.scores:
        history.val_lang_stats_history[number] = result.scores
    history.val_predictions = result.predictions
    # A strict comparison, as NeuralTalk2: an equal score does not replace the earlier model.
    better = not history.best or result.score > history.best["score"]
    if not better or not math.isfinite(result.loss):
        return False
    history.best = {"iteration": history.iteration, "score": result.score, "by": result.by}
    return True
