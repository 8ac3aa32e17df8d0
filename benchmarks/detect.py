"""Detection speed, images/s, beside a plain loop: decode a picture, look at it, the next one.

What bounds it: the network's arithmetic; decoding JPEGs overlaps it where there are free cores.

    python benchmarks/detect.py yolox_nano_416.onnx --images photos --threads 2
    python benchmarks/detect.py model.safetensors --part yolov2 --images photos
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import torch
from measure import alternate

from snakecap.config import settings
from snakecap.formats import pictures as records
from snakecap.formats.atomic import write_json
from snakecap.formats.decode import load_whole
from snakecap.formats.pictures import Collection, Picture
from snakecap.inference.detector import build_detector
from snakecap.steps.detect import detect


def collection(folder: Path, number: int) -> Collection:
    files = sorted(path.name for path in folder.iterdir() if path.is_file())
    rows = [Picture(k, name, "test") for k, name in enumerate(files[:number])]
    return Collection(folder.resolve(), tuple(rows))


def plain(photos: Collection, row: settings.Detector, device: str, output: Path) -> None:
    assert row.file is not None
    place = torch.device(device)
    detector = build_detector(row, file=Path(row.file), categories=(), place=place)
    found = []
    for picture in photos.pictures:
        (seen,) = detector.detect([picture], [load_whole(photos.root / picture.file)])
        found.append([seen.boxes.tolist(), seen.categories.tolist(), seen.scores.tolist()])
    write_json(output, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="weights")
    parser.add_argument("--part", default="yolox")
    parser.add_argument("--images", required=True, help="folder of image files")
    parser.add_argument("--number", type=int, default=128, help="pictures")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    row = settings.Detector(part=given.part, file=given.file, batch_size=given.batch_size)
    photos = collection(Path(given.images), given.number)
    speeds: list[float] = []  # the stage's own measure, without starting
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = folder / "pictures.json"
        records.write(pictures, photos)

        def ours() -> None:
            files = {key: folder / key for key in ("detections", "info", "rejected")}
            detect(pictures=pictures, settings=row, device=given.device, **files)
            speeds.append(json.loads(files["info"].read_text())["throughput"])

        def loop() -> None:
            plain(photos, row, given.device, folder / "plain.json")

        medians = alternate({"plain": loop, "ours": ours}, given.rounds)
    number = len(photos.pictures)
    result = {
        "benchmark": "detect",
        "pictures_per_second": {key: number / value for key, value in medians.items()},
        "without_starting": statistics.median(speeds[1:]),
        "times_the_baseline": medians["plain"] / medians["ours"],
        **vars(given),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
