"""What a training run has been through, and the checkpoints that a killed run continues from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from snakecap.files.atomic import writing
from snakecap.log import logger
from snakecap.optimisers.group import Group


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


class Checkpoints:
    """Everything a checkpoint holds; the newest two are kept."""

    def __init__(self, model: nn.Module, groups: list[Group], work: Path):
        self.model = model
        self.groups = groups
        self.work = work

    def save(self, history: History) -> None:
        """Write a checkpoint; only then is the one before the last removed."""
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
        """Keep the model's weights alone under a name."""
        with writing(self.work / f"{name}.safetensors") as temporary:
            save_file({k: t.contiguous() for k, t in _weights(self.model).items()}, temporary)

    def load_weights(self, name: str) -> None:
        """Take up weights that were kept."""
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
