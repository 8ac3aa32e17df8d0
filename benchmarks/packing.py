"""Captions per second of `vocabulary` + `encode`, against prepro.py's way of doing it.

The baseline counts words one by one and writes the HDF5 file caption by caption.
Prints one JSON: ``python benchmarks/packing.py [CAPTIONS] [REPEATS]``.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import statistics
import string
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from snakecap.formats import pictures as picture_files
from snakecap.formats.pictures import Collection, Picture
from snakecap.steps.encode import encode
from snakecap.steps.vocabulary import vocabulary

PER_PICTURE = 5
MAX_LENGTH = 16


def captions(number: int) -> list[str]:
    """English-like captions: 10 words on average, word frequencies by Zipf's law."""
    generator = random.Random(0)
    words = ["".join(generator.choices(string.ascii_lowercase, k=6)) for _ in range(30_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    said = iter(generator.choices(words, weights, k=number * 14))
    return [
        " ".join(next(said) for _ in range(generator.randint(6, 14))).capitalize() + "."
        for _ in range(number)
    ]


def ours(folder: Path) -> None:
    """Both stages, files to files."""
    with contextlib.redirect_stdout(io.StringIO()):
        vocabulary(pictures=folder / "pictures.json", vocabulary=folder / "vocabulary.json")
    encode(
        pictures=folder / "pictures.json",
        vocabulary=folder / "vocabulary.json",
        captions=folder / "captions.h5",
    )


def baseline(folder: Path) -> None:
    """Word by word and row by row."""
    records = json.loads((folder / "pictures.json").read_text())["pictures"]
    tokenised = []
    counts: dict[str, int] = {}
    for record in records:
        for caption in record["captions"]:
            kept = "".join(c for c in caption.lower() if c not in string.punctuation)
            tokens = kept.strip().split()
            tokenised.append(tokens)
            for token in tokens:
                counts[token] = counts.get(token, 0) + 1
    ids = {word: i + 1 for i, word in enumerate(w for w, n in counts.items() if n > 5)}
    with h5py.File(folder / "baseline.h5", "w") as file:
        labels = file.create_dataset("labels", (len(tokenised), MAX_LENGTH), np.uint32)
        for row, tokens in enumerate(tokenised):
            line = np.zeros(MAX_LENGTH, np.uint32)
            for k, token in enumerate(tokens[:MAX_LENGTH]):
                line[k] = ids.get(token, len(ids) + 1)
            labels[row] = line


def median_seconds(function: Callable[[Path], None], folder: Path, repeats: int) -> float:
    """Median wall time of some runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function(folder)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main(number: int = 100_000, repeats: int = 3) -> None:
    """Measure and print."""
    said = captions(number)
    pictures = tuple(
        Picture(i, f"{i}.jpg", "train", tuple(said[i * PER_PICTURE : (i + 1) * PER_PICTURE]))
        for i in range(number // PER_PICTURE)
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        picture_files.write(folder / "pictures.json", Collection(folder, pictures))
        fast = median_seconds(ours, folder, repeats)
        slow = median_seconds(baseline, folder, repeats)
    result = {
        "captions": number,
        "captions_per_second": round(number / fast),
        "baseline_captions_per_second": round(number / slow),
        "ratio": round(slow / fast, 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
