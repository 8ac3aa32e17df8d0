"""The one training loop: every model that returns named losses trains here.

A killed run continues from its newest checkpoint as if nothing had happened: weights, optimisers,
random state and histories are saved together, and the batches are a function of the iteration.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from snakecap.files.atomic import writing
from snakecap.log import bar, logger
from snakecap.optimisers.group import Group

Batch = Any


@dataclass
class History:
    """What a run has been through; the field names are those of NeuralTalk2's report.

    Attributes:
        iteration: steps done.
        seconds: spent training, validation not counted.
        captions: trained on, with repeats.
        first_loss: what an explosion is measured by.
        loss_history: training loss, in nats a token, by iteration.
        val_loss_history: validation loss, the mean over all tokens, by iteration.
        val_lang_stats_history: metrics of the greedy validation captions, by iteration.
        val_predictions: the newest of these captions, as COCO results.
        best: the iteration of the best model, its score, and the number that decides.
        stopped: why training ended early; empty otherwise.
    """

    iteration: int = 0
    seconds: float = 0.0
    captions: int = 0
    first_loss: float | None = None
    loss_history: dict[str, float] = field(default_factory=dict)
    val_loss_history: dict[str, float] = field(default_factory=dict)
    val_lang_stats_history: dict[str, dict[str, float]] = field(default_factory=dict)
    val_predictions: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    stopped: str = ""


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


def fit(
    model: nn.Module,
    *,
    loss: Callable[[Batch], Mapping[str, Tensor]],
    batch: Callable[[int], Batch],
    groups: Callable[[int], list[Group]],
    every_group: list[Group],
    factor: Callable[[int], float],
    validate: Callable[[], Validation],
    report: Callable[[History], None],
    plan: Plan,
    work: Path,
    captions_in: Callable[[Batch], int],
    title: str = "train",
) -> History:
    """Train `model` in place; it ends with the best weights, the last ones in ``work/last``.

    Args:
        model: any module; its state is what the checkpoints hold.
        loss: named losses of a batch; their sum is minimised.
        batch: the batch of an iteration (from 0), a pure function of its number.
        groups: the optimiser groups that step at an iteration; sets the model's mode.
        every_group: all of them, in a fixed order.
        factor: of the learning rates, by iteration.
        validate: evaluates the model as it is.
        report: called with the history whenever it has grown.
        plan: iterations and intervals.
        work: folder of the checkpoints.
        captions_in: how many captions a batch holds, for the throughput.
        title: of the progress bar.
    """
    state = _State(model, every_group, work)
    history = state.restore() or History()
    timer = _Timer(history)
    with bar(title=title, total=plan.iterations, unit="step", initial=history.iteration) as steps:
        while history.iteration < plan.iterations and not history.stopped:
            now = history.iteration
            examples = batch(now)
            value = _step(loss, examples, groups(now), factor(now), plan.precision)
            history.iteration += 1
            history.captions += captions_in(examples)
            _record(history, value, plan)
            steps.update()
            last = history.iteration == plan.iterations or bool(history.stopped)
            if history.iteration % plan.log_every == 0 or last:
                timer.update()
                rate = history.captions / max(history.seconds, 1e-9)
                text = f"loss {float(value):.3f}, {rate:.0f} captions/s"
                steps.set_postfix_str(text, refresh=False)
            if history.iteration % plan.validate_every == 0 or last:
                timer.update()
                _judge(history, validate(), state)
                timer.skip()
                report(history)
            if timer.since_checkpoint() > plan.checkpoint_every:
                timer.update()
                state.save(history)
                timer.saved()
                report(history)
    timer.update()
    state.save(history)
    report(history)
    state.save_weights("last")
    state.load_weights("best")
    return history


def _step(
    loss: Callable[[Batch], Mapping[str, Tensor]],
    examples: Batch,
    groups: list[Group],
    factor: float,
    precision: str,
) -> Tensor:
    device = groups[0].parameters[0].device.type
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
        losses = loss(examples)
    total = torch.stack(list(losses.values())).sum()
    total.backward()  # type: ignore[no-untyped-call]
    for group in groups:
        group.step(factor)
    return total.detach()


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


def _judge(history: History, result: Validation, state: _State) -> None:
    number = str(history.iteration)
    history.val_loss_history[number] = result.loss
    if result.scores:
        history.val_lang_stats_history[number] = result.scores
    history.val_predictions = result.predictions
    # A strict comparison, as NeuralTalk2: an equal score does not replace the earlier model.
    if not history.best or result.score > history.best["score"]:
        history.best = {"iteration": history.iteration, "score": result.score, "by": result.by}
        state.save_weights("best")


class _Timer:
    """Seconds of training, without validation, and seconds since the last checkpoint."""

    def __init__(self, history: History):
        self.history = history
        self.mark = self.checkpoint = time.perf_counter()

    def update(self) -> None:
        now = time.perf_counter()
        self.history.seconds += now - self.mark
        self.mark = now

    def skip(self) -> None:
        self.mark = time.perf_counter()

    def since_checkpoint(self) -> float:
        return time.perf_counter() - self.checkpoint

    def saved(self) -> None:
        self.checkpoint = self.mark = time.perf_counter()


class _State:
    """Everything a checkpoint holds; the newest two are kept."""

    def __init__(self, model: nn.Module, groups: list[Group], work: Path):
        self.model = model
        self.groups = groups
        self.work = work

    def save(self, history: History) -> None:
        tensors = {f"model/{name}": t.contiguous() for name, t in _weights(self.model).items()}
        for index, group in enumerate(self.groups):
            tensors.update({f"group{index}/{name}": t for name, t in group.state().items()})
        tensors["random"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random_cuda"] = torch.cuda.get_rng_state()
        path = self.work / f"checkpoint-{history.iteration:09d}.safetensors"
        with writing(path) as temporary:
            save_file(tensors, temporary, metadata={"history": json.dumps(vars(history))})
        for old in sorted(self.work.glob("checkpoint-*.safetensors"))[:-2]:
            old.unlink()

    def restore(self) -> History | None:
        """Take up the newest checkpoint that reads; a damaged one falls back to its elder."""
        from safetensors import SafetensorError, safe_open

        for path in sorted(self.work.glob("checkpoint-*.safetensors"), reverse=True):
            try:
                tensors = load_file(path)
                with safe_open(path, "pt") as file:
                    history = History(**json.loads(file.metadata()["history"]))
            except SafetensorError as error:
                logger.warning("%s is damaged (%s): trying the one before", path, error)
                continue
            self._load(tensors)
            logger.info("continuing from %s (iteration %d)", path.name, history.iteration)
            return history
        return None

    def _load(self, tensors: dict[str, Tensor]) -> None:
        self.model.load_state_dict(_under("model/", tensors), strict=False)
        for index, group in enumerate(self.groups):
            group.restore(_under(f"group{index}/", tensors))
        torch.set_rng_state(tensors["random"])
        if "random_cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["random_cuda"])

    def save_weights(self, name: str) -> None:
        with writing(self.work / f"{name}.safetensors") as temporary:
            save_file({k: t.contiguous() for k, t in _weights(self.model).items()}, temporary)

    def load_weights(self, name: str) -> None:
        self.model.load_state_dict(load_file(self.work / f"{name}.safetensors"), strict=False)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """The state without a second name for shared tensors (tied embeddings)."""
    seen: set[int] = set()
    found: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen or not tensor.numel():
            seen.add(tensor.data_ptr())
            found[name] = tensor.detach()
    return found


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
