"""Caption a user's own photos with a trained model."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from snakecap.files.atomic import write_text
from snakecap.log import logger, progress
from snakecap.settings import Decoding
from snakecap.stages.inference import Model, results

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
            found.update(p for p in place.rglob("*") if p.suffix.lower() in SUFFIXES)
        elif place.exists():
            found.add(place)
        else:
            raise ValueError(f"no photo or folder at {place}")
    if not found:
        raise ValueError(f"no image files in {', '.join(map(str, places))}")
    return sorted(found)


def _caption(
    loaded: Model, files: list[Path], settings: Decoding
) -> tuple[list[dict[str, Any]], list[str]]:
    records: list[dict[str, Any]] = []
    failed: list[str] = []
    size = settings.batch_size
    for start in progress(range(0, len(files), size), title="caption", unit="batch"):
        read = list(_read(loaded, files[start : start + size], failed))
        if read:
            names = [str(path) for path, _ in read]
            images = np.stack([image for _, image in read])
            found = loaded.search(loaded.pixels(images), settings)
            ids = [path.stem for path, _ in read]
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
    return json.dumps(records, ensure_ascii=False, indent=1) + "\n"


def _as_lines(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _as_table(records: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    columns = ["file_name", "caption", "log_prob"]
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _as_text(records: list[dict[str, Any]]) -> str:
    return "".join(f"{record['file_name']}\t{record['caption']}\n" for record in records)


FORMATS = {"json": _as_json, "jsonl": _as_lines, "csv": _as_table, "text": _as_text}
