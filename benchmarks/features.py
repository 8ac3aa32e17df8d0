"""Feature extraction speed, pictures/s, beside a loop of one picture at a time.

What bounds it: the network's arithmetic; reading and writing overlap it or are far below.

    python benchmarks/features.py --architecture squeezenet1_0
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import h5py
import numpy as np
import torch
from measure import alternate

from snakecap.config import settings
from snakecap.formats import images as images_h5
from snakecap.models.backbones.preprocess import look
from snakecap.steps.features import Extraction, features, load


def pictures(path: Path, number: int, size: int) -> None:
    images_h5.create(path, [f"{k}.jpg" for k in range(number)], size, "squash", {})
    writer = images_h5.Rows(path)
    random = np.random.default_rng(0)
    for row in range(number):
        writer.write(row, random.integers(0, 256, (3, size, size), np.uint8))
    writer.close()


def plain(path: Path, row: settings.Backbone) -> None:
    """One picture, one forward pass, one row."""
    backbone = load(row)
    values = row.preprocess.model_dump()
    with h5py.File(path) as file, h5py.File(path.with_name("plain.h5"), "w") as output:
        data = file["images"]
        out = output.create_dataset("features", (len(data), backbone.width), "float32")
        with torch.no_grad():
            for k in range(len(data)):
                pixels = torch.from_numpy(data[k : k + 1])
                out[k] = look(backbone, pixels, "pooled", **values)[0].numpy()


def ours(path: Path, row: settings.Backbone, batch_size: int, device: str) -> None:
    output = path.with_name("features.lmdb")
    files = {"images": path, "features": output}
    features(**files, settings=Extraction(backbone=row), batch_size=batch_size, device=device)
    output.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", default="squeezenet1_0")
    parser.add_argument("--number", type=int, default=64, help="pictures")
    parser.add_argument("--size", type=int, default=227)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    row = settings.Backbone(
        architecture=given.architecture,
        weights="random",
        preprocess=settings.Preprocess(crop=None),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.h5"
        pictures(path, given.number, given.size)
        medians = alternate(
            {
                "plain": lambda: plain(path, row),
                "ours": lambda: ours(path, row, given.batch_size, given.device),
            },
            given.rounds,
        )
    result = {
        "benchmark": "features",
        "pictures_per_second": {name: given.number / value for name, value in medians.items()},
        "times_the_baseline": medians["plain"] / medians["ours"],
        **vars(given),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
