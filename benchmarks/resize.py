"""Resize speed, images/s, beside the plain loop that research code has (Pillow and h5py, one row).

What bounds it: JPEG decoding and Pillow's antialiased resize, both on the CPU, one core an image.

    python benchmarks/resize.py
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

import h5py
import numpy as np
from measure import alternate
from PIL import Image

from snakecap.config.settings import Resize
from snakecap.formats import pictures
from snakecap.steps.resize import resize


def photos(folder: Path, number: int, width: int, height: int) -> list[str]:
    """JPEG files with detail at every scale, as photos have."""
    random = np.random.default_rng(0)
    names = [f"{k}.jpg" for k in range(number)]
    for name in names:
        total = np.zeros((height, width, 3))
        for cells in (3, 12, 48, 192):
            noise = random.integers(0, 256, (cells, cells, 3), np.uint8)
            total += np.asarray(Image.fromarray(noise).resize((width, height), 3)) / cells**0.5
        Image.fromarray((total * 255 / total.max()).astype(np.uint8)).save(folder / name)
    return names


def plain(folder: Path, names: list[str], size: int) -> None:
    """NeuralTalk2's prepro.py, with Pillow in scipy's place."""
    with h5py.File(folder / "plain.h5", "w") as file:
        images = file.create_dataset("images", (len(names), 3, size, size), "uint8")
        for row, name in enumerate(names):
            image = Image.open(folder / name).convert("RGB").resize((size, size), 2)
            images[row] = np.asarray(image).transpose(2, 0, 1)


def ours(folder: Path, size: int, workers: int) -> None:
    out = folder / "out"
    resize(
        pictures=folder / "pictures.json",
        images=out / "images.h5",
        rejected=out / "rejected.tsv",
        settings=Resize(size=size),
        workers=workers,
    )
    shutil.rmtree(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=1500, help="pictures")
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument("--height", type=int, default=375)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        names = photos(folder, min(given.number, 50), given.width, given.height)
        while len(names) < given.number:  # copies: the file system's cache is warm either way
            copy = f"{len(names)}.jpg"
            shutil.copy(folder / names[len(names) % 50], folder / copy)
            names.append(copy)
        records = tuple(pictures.Picture(k, name, "train") for k, name in enumerate(names))
        pictures.write(folder / "pictures.json", pictures.Collection(folder, records))
        medians = alternate(
            {
                "plain": lambda: plain(folder, names, given.size),
                "one_process": lambda: ours(folder, given.size, 1),
                "all_cores": lambda: ours(folder, given.size, cores),
            },
            given.rounds,
        )
    result = {
        "benchmark": "resize",
        "images_per_second": {name: given.number / value for name, value in medians.items()},
        "times_the_baseline": medians["plain"] / medians["all_cores"],
        "cores": cores,
        **vars(given),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
