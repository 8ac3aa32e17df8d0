"""``model.safetensors``: weights and, in the header, all it takes to caption with them.

No pickle: loading executes nothing, and works on any device. The header's metadata has one key,
``snakecap``, which holds JSON:

- ``settings``: parts, width, backbone, preprocessing, geometry and stage (`settings.Training`);
- ``vocabulary``: words, tokenizer and counts, as in ``vocabulary.json``;
- ``best``: the iteration, and the validation score that chose it;
- ``code``, ``parameters``, ``words``: the code's digest, and how large the model is;
- ``shared``: second names of tensors that are stored once (tied embeddings).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import Module

from snakecap.formats.atomic import writing

KEY = "snakecap"


def write(path: Path, weights: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write weights (any device, any layout) and a JSON-able header, atomically."""
    # safetensors refuses tensors that share memory, such as tied embeddings.
    seen: dict[tuple[int, tuple[int, ...]], str] = {}
    kept: dict[str, Tensor] = {}
    shared: dict[str, str] = {}
    for name, tensor in weights.items():
        place = (tensor.data_ptr(), tuple(tensor.shape))
        if tensor.numel() and place in seen:
            shared[name] = seen[place]
        else:
            seen[place] = name
            kept[name] = tensor.detach().cpu().contiguous()
    text = json.dumps({**header, "shared": shared}, ensure_ascii=True)
    with writing(path) as temporary:
        save_file(kept, temporary, metadata={KEY: text})


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the weights, on the CPU, and the header.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a model of snakecap, or damaged; names the file.
    """
    header = read_header(path)
    try:
        with safe_open(path, "pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable .safetensors file: {error}") from None
    weights.update({name: weights[source] for name, source in header.pop("shared").items()})
    return weights, header


def read_header(path: Path) -> dict[str, Any]:
    """The header alone, without the weights; raises as `read`."""
    if not path.is_file():
        raise FileNotFoundError(f"no model at {path}")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable .safetensors file: {error}") from None
    if not metadata or KEY not in metadata:
        raise ValueError(f"{path} holds weights but no snakecap header: it is not our model")
    try:
        header: dict[str, Any] = json.loads(metadata[KEY])
        header["shared"].items()
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(f"{path} is damaged: its snakecap header cannot be read") from None
    return header


def fill(network: Module, weights: Mapping[str, Tensor], what: str) -> None:
    """Fill a network with a state dict; `what` says whose it is, for messages.

    Raises:
        ValueError: it is another architecture's; lists what does not fit.
    """
    wanted = network.state_dict()
    shapes = [
        f"{name} {tuple(weights[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in wanted
        if name in weights and weights[name].shape != wanted[name].shape
    ]
    faults = {
        "missing": [name for name in wanted if name not in weights],
        "unexpected": [name for name in weights if name not in wanted],
        "of another shape": shapes,
    }
    lines = [
        f"  {len(names)} {fault}: {'; '.join(names[:8])}{' ...' if len(names) > 8 else ''}"
        for fault, names in faults.items()
        if names
    ]
    if lines:
        raise ValueError(f"the weights of {what} do not fit:\n" + "\n".join(lines))
    network.load_state_dict(weights)
