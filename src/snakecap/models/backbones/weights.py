"""A backbone's weights: torchvision's, a local state dict, or random."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snakecap.formats import model as models
from snakecap.log import logger
from snakecap.models.backbones.backbone import Backbone

SEED = 0  # of random weights; fixed, so that cached features and a later model share them
# torchvision's first DenseNet files: norm.1.weight, since renamed norm1.weight.
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.)")


def load_weights(backbone: Backbone, architecture: str, weights: str) -> None:
    """Fill a backbone in place.

    Args:
        weights: ``torchvision`` or ``timm`` (its default weights, fetched once into its cache),
            ``random``, or a .pth, .pt, .safetensors or .npz state dict with torchvision's names.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file's format is unknown, or its arrays do not fit; lists them.
        RuntimeError: the published weights cannot be fetched.
    """
    if weights == "random":
        _randomise(backbone)
        return
    publishers = {"torchvision": _published, "timm": _timms}
    publisher = publishers.get(weights)
    found = publisher(architecture) if publisher else read(Path(weights))
    _fill(backbone, found, f"{architecture} from {weights}")


def digest(backbone: Backbone) -> str:
    """The sha256 of all weights, names and shapes, as hex: two equal backbones, one digest."""
    total = hashlib.sha256()
    for name, value in sorted(backbone.state_dict().items()):
        array = value.detach().cpu().contiguous()
        total.update(f"{name}{tuple(array.shape)}{array.dtype}".encode())
        total.update(array.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def read(path: Path) -> dict[str, Tensor]:
    """A state dict from a file; nothing in the file is executed."""
    if not path.is_file():
        raise FileNotFoundError(
            f"no weights at {path}: give `torchvision`, `random`, or the path of a file"
        )
    readers = {".safetensors": _safetensors, ".npz": _npz, ".pth": _torch, ".pt": _torch}
    reader = readers.get(path.suffix)
    if reader is None:
        raise ValueError(f"{path}: weights are read from {', '.join(readers)}")
    try:
        state = reader(path)
    except Exception as error:  # each library has its own errors for a broken file
        raise ValueError(f"{path} is not a state dict: {error}") from error
    plain = all(isinstance(value, Tensor) for value in state.values())
    if not state or not plain:
        raise ValueError(f"{path} is not a state dict: names to arrays")
    return {name.removeprefix("module."): value for name, value in state.items()}


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def _npz(path: Path) -> dict[str, Tensor]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def _torch(path: Path) -> dict[str, Any]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, Mapping):
        raise ValueError(f"it holds a {type(state).__name__}")
    inner = state.get("state_dict", state)
    return dict(inner)


def _published(architecture: str) -> dict[str, Tensor]:
    from torchvision.models import get_model_weights

    chosen = get_model_weights(architecture).DEFAULT
    try:
        state: dict[str, Tensor] = chosen.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network, or a file cut short
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise RuntimeError(
            f"torchvision's weights of {architecture} cannot be fetched ({error}). Download "
            f"{chosen.url} elsewhere and put it in {folder}, or set the backbone's weights to a "
            "local state dict"
        ) from error
    return state


def _timms(architecture: str) -> dict[str, Tensor]:
    import timm

    name = architecture.removeprefix("timm/")
    try:
        state: dict[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # of the hub's client: no network, no such file, no weights
        raise RuntimeError(
            f"timm's weights of {name} cannot be fetched ({error}): set the backbone's weights to "
            "a local state dict"
        ) from error
    return state


def _randomise(backbone: Backbone) -> None:
    logger.warning(
        "backbone %s has RANDOM weights: unless it is trained, captions cannot follow the pictures",
        backbone.architecture,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        fresh = type(backbone)(backbone.architecture, backbone.class_scores)
    backbone.load_state_dict(fresh.state_dict())


def _fill(backbone: Backbone, found: Mapping[str, Tensor], what: str) -> None:
    given = backbone.translated(found)
    given = {OLD_DENSENET.sub(r"\1\2", name): value for name, value in given.items()}
    given = {name: given[name] for name in given if not name.startswith(backbone.dropped)}
    # Batch norm's count of batches has no effect here, and older files lack it.
    wanted = backbone.net.state_dict()
    counts = {name: wanted[name] for name in wanted if name.endswith("num_batches_tracked")}
    models.fill(backbone.net, {**counts, **given}, what)
