"""Made-up inputs of the report: every file that the stage reads, small and deterministic."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from snakecap.formats import pictures as picture_files
from snakecap.formats.pictures import Collection, Picture
from snakecap.steps.report import report

CATEGORIES = ("person", "dog", "kite")
WORDS = ("a", "the", "red", "blue", "circle", "square", "above", "below", "dog", "runs", "on")


@dataclass
class Inputs:
    """Where the files are; `arguments` calls the stage."""

    folder: Path
    systems: list[str]
    pictures: list[Picture]
    files: dict[str, Any] = field(default_factory=dict)

    def arguments(self, out: Path, **changes: Any) -> dict[str, Any]:
        outputs = {
            "table_md": out / "table.md",
            "table_csv": out / "table.csv",
            "curves": out / "curves.svg",
            "page": out / "index.html",
        }
        return {"systems": self.systems, **self.files, **outputs, **changes}


def make(
    folder: Path,
    systems: tuple[str, ...] = ("plain/frozen", "plain/finetune", "other/frozen"),
    count: int = 12,
    side: int = 16,
    references: dict[int, list[str]] | None = None,
    captions: dict[tuple[str, int], str] | None = None,
    reads: tuple[str, ...] = (),
    categories: tuple[str, ...] = CATEGORIES,
) -> Inputs:
    """Write the inputs for `count` test pictures and one training picture.

    `references` and `captions` replace made-up sentences, by picture and by (system, picture).
    With `reads`, layouts and detectors of these names; what reads a layout has attention.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(7)
    pictures = [
        Picture(
            id=100 + at,
            file=f"photos/{at:03d}.jpg",
            split="test" if at < count else "train",
            captions=tuple((references or {}).get(100 + at, [_words(chance) for _ in range(3)])),
            width=(400, 300, 0)[at % 3],
            height=(300, 400, 0)[at % 3],
        )
        for at in range(count + 1)
    ]
    inputs = Inputs(folder, list(systems), pictures)
    inputs.files = {
        "pictures": folder / "pictures.json",
        "images": folder / "images.h5",
        "references": folder / "references.json",
        "captions": [],
        "scores": [],
        "controls": [],
        "histories": [],
    }
    picture_files.write(inputs.files["pictures"], Collection(folder, tuple(pictures)))
    _images(inputs.files["images"], [p.file for p in pictures], side)
    test = [picture for picture in pictures if picture.split == "test"]
    _json(inputs.files["references"], picture_files.references(test))
    for at, system in enumerate(systems):
        _system(inputs, at, system, test, captions or {}, chance)
    if reads:
        _layouts(inputs, reads, categories)
        _attention(inputs, reads, chance)
    return inputs


def _layouts(inputs: Inputs, reads: tuple[str, ...], categories: tuple[str, ...]) -> None:
    """Layouts of one to four objects a picture, the third's empty; and where they come from."""
    names = [name for name in dict.fromkeys(reads) if name != "."]
    inputs.files |= {"reads": list(reads), "layouts": [], "detectors": [], "detector_scores": []}
    for place, name in enumerate(names):
        records = [
            {
                "id": picture.id,
                "file": picture.file,
                "width": picture.width,
                "height": picture.height,
                "objects": [
                    {
                        "category": categories[(at + place + k) % len(categories)],
                        "box": [0.1 * k, 0.15 * k, 0.5 - 0.1 * k, 0.25],
                        "score": 0.987 - 0.1 * k,
                    }
                    for k in range(0 if at == 2 else at % 4 + 1)
                ],
            }
            for at, picture in enumerate(inputs.pictures)
        ]
        info = {"detector": name, "categories": categories, "throughput": 12.34 + place}
        row = {"AP": 0.294, "AP50": 0.458, "AP75": 0.3, "pictures": 1234, "objects": 5000}
        for key, file, value in (
            ("layouts", f"layouts/{name}.json", {"categories": categories, "layouts": records}),
            ("detectors", f"detections/{name}_info.json", info),
            ("detector_scores", f"detections/{name}_scores.json", {"test": row, "val": row}),
        ):
            path = inputs.folder / file
            path.parent.mkdir(exist_ok=True)
            _json(path, value)
            inputs.files[key].append(path)


def _attention(inputs: Inputs, reads: tuple[str, ...], chance: random.Random) -> None:
    """Every word looks at every object a bit, and at a quarter elsewhere."""
    seen = {
        path.stem: [len(row["objects"]) for row in json.loads(path.read_text())["layouts"]]
        for path in inputs.files["layouts"]
    }
    for name, path in zip(reads, inputs.files["captions"], strict=True):
        rows = json.loads(path.read_text(encoding="utf-8"))
        for at, row in enumerate(rows if name != "." else []):
            weights = [
                [chance.random() for _ in range(seen[name][at])] for _ in row["caption"].split()
            ]
            row["attention"] = [[0.75 * v / sum(some) for v in some] for some in weights]
        _json(path, rows)


def _words(chance: random.Random) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(8))


def _system(
    inputs: Inputs,
    at: int,
    system: str,
    test: list[Picture],
    captions: dict[tuple[str, int], str],
    chance: random.Random,
) -> None:
    place = inputs.folder / system
    results = [
        {
            "image_id": picture.id,
            "caption": captions.get((system, int(picture.id)), _words(chance)),
            "log_prob": -chance.random() * 20,
        }
        for picture in test
    ]
    per_image = {str(p.id): {"CIDEr": chance.random() + at / 4, "Bleu_1": 0.5} for p in test}
    value = sum(row["CIDEr"] for row in per_image.values()) / len(test)
    scores = {
        **{f"Bleu_{n}": value / (n + 1) for n in range(1, 5)},
        "METEOR": value / 3,
        "ROUGE_L": value / 2,
        "CIDEr": value,
        "intervals": {"CIDEr": [value - 0.05, value + 0.06], "Bleu_4": [0.01, 0.02]},
        "per_image": per_image,
        "pictures": len(test),
        "code": "0123",
    }
    steps = range(25, 501, 25)
    history = {
        "iteration": 500,
        "loss_history": {str(s): 2 + 2 * math.exp(-s / 150) + chance.random() / 4 for s in steps},
        "val_loss_history": {
            str(s): 2.3 + math.exp(-s / 150) - at / 10 for s in steps if not s % 100
        },
        "val_lang_stats_history": {
            str(s): {"CIDEr": value * (1 - math.exp(-s / 200))} for s in steps if not s % 100
        },
        "best": {"iteration": 500, "score": value, "by": "CIDEr"},
        "seconds": 90.0 * (at + 1),
        "parameters": 1_250_000,
    }
    control = {"CIDEr": 0.04 + at / 100, "intervals": {}, "per_image": {}}
    rows = {"captions": results, "scores": scores, "controls": control, "histories": history}
    for name, value_ in rows.items():
        path = place / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        _json(path, value_)
        inputs.files[name].append(path)


def _images(path: Path, files: list[str], side: int) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (len(files), 3, 4, 4), dtype=np.uint8)
    with h5py.File(path, "w") as store:
        store["images"] = noise.repeat(side // 4, axis=2).repeat(side // 4, axis=3)
        store.create_dataset("files", data=files, dtype=h5py.string_dtype())
        store.attrs.update({"size": side, "mode": "squash", "stamp": "{}"})


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def run(folder: Path, inputs: Inputs, **changes: Any) -> Path:
    """The folder of the stage's outputs."""
    arguments = inputs.arguments(folder / "out", **changes)
    report(**arguments)
    return folder / "out"


def embedded(page: Path) -> dict[str, Any]:
    """The data in a page."""
    text = page.read_text(encoding="ascii")
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', text)[1]
    )


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON file, or replace what it holds."""
    value = json.loads(path.read_text())
    path.write_text(json.dumps(change(value) or value))
