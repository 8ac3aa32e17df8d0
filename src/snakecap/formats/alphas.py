"""``*_alphas.npy``, DeepCaption's: what each word of captions looks at in its picture's grid.

Source: DeepCaption's infer.py before its commit 3e7006c, which wrote them beside the captions.

A float16 array (N, T, R): N captions in the order of the JSON beside it, T words at most
(``decoding.max_length``), R cells of the grid, row by row from the top left. A word's weights sum
to 1, less what it looks at elsewhere, such as objects; behind the last word they are 0. R is 0 for
a model that looks at no grid. A caption's ``grid`` in the JSON is how much of the picture's sides,
in its middle, the grid covers: less than 1 where the backbone sees a crop.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snakecap.formats.atomic import writing

Alphas = NDArray[np.float16]


def write(path: Path, alphas: Alphas | None) -> None:
    """Write alphas; None: of no grid."""
    found = np.zeros((0, 0, 0), np.float16) if alphas is None else alphas
    with writing(path) as temporary, temporary.open("wb") as file:
        np.save(file, found, allow_pickle=False)


def read(path: Path, captions: int) -> Alphas | None:
    """The alphas of so many captions, read where they are looked at; None when they are of no grid.

    Raises:
        ValueError: something else, or of another number of captions; names the file.
    """
    try:
        found = np.load(path, mmap_mode="r" if path.stat().st_size > 256 else None)
    except ValueError as error:
        raise ValueError(f"{path} is no .npy of numbers: {error}") from None
    if found.ndim != 3 or found.dtype.kind != "f":
        raise ValueError(
            f"{path} is {found.dtype} {found.shape}, not alphas (captions, words, cells)"
        )
    if not found.size:
        return None
    if len(found) != captions:
        raise ValueError(f"{path} has alphas of {len(found)} captions, the results have {captions}")
    return np.asarray(found)
