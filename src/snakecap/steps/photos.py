"""Caption a user's own photos, or layouts of objects, with a trained model."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from snakecap.config.settings import Decoding
from snakecap.formats import alphas as alpha_files
from snakecap.formats.atomic import json_text, write_text
from snakecap.formats.decode import is_image
from snakecap.formats.rejected import escape
from snakecap.log import logger, progress
from snakecap.provenance.identity import Output, step

if TYPE_CHECKING:
    from snakecap.inference.attention import Attention
    from snakecap.inference.model import Model
    from snakecap.inputs.input import Request

Format = Literal["json", "jsonl", "csv", "text"]
MODEL = ".safetensors"
BY_ENDING: dict[str, Format] = {".json": "json", ".jsonl": "jsonl", ".csv": "csv"}


@dataclass(frozen=True)
class Asked:
    """What is to be captioned: its id, if it has one, its name, where it is, what there is."""

    id: Any  # a whole number or text; None: none of its own
    name: str
    origin: str
    request: Request

    def names(self) -> list[str]:
        """What it could be called, the shortest first."""
        own = [Path(self.name).stem, self.name, self.origin]
        return own if self.id is None else [str(self.id)]


@step
def photos(
    *,
    model: Path,
    photos: list[Path],
    output: Annotated[Path | None, Output] = None,
    format: Format | None = None,
    detector: str | None = None,
    alternatives: Annotated[int, Field(ge=0)] = 0,
    attention: Path | None = None,
    settings: Decoding = Decoding(),
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Caption photos or layouts: files, or folders of photos.

    Args:
        model: model.safetensors; further ones before the photos caption with it, as an ensemble.
        photos: image files and folders, or .json files of layouts for models that read those
            (docs/formats.md); each is captioned once, sorted by path.
        output: where captions go; without it they are printed.
        format: json (COCO results), jsonl, csv or text; by default what the output's name says,
            and text when printing.
        detector: finds the objects in photos for models that read layouts: a YOLOX .onnx, a YOLOv2
            .safetensors that the workflow trained, or a row of `detectors` as JSON.
        alternatives: so many of the likeliest words in each word's place, with their
            probabilities; of the best captions, the last for the end.
        attention: folder for what the words look at, of models that look at a picture's grid: an
            image of each photo, with a panel a word, and alphas.npy, whose rows are the captions.
        settings: how to search for words.
        device: auto, cpu or cuda.
        threads: CPU threads.

    Raises:
        SystemExit: photos or layouts that could not be read, after the others were captioned.
    """
    # torch takes seconds: help must not wait
    from snakecap.inference.ensemble import load

    if output is not None and output.is_dir():
        raise ValueError(f"the output {output} is a folder: give the name of a file")
    failed: list[str] = []
    models = [model, *(path for path in photos if path.suffix.lower() == MODEL)]
    rest = [path for path in photos if path.suffix.lower() != MODEL]
    if not rest:
        raise ValueError("no photo was given: models come first, then photos or folders")
    asked = requests(rest, failed)
    if not asked:
        raise ValueError(failed[0])
    if output is not None and any(_same(one.request.photo, output) for one in asked):
        raise ValueError(f"the output {output} is one of the photos: give it another name")
    total = len(asked) + len(failed)
    loaded = load(models, device, threads, detector)
    asked = _possible(loaded, asked, failed)
    records = _caption(loaded, asked, settings, failed, alternatives, attention)
    text = as_text(records, format or BY_ENDING.get(output.suffix if output else "", "text"))
    if output is None:
        sys.stdout.write(text)
    else:
        write_text(output, text)
        logger.info("wrote %d captions to %s", len(records), output)
    if failed:
        raise SystemExit(f"{len(failed)} of {total} could not be captioned: {failed[0]}")


def requests(places: list[Path], failed: list[str]) -> list[Asked]:
    """Photos, and the layouts in .json files, sorted by path; complaints go to `failed`.

    Raises:
        ValueError: a place does not exist, or two have the same id.
    """
    from snakecap.formats.layouts import read_json_layouts
    from snakecap.inputs.input import Request

    found: list[Asked] = []
    for path in find(places):
        if path.suffix.lower() != ".json":
            found.append(Asked(None, str(path), str(path), Request(photo=path)))
            continue
        try:
            for number, one in enumerate(read_json_layouts(path), start=1):
                request = Request(one.photo, one.layout)
                found.append(Asked(one.id, one.name, f"{path}#{number}", request))
        except ValueError as error:
            _complain(str(error), failed)
    return _identified(found)


def _identified(found: Sequence[Asked]) -> list[Asked]:
    """Each with an id: its own, else the shortest of its names that is its alone.

    Raises:
        ValueError: two say the same; 17 and "17" are the same image in COCO's formats.
    """
    taken = Counter(name for one in found for name in set(one.names()))
    asked: dict[str, Asked] = {}
    for one in found:
        free = (name for name in one.names() if taken[name] == 1)
        known = one.id if one.id is not None else next(free, one.origin)
        if other := asked.get(str(known)):
            raise ValueError(
                f"{other.origin} and {one.origin} have the id {known!r}: ids must differ"
            )
        asked[str(known)] = replace(one, id=known)
    return list(asked.values())


def _same(photo: object, output: Path) -> bool:
    """Whether an output would overwrite a photo."""
    return isinstance(photo, Path) and photo.exists() and output.exists() and photo.samefile(output)


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


def _possible(loaded: Model, asked: Sequence[Asked], failed: list[str]) -> list[Asked]:
    """What has all that the model reads; says once, not for each photo, that others lack it.

    Raises:
        ValueError: none has.
    """
    for one in loaded.inputs.values():
        if one.made_elsewhere:
            asked[0].request.array(one.name)  # which says what to do instead
    blind = bool(loaded.layouts) and loaded.detector is None
    lacking = [one for one in asked if blind and one.request.layout is None]
    if not lacking:
        return list(asked)
    text = (
        f"{loaded.path} reads the layout of objects: give --detector, or layouts (.json), for "
        f"{len(lacking)} photos, {lacking[0].name} the first"
    )
    if len(lacking) == len(asked):
        raise ValueError(text)
    _complain(text, failed)
    failed += [text] * (len(lacking) - 1)
    return [one for one in asked if one.request.layout is not None]


def _caption(
    loaded: Model,
    asked: Sequence[Asked],
    settings: Decoding,
    failed: list[str],
    alternatives: int,
    folder: Path | None,
) -> list[dict[str, Any]]:
    """The captions, and in a folder what their words look at."""
    from snakecap.inference.attention import joined
    from snakecap.inference.model import seeded
    from snakecap.report import attention as panels
    from snakecap.text.written import writer

    records, write = list[dict[str, Any]](), writer(settings)
    looked: list[Attention] = []
    size = settings.batch_size
    for start in progress(range(0, len(asked), size), title="caption", unit="batch"):
        read = list(_read(loaded, asked[start : start + size], failed))
        if not read:
            continue
        inputs = loaded.seen(loaded.join([inputs for _, inputs in read]), settings.precision)
        found = loaded.search(inputs, seeded(settings, start))
        best = [each[0] for each in found]
        ids = [one.id for one, _ in read]
        some = loaded.results(ids, [one.name for one, _ in read], found, write=write)
        if alternatives:
            places = loaded.alternatives(inputs, best, alternatives, settings.precision)
            for record, words in zip(some, places, strict=True):
                record["alternatives"] = words
        if folder is not None:
            looked.append(loaded.attention(inputs, best, settings.precision))
            photos = [one.request.photo for one, _ in read]
            said = [loaded.text(one) for one in best]
            whole = loaded.training.geometry.mode == "squash"
            panels.write(folder, photos, said, looked[-1], whole=whole, first=len(records))
        records += some
    if folder is not None and looked:
        alpha_files.write(folder / "alphas.npy", joined(looked, settings.max_length).alphas)
    return records


def _read(loaded: Model, asked: Sequence[Asked], failed: list[str]) -> Iterator[tuple[Asked, Any]]:
    """What can be read, and its inputs; complaints about the others go to `failed`."""
    for one in asked:
        try:
            yield one, loaded.read(one.request)
        except ValueError as error:
            text = str(error)
            _complain(text if one.name in text else f"{one.name}: {text}", failed)


def as_text(records: list[dict[str, Any]], format: Format) -> str:
    """Captions as a file; with several best ones, a photo has a line for each but in JSON."""
    if format == "json":
        return json_text(records, indent=1) + "\n"
    if format == "jsonl":
        return "".join(json_text(record) + "\n" for record in records)
    each = [
        {**record, **best, "alternatives": [] if place else record.get("alternatives", [])}
        for record in records
        for place, best in enumerate(record.get("n_best", [record]))
    ]
    if format == "text":
        return "".join(_line(row) for row in each)
    for row in each:
        row["alternatives"] = _alternatives(row)
    text = io.StringIO()
    columns = ["file_name", "caption", "log_prob"]
    columns += ["alternatives"] if any(row["alternatives"] for row in each) else []
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(each)
    return text.getvalue()


def _line(row: dict[str, Any]) -> str:
    words = _alternatives(row)
    return "\t".join([escape(row["file_name"]), row["caption"], *([words] if words else [])]) + "\n"


def _alternatives(row: dict[str, Any]) -> str:
    """As DeepCaption prints them: ``a=0.83/the=0.10 cat=0.52/dog=0.31``."""
    places = row.get("alternatives", ())
    return " ".join("/".join(f"{word}={chance:.2f}" for word, chance in one) for one in places)
