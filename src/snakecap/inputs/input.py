"""What every input is: one kind of thing that encoders read; and the inputs of a system.

One class a kind serves training, captions of a split, and a user's own photo. `registry.INPUTS`
names the classes; each says in plain values, which the settings read without importing it:

- ``table``: the table of ``config.yaml`` that an input's `source` is a row of; None: it is a file;
- ``kind``: what encoders call it in their ``reads``; ``{option}`` stands for that option's value;
- ``opens``: ``module:function`` that opens a `source` with its options, or says what is wrong with
  it, without torch: it is called before any job starts;
- ``mirrors``: False: there is nothing to read of a mirrored picture;
- ``files``: the options that name files.

Dimensions: B pictures of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from snakecap.config import options
from snakecap.config.settings import Stage, Training
from snakecap.formats import layouts as layout_files
from snakecap.objects.layout import Layout

FILES = {"backbones": "features or images.h5", "layouts": "layouts.h5"}
Photo = str | bytes | Path
Result = TypeVar("Result")
Tensors = dict[str, Tensor]  # what one encoder reads of a batch, by name
Inputs = dict[str, Tensors]  # of all of a system's inputs


@dataclass(frozen=True)
class Request:
    """What a caption is asked for: a photo, its layout, both, or features made elsewhere."""

    photo: Photo | None = None  # a path, or the bytes of an image file
    layout: Layout | None = None  # without one, models that read layouts need a detector
    arrays: Mapping[str, Any] | None = None  # features, by the name of the system's input

    @property
    def name(self) -> str:
        """For messages."""
        named = isinstance(self.photo, str | Path)
        return str(self.photo) if named else "the layout" if self.photo is None else "the image"

    def array(self, name: str) -> Any:
        """The features for an input.

        Raises:
            ValueError: there are none.
        """
        if self.arrays is None or name not in self.arrays:
            raise ValueError(
                f"the model reads features that were made elsewhere: caption a data set's split, "
                f'or in Python give the arrays, {{"{name}": ...}}'
            )
        return self.arrays[name]


def as_request(given: Any) -> Request:
    """Anything that `Model.caption` takes."""
    if isinstance(given, Request):
        return given
    if isinstance(given, str | Path) and Path(given).suffix.lower() == ".json":
        records = layout_files.read_json_layouts(Path(given))
        if len(records) != 1:
            raise ValueError(f"{given} holds {len(records)} layouts: give them one by one")
        return Request(records[0].photo, records[0].layout)
    if isinstance(given, str | bytes | Path):
        return Request(photo=given)
    if isinstance(given, Layout):
        return Request(layout=given)
    if isinstance(given, Mapping) and any(map(_is_array, given.values())):
        return Request(arrays=given)
    if isinstance(given, Mapping):
        return Request(layout=layout_files.from_json(given))
    raise TypeError(
        "captions are asked for paths, the bytes of image files, layouts, or a list of them, not "
        f"for a {type(given).__name__}"
    )


def _is_array(value: Any) -> bool:
    """One, or several that belong together: regions and their boxes."""
    return hasattr(value[0] if isinstance(value, tuple) and value else value, "__array__")


@dataclass(frozen=True)
class Draw:
    """The random choices of one training batch, from which every input takes its own."""

    generator: torch.Generator  # of further numbers, on the CPU
    flip: Tensor | None = None  # which pictures all inputs mirror, (B,); None: none
    # The pictures that are wanted; what they get is what the whole batch would give them.
    part: slice = field(default_factory=lambda: slice(None))
    # How much, see the settings of a stage.
    random_crop: bool = False
    object_dropout: float = 0.0
    box_jitter: float = 0.0


class Input:
    """Base class; `place` is the device of what is read."""

    table: str | None = None
    name = ""  # in the system
    made_elsewhere = False  # of a user's own photo nothing can be read here

    def __init__(self, place: torch.device):
        self.place = place

    def open(self, path: Path, keep: Sequence[str] = ()) -> None:
        """Take what is read from a file.

        Args:
            path: made by a step of the workflow, or named by the system's `source`.
            keep: pictures that are read again and again: held in memory where possible.

        Raises:
            ValueError: not such a file, or it lacks pictures of `keep`; names both.
        """
        raise NotImplementedError

    def has(self, file: str) -> bool:
        """Whether the open file holds a picture."""
        raise NotImplementedError

    def read(self, files: Sequence[str], draw: Draw | None = None) -> Tensors:
        """What encoders read of some pictures; augmented when there is a `draw`.

        Returns:
            Tensors whose first dimension is B, or the number of pictures in ``draw.part``.
        """
        raise NotImplementedError

    def of(self, request: Request) -> Tensors:
        """The same of a user's own picture, with B = 1.

        Raises:
            ValueError: the request lacks what is read, or it cannot be read; names it.
        """
        raise NotImplementedError

    def join(self, parts: Sequence[Tensors]) -> Tensors:
        """What `of` gave for several pictures, as one batch."""
        shared = [name for name in parts[0] if all(name in part for part in parts)]
        return {name: _joined([part[name] for part in parts]) for name in shared}

    def facts(self) -> dict[str, Any]:
        """What a model's file must say so that it can read a user's picture; JSON."""
        return {}

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Take up what `facts` gave, in place of `open`."""

    def sizes(self) -> dict[str, int]:
        """Arguments of encoders that depend on what is read, such as the number of categories."""
        return {}


def _joined(values: Sequence[Tensor]) -> Tensor:
    """Tensors (B, N, ...) one after the other, with zeros behind those of fewer N."""
    longest = max(value.shape[1] for value in values)
    joined = values[0].new_zeros(sum(map(len, values)), longest, *values[0].shape[2:])
    row = 0
    for value in values:
        joined[row : row + len(value), : value.shape[1]] = value
        row += len(value)
    return joined


def build_inputs(training: Training, place: torch.device) -> dict[str, Input]:
    """A system's inputs, by name, in alphabetical order."""
    available = {
        "place": place,
        "backbones": training.backbones,
        "geometry": training.geometry,
    }
    inputs: dict[str, Input] = {}
    for name, row in training.inputs.items():
        given = {**available, "source": row.source}
        inputs[name] = options.build("input", row.part, row.options, given)
        inputs[name].name = name
    return inputs


def open_inputs(
    inputs: Mapping[str, Input],
    paths: Sequence[Path],
    stage: Stage | None = None,
    keep: Sequence[str] = (),
) -> None:
    """Give each input its file, in the same order.

    Args:
        stage: a training stage that reads them; what it trains must look at pixels itself.

    Raises:
        ValueError: other files than these; says which are wanted.
    """
    if len(paths) != len(inputs):
        names = ", ".join(
            f"{name} ({FILES.get(one.table or '', 'its file')})" for name, one in inputs.items()
        )
        raise ValueError(f"--inputs: give {len(inputs)} files, in this order: {names}")
    for (name, one), path in zip(inputs.items(), paths, strict=True):
        cached = path.suffix == ".lmdb" and one.table == "backbones"
        if stage is not None and stage.reads_pictures and cached:
            raise ValueError(f"stage {stage.name} reads pictures: for {name} give an images.h5")
        one.open(path, keep)


class Prefetch(Generic[Result]):
    """Makes the next batch in a thread while this one is used; both are functions of a number."""

    def __init__(self, make: Callable[[int], Result], end: int):
        self.make = make
        self.end = end
        self.pool = ThreadPoolExecutor(1)
        self.pending: dict[int, Future[Result]] = {}

    def __call__(self, iteration: int) -> Result:
        """The batch of an iteration; the one after it starts being made."""
        future = self.pending.pop(iteration, None) or self.pool.submit(self.make, iteration)
        if iteration + 1 < self.end:
            self.pending[iteration + 1] = self.pool.submit(self.make, iteration + 1)
        return future.result()

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)
