"""``captions.h5`` and ``captions.json``: captions as ids, in NeuralTalk2's format (prepro.py).

For N pictures with M captions of at most D words, the HDF5 file has

- ``/labels`` uint32 (M, D): ids 1..V, padded with 0; a picture's captions are adjacent;
- ``/label_start_ix``, ``/label_end_ix`` uint32 (N,): first and last row, counted from 1, both
  included. A picture without captions has start = end + 1;
- ``/label_length`` uint32 (M,): words of each caption, 1..D;
- ``/images``, if the pictures' pixels are given: an external link to ``images.h5``.

The JSON beside it, of the same name, has ``ix_to_word`` ({"1": word, ...}) and ``images``
([{split, file_path, id}, ...], row by row).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snakecap.formats.atomic import read_json, write_json, writing

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Captions:
    """Captions as ids; N pictures, M captions, D words at most.

    Attributes:
        labels: (M, D) ids 1..V, padded with 0.
        starts, ends: (N,) the captions of picture i are ``labels[starts[i]:ends[i]]``.
        lengths: (M,) words of each caption.
        words: the word of id i is ``words[i - 1]``.
    """

    labels: Integers
    starts: Integers
    ends: Integers
    lengths: Integers
    files: tuple[str, ...]
    splits: tuple[str, ...]
    ids: tuple[int | str, ...]
    words: tuple[str, ...]

    @property
    def counts(self) -> Integers:
        """(N,) captions of each picture."""
        return self.ends - self.starts

    def rows(self, *splits: str) -> Integers:
        return np.flatnonzero(np.isin(np.asarray(self.splits, dtype=object), splits))


def pack(captions: Sequence[Sequence[int]], max_length: int) -> tuple[Integers, Integers]:
    """M lists of ids, clipped to D: labels (M, D), padded with 0, and lengths (M,)."""
    clipped = [caption[:max_length] for caption in captions]
    lengths = np.fromiter(map(len, clipped), np.int64, len(clipped))
    labels = np.zeros((len(clipped), max_length), np.int64)
    ids = (i for caption in clipped for i in caption)
    labels[np.arange(max_length) < lengths[:, None]] = np.fromiter(ids, np.int64, lengths.sum())
    return labels, lengths


def write(path: Path, captions: Captions, images: Path | None = None, **stamp: Any) -> None:
    """Write ``captions.h5``, linked to `images` of the same rows, and the JSON beside it."""
    pictures = zip(captions.splits, captions.files, captions.ids, strict=True)
    index = {
        "ix_to_word": {str(i): word for i, word in enumerate(captions.words, start=1)},
        "images": [{"split": s, "file_path": f, "id": i} for s, f, i in pictures],
    }
    write_json(path.with_suffix(".json"), index)
    with writing(path) as temporary, h5py.File(temporary, "w") as file:
        file["labels"] = captions.labels.astype(np.uint32)
        file["label_start_ix"] = (captions.starts + 1).astype(np.uint32)
        file["label_end_ix"] = captions.ends.astype(np.uint32)
        file["label_length"] = captions.lengths.astype(np.uint32)
        file.attrs["stamp"] = json.dumps(stamp)
        if images is not None:
            file["images"] = h5py.ExternalLink(os.path.relpath(images, path.parent), "images")


def read(path: Path) -> Captions:
    """Read ``captions.h5`` and the JSON beside it; NeuralTalk2's own files are read too.

    Raises:
        ValueError: a file is missing, is not of this format, or the two disagree; names it.
    """
    beside = path.with_suffix(".json")
    try:
        index = read_json(beside)
        with h5py.File(path) as file:
            names = ("labels", "label_start_ix", "label_end_ix", "label_length")
            labels, first, last, lengths = (file[name][()].astype(np.int64) for name in names)
        pictures = index["images"]
        words = tuple(index["ix_to_word"][str(i + 1)] for i in range(len(index["ix_to_word"])))
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(f"{path} and {beside.name} are not a captions file: {error!r}") from None
    if len(pictures) != len(first):
        raise ValueError(f"{path} has {len(first)} pictures, {beside.name} has {len(pictures)}")
    return Captions(
        labels=labels,
        starts=first - 1,
        ends=last,
        lengths=lengths,
        files=tuple(picture.get("file_path", "") for picture in pictures),
        splits=tuple(picture["split"] for picture in pictures),
        ids=tuple(picture.get("id", row) for row, picture in enumerate(pictures)),
        words=words,
    )
