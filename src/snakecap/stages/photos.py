"""Caption a user's own photos, or layouts of objects, with a trained model."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from snakecap.files.atomic import json_text, write_text
from snakecap.files.decode import is_image
from snakecap.files.rejected import escape
from snakecap.log import logger, progress
from snakecap.settings import Decoding

if TYPE_CHECKING:
    from snakecap.stages.inference import Model
    from snakecap.stages.subjects import Subject

Format = Literal["json", "jsonl", "csv", "text"]
Named = tuple[int | str | None, str, "Subject"]  # an id of its own, if any; a name; what there is


def photos(
    *,
    model: Path,
    photos: list[Path],
    output: Path | None = None,
    format: Format | None = None,
    detector: str | None = None,
    settings: Decoding = Decoding(),
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Caption photos or layouts: files, or folders of photos.

    Args:
        model: model.safetensors.
        photos: image files and folders, or .json files of layouts for models that read those
            (docs/formats.md); each is captioned once, sorted by path.
        output: where captions go; without it they are printed.
        format: json (COCO results), jsonl, csv or text; by default what the output's name says,
            and text when printing.
        detector: finds the objects in photos for models that read layouts: a YOLOX .onnx, a YOLOv2
            .safetensors that the workflow trained, or a row of `detectors` as JSON.
        settings: how to search for words.
        device: auto, cpu or cuda.
        threads: CPU threads.

    Raises:
        SystemExit: photos or layouts that could not be read, after the others were captioned.
    """
    # torch takes seconds: help must not wait
    from snakecap.stages.inference import Model

    if output is not None and output.is_dir():
        raise ValueError(f"the output {output} is a folder: give the name of a file")
    failed: list[str] = []
    asked = subjects(photos, failed)
    total = len(asked) + len(failed)
    loaded = Model(model, device, threads, detector)
    records = _caption(loaded, asked, settings, failed)
    chosen = format or _format(output)
    text = FORMATS[chosen](records)
    if output is None:
        sys.stdout.write(text)
    else:
        write_text(output, text)
        logger.info("wrote %d captions to %s", len(records), output)
    if failed:
        raise SystemExit(f"{len(failed)} of {total} could not be captioned: {failed[0]}")


@dataclass(frozen=True)
class Asked:
    """What is to be captioned: its id, its name, and what there is."""

    id: int | str
    name: str
    subject: Subject


def subjects(places: list[Path], failed: list[str]) -> list[Asked]:
    """Photos, and the layouts in .json files, sorted by path.

    Args:
        places: files and folders.
        failed: complaints about files of layouts are added here.

    Raises:
        ValueError: a place does not exist, or two have the same id.
    """
    from snakecap.stages.subjects import Subject

    found: list[Named] = []
    for path in find(places):
        if path.suffix.lower() != ".json":
            found.append((None, str(path), Subject(photo=path)))
            continue
        try:
            found += _layouts(path)
        except ValueError as error:
            _complain(str(error), failed)
    return _identified(found)


def _layouts(path: Path) -> Iterator[Named]:
    """The layouts of a file, and their photos."""
    from snakecap.files.layout_json import read_json_layouts
    from snakecap.stages.subjects import Subject

    for record in read_json_layouts(path):
        yield record.id, record.name, Subject(record.photo, record.layout)


def _identified(found: Sequence[Named]) -> list[Asked]:
    """Each with an id: its own, else its name; the short one, where that is one's alone.

    Raises:
        ValueError: two have the same; 17 and "17" are the same image in COCO's formats.
    """
    stems = [Path(name).stem if key is None else str(key) for key, name, _ in found]
    short = Counter(stems)
    asked: dict[str, Asked] = {}
    for (key, name, subject), stem in zip(found, stems, strict=True):
        known = key if key is not None else stem if short[stem] == 1 else name
        if str(known) in asked:
            other = asked[str(known)].name
            raise ValueError(f"two have the id {known!r}: {other} and {name}: ids must differ")
        asked[str(known)] = Asked(known, name, subject)
    return list(asked.values())


def _complain(text: str, failed: list[str]) -> None:
    logger.error("%s", text)
    failed.append(text)


def find(places: list[Path]) -> list[Path]:
    """The files that are named, and the image files in folders, sorted, each once.

    Raises:
        ValueError: a place does not exist, or there is no image anywhere.
    """
    found: dict[str, Path] = {}  # a/b.jpg and a/../a/b.jpg are one
    for place in places:
        if not place.exists():
            raise ValueError(f"no photo or folder at {place}")
        inside = filter(is_image, place.rglob("*")) if place.is_dir() else [place]
        for path in inside:
            found.setdefault(os.path.abspath(path), path)  # noqa: PTH100  -- links are several
    if not found:
        raise ValueError(f"no image files in {', '.join(map(str, places))}")
    return sorted(found.values())


def _caption(
    loaded: Model, asked: Sequence[Asked], settings: Decoding, failed: list[str]
) -> list[dict[str, Any]]:
    from snakecap.stages.captioned import results, seeded
    from snakecap.stages.subjects import collate

    records: list[dict[str, Any]] = []
    size = settings.batch_size
    for start in progress(range(0, len(asked), size), title="caption", unit="batch"):
        read = list(_read(loaded, asked[start : start + size], failed))
        if read:
            inputs = collate([inputs for _, inputs in read])
            found = loaded.search(inputs, seeded(settings, start))
            ids = [one.id for one, _ in read]
            records += results(loaded, ids, [one.name for one, _ in read], found)
    return records


def _read(loaded: Model, asked: Sequence[Asked], failed: list[str]) -> Iterator[tuple[Asked, Any]]:
    """What can be read, and its inputs; complaints about the others go to `failed`."""
    for one in asked:
        try:
            yield one, loaded.inputs([one.subject])
        except ValueError as error:
            text = str(error)
            _complain(text if one.name in text else f"{one.name}: {text}", failed)


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
    rows = ((escape(row["file_name"]), row["caption"]) for row in _each(records))
    return "".join(f"{name}\t{caption}\n" for name, caption in rows)


def _each(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each caption: with several best ones a photo has several, best first."""
    for record in records:
        for best in record.get("n_best", [record]):
            yield {**record, **best}


FORMATS = {"json": _as_json, "jsonl": _as_lines, "csv": _as_table, "text": _as_text}
