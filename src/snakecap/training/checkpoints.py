"""What a training run has been through, and the checkpoints that a killed run continues from.

A checkpoint is one .safetensors file, whole or absent, with a checksum over all that it holds. The
best weights so far are files of their own, each of which a checkpoint names; so every checkpoint
is complete with what it needs, and a damaged one falls back to its elder.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from snakecap.formats.atomic import writing
from snakecap.log import logger
from snakecap.training.optimisers import Group


@dataclass
class History:
    """What a run has been through; the field names are those of NeuralTalk2's report.

    Attributes:
        iteration: steps done.
        seconds: spent training, validation not counted.
        captions: trained on, with repeats.
        first_loss: what an explosion is measured by.
        loss_history: training loss, in nats a token, by iteration.
        objective_history: its parts by name, where an objective has several, by iteration;
            self-critical training reports what is not part of it too: the mean reward, BLEU-4,
            distinct n-grams a word, repetition.
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
    objective_history: dict[str, dict[str, float]] = field(default_factory=dict)
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
        tensors = {f"model/{name}": tensor for name, tensor in _weights(self.model).items()}
        for index, group in enumerate(self.groups):
            tensors.update({f"group{index}/{name}": t for name, t in group.state().items()})
        tensors["random"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random_cuda"] = torch.cuda.get_rng_state()
        path = self.work / f"checkpoint-{history.iteration:09d}.safetensors"
        _write(path, tensors, vars(history))
        paths = sorted(self.work.glob("checkpoint-*.safetensors"))
        for path in paths[:-2]:
            path.unlink()
        needed = {_best(_history(path)) for path in paths[-2:]}
        for path in self.work.glob("best-*.safetensors"):
            if path.stem not in needed:
                path.unlink()

    def restore(self) -> History | None:
        """Take up the newest checkpoint that is whole, as are its best weights."""
        for path in sorted(self.work.glob("checkpoint-*.safetensors"), reverse=True):
            try:
                tensors, history = _read(path)
                if history.best:
                    _read(self.work / f"{_best(history)}.safetensors")
            except DamagedError as error:
                logger.warning("%s: trying the checkpoint before", error)
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

    def save_best(self, history: History) -> None:
        """Keep the model's weights as the best; those that a checkpoint needs stay."""
        self._save_weights(_best(history), history)

    def save_last(self, history: History) -> None:
        self._save_weights("last", history)

    def _save_weights(self, name: str, history: History) -> None:
        _write(self.work / f"{name}.safetensors", _weights(self.model), vars(history))

    def load_best(self, history: History) -> None:
        """Take up the best weights.

        Raises:
            DamagedError: they are not what was written.
        """
        weights, _ = _read(self.work / f"{_best(history)}.safetensors")
        self.model.load_state_dict(weights, strict=False)


class DamagedError(ValueError):
    """A file of the work folder is not what was written; the message names it."""


def _best(history: History) -> str:
    return f"best-{history.best['iteration']:09d}" if history.best else ""


def _write(path: Path, tensors: Mapping[str, Tensor], history: Mapping[str, Any]) -> None:
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(history)
    metadata = {"history": text, "checksum": _checksum(kept, text)}
    with writing(path) as temporary:
        save_file(kept, temporary, metadata=metadata)


def _read(path: Path) -> tuple[dict[str, Tensor], History]:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata["checksum"] != _checksum(tensors, metadata["history"]):
            raise ValueError("another checksum")
        return tensors, History(**json.loads(metadata["history"]))
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise DamagedError(f"{path} is damaged ({error})") from error


def _history(path: Path) -> History:
    """The history alone, for which the tensors are not read; empty when it cannot be read."""
    try:
        with safe_open(path, "pt") as file:
            return History(**json.loads(file.metadata()["history"]))
    except (SafetensorError, OSError, ValueError, TypeError, KeyError):
        return History()


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    """A CRC over names, types, shapes and values: safetensors does not notice a flipped bit."""
    value = zlib.crc32(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        value = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), value)
        value = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, value)
    return f"{value:08x}"


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


class Timer:
    """Seconds of training, without validation, and seconds since the last checkpoint."""

    def __init__(self, history: History):
        self.history = history
        self.mark = self.checkpoint = time.perf_counter()

    def update(self) -> None:
        """Count the time until now as training."""
        now = time.perf_counter()
        self.history.seconds += now - self.mark
        self.mark = now

    def skip(self) -> None:
        """Leave out the time until now."""
        self.mark = time.perf_counter()

    def since_checkpoint(self) -> float:
        return time.perf_counter() - self.checkpoint

    def saved(self) -> None:
        """A checkpoint was saved now; what that took is not counted."""
        self.checkpoint = self.mark = time.perf_counter()
