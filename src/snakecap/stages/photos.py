"""Caption a user's own photos with a trained model."""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from snakecap.files.atomic import json_text, write_text
from snakecap.log import logger, progress
from snakecap.settings import Decoding

if TYPE_CHECKING:
    from snakecap.stages.inference import Model

SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".webp", ".gif", ".tif", ".tiff"}
Format = Literal["json", "jsonl", "csv", "text"]


def photos(
    *,
    model: Path,
    photos: list[Path],
    output: Path | None = None,
    format: Format | None = None,
    settings: Decoding = Decoding(),
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Caption photos: files, or folders of them.

    Args:
        model: model.safetensors.
        photos: image files and folders; each image is captioned once, sorted by path.
        output: where captions go; without it they are printed.
        format: json (COCO results), jsonl, csv or text; by default what the output's name says,
            and text when printing.
        settings: how to search for words.
        device: auto, cpu or cuda.
        threads: CPU threads.

    Raises:
        SystemExit: photos that could not be read, after the others were captioned.
    """
    from snakecap.stages.inference import Model  # torch takes seconds: help must not wait

    files = find(photos)
    loaded = Model(model, device, threads)
    records, failed = _caption(loaded, files, settings)
    chosen = format or _format(output)
    text = FORMATS[chosen](records)
    if output is None:
        sys.stdout.write(text)
    else:
        write_text(output, text)
        logger.info("wrote %d captions to %s", len(records), output)
    if failed:
        raise SystemExit(f"{len(failed)} of {len(files)} photos could not be read: {failed[0]}")


def find(places: list[Path]) -> list[Path]:
    """The image files among files and in folders, sorted, each once.

    Raises:
        ValueError: a place does not exist, or there is no image anywhere.
    """
    found: set[Path] = set()
    for place in places:
        if place.is_dir():
            found.update(p for p in place.rglob("*") if _is_image(p))
        elif place.exists():
            found.add(place)
        else:
            raise ValueError(f"no photo or folder at {place}")
    if not found:
        raise ValueError(f"no image files in {', '.join(map(str, places))}")
    return sorted(found)


def _is_image(path: Path) -> bool:
    """By its name; macOS leaves a ._photo.jpg beside photos that is none."""
    known = path.suffix.lower() in SUFFIXES and not path.name.startswith("._")
    return known and path.is_file()


def _caption(
    loaded: Model, files: list[Path], settings: Decoding
) -> tuple[list[dict[str, Any]], list[str]]:
    from snakecap.stages.inference import results, seeded

    records: list[dict[str, Any]] = []
    failed: list[str] = []
    size = settings.batch_size
    stems = Counter(path.stem for path in files)  # an id must be one photo's alone
    for start in progress(range(0, len(files), size), title="caption", unit="batch"):
        read = list(_read(loaded, files[start : start + size], failed))
        if read:
            names = [str(path) for path, _ in read]
            images = np.stack([image for _, image in read])
            found = loaded.search(loaded.pixels(images), seeded(settings, start))
            ids = [path.stem if stems[path.stem] == 1 else str(path) for path, _ in read]
            records += results(loaded, ids, names, found)
    return records, failed


def _read(loaded: Model, files: list[Path], failed: list[str]) -> Iterator[tuple[Path, Any]]:
    for path in files:
        try:
            yield path, loaded.read(path)
        except ValueError as error:
            logger.error("%s", error)
            failed.append(str(error))


def _format(output: Path | None) -> Format:
    if output is None:
        return "text"
    endings: dict[str, Format] = {".json": "json", ".jsonl": "jsonl", ".csv": "csv"}
    return endings.get(output.suffix, "text")


def _as_json(records: list[dict[str, Any]]) -> str:
    return json_text(records, indent=1) + "\n"


def _as_lines(records: list[dict[str, Any]]) -> str:
    return "".join(json_text(record) + "\n" for record in records)


def _as_table(records: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    columns = ["file_name", "caption", "log_prob"]
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(_each(records))
    return text.getvalue()


def _as_text(records: list[dict[str, Any]]) -> str:
    return "".join(f"{row['file_name']}\t{row['caption']}\n" for row in _each(records))


def _each(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each caption: with several best ones a photo has several, best first."""
    for record in records:
        for best in record.get("n_best", [record]):
            yield {**record, **best}


FORMATS = {"json": _as_json, "jsonl": _as_lines, "csv": _as_table, "text": _as_text}
