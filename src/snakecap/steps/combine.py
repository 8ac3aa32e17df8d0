"""Several data sets as one (`a+b` in `config.yaml`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from snakecap.data.joined import joined
from snakecap.formats import pictures as records
from snakecap.provenance import code
from snakecap.provenance.identity import Output, step


@step
def combine(
    *, inputs: list[Path], pictures: Annotated[Path, Output], names: list[str] | None = None
) -> None:
    """Combine data sets into one; each picture keeps its split.

    Args:
        inputs: ``pictures.json`` of each data set.
        pictures: ``pictures.json`` to write.
        names: of the data sets, for ids that would collide; by default the folders that hold
            the inputs.

    Raises:
        ValueError: an input is no ``pictures.json``, or one image is in two of them.
    """
    names = names or [path.absolute().parent.name for path in inputs]
    if len(set(names)) != len(inputs):
        raise ValueError(f"combine needs one distinct name for each input, not {names}")
    collections = {n: records.read(path) for n, path in zip(names, inputs, strict=True)}
    records.write(pictures, joined(collections), **code.stamp())
