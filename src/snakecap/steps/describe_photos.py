"""Describe the regions of a user's own photos with a trained dense model."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from snakecap.config.dense import Describing
from snakecap.formats import dense, region_codes
from snakecap.formats.atomic import read_as
from snakecap.formats.dense import Described
from snakecap.formats.region_codes import RegionCodes
from snakecap.formats.rejected import escape
from snakecap.log import logger, progress
from snakecap.provenance import code
from snakecap.provenance.identity import Output, step
from snakecap.steps.photos import find

if TYPE_CHECKING:
    from snakecap.inference.describer import Describer

Boxes = list[tuple[float, float, float, float]]
_given = TypeAdapter(dict[str, Boxes] | Boxes)


@dataclass(frozen=True)
class Asked:
    """What is wanted of every photo."""

    settings: Describing
    boxes: dict[str, Boxes] | Boxes | None
    query: str | None


@step
def describe_photos(
    *,
    model: Path,
    photos: list[Path],
    output: Annotated[Path | None, Output] = None,
    boxes: Path | None = None,
    query: str | None = None,
    frame: Literal["original", "resized"] = "original",
    features: Annotated[Path | None, Output] = None,
    render: Path | None = None,
    drawn: Annotated[int, Field(ge=1)] = 10,
    settings: Describing = Describing(),
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Describe the regions of photos: files, or folders of photos.

    Printed are, of each region, photo, x, y, width, height, score and caption; of a query its
    log-probability too, and the regions of all photos come in its order.

    Args:
        model: model.safetensors of a dense system.
        photos: image files and folders, each described once, sorted by path; or one .h5 that
            `--features` wrote, whose regions are captioned again.
        output: a .json of dense predictions (docs/formats.md), with logits and log-probabilities,
            where photos of one name have their paths as ids; without it, regions are printed.
        boxes: a .json of boxes [x, y, width, height] in pixels of the photo, for one photo a list,
            for several {"photo.jpg": [...]}: these are captioned, all and in their order; one that
            covers nothing of its photo is an error.
        query: words that are looked for; a region has the probability that they are its caption.
        frame: of boxes in `output`: pixels of the original photo, or of the resized one, whose
            longer side is what the model looks at.
        features: a .h5 of the regions' codes and boxes, and how many each photo has.
        render: a folder for copies of the photos with the regions drawn into them.
        drawn: regions in such a copy, the surest.
        settings: which regions are described, and how captions are searched for.
        device: auto, cpu or cuda.
        threads: CPU threads.

    Raises:
        SystemExit: photos that could not be read, after the others were described.
    """
    from snakecap.inference.describer import Describer  # torch takes seconds: help must not wait

    if len(photos) == 1 and photos[0].suffix == ".h5":
        if any(one is not None for one in (output, boxes, query, features, render)):
            raise ValueError(f"{photos[0]} is captioned and printed: only settings go with it")
        _say(Describer(model, device, threads), photos[0], settings)
        return
    files = find(photos)
    given = None if boxes is None else read_as(boxes, _given, "boxes of photos")
    if isinstance(given, list) and len(files) > 1:
        raise ValueError(
            f'{boxes} is one list, of {len(files)} photos: give {{"photo.jpg": [...]}}'
        )
    if given is not None:
        for file in files:
            _boxes_of(file, given)  # before the model looks at any
    loaded = Describer(model, device, threads)
    failed: list[str] = []
    rows = list(_described(loaded, files, Asked(settings, given, query), failed))
    found = _distinct([described for described, _ in rows])
    if features:
        region_codes.write(features, [_codes(*row) for row in rows])
    if render:
        _render(render, found, drawn)
    _write(found, output, loaded.photos.size if frame == "resized" else None, query)
    if failed:
        raise SystemExit(f"{len(failed)} of {len(files)} could not be described: {failed[0]}")


def _described(
    loaded: Describer, files: Sequence[Path], asked: Asked, failed: list[str]
) -> Iterator[tuple[Described, Any]]:
    """Regions of each photo that can be read, and their codes; complaints go to `failed`."""
    size = asked.settings.batch_size
    starts = range(0, len(files), size)
    for start in progress(starts, title="describe", unit="batch"):
        some = _readable(loaded, files[start : start + size], failed)
        if not some:
            continue
        pictures, inputs = loaded.read(some)
        given = None if asked.boxes is None else [_boxes_of(one, asked.boxes) for one in some]
        each, found = loaded.batch(pictures, inputs, asked.settings, given, asked.query)
        for place, one in enumerate(each):
            yield one, found.codes[found.owners == place].float().cpu().numpy()


def _readable(loaded: Describer, files: Sequence[Path], failed: list[str]) -> list[Path]:
    kept = []
    for file in files:
        try:
            loaded.read([file])
            kept.append(file)
        except ValueError as error:
            logger.error("%s", error)
            failed.append(str(error))
    return kept


def _boxes_of(file: Path, given: dict[str, Boxes] | Boxes) -> Boxes:
    """A photo's, by its path or its name."""
    if isinstance(given, list):
        return given
    found = next((given[name] for name in (str(file), file.name, file.stem) if name in given), None)
    if found is None:
        raise ValueError(f"--boxes has none of {file}: name them {file.name!r}")
    return found


def _distinct(found: Sequence[Described]) -> list[Described]:
    """Photos of one name, in several folders, are known by their paths."""
    counts = Counter(one.image_id for one in found)
    return [
        replace(one, image_id=str(one.file_name)) if counts[one.image_id] > 1 else one
        for one in found
    ]


def _codes(described: Described, codes: Any) -> RegionCodes:
    return RegionCodes(str(described.file_name), codes, described.boxes.astype("float32"))


def _say(loaded: Describer, path: Path, settings: Describing) -> None:
    """Print captions of regions whose codes are in a file."""
    for one in region_codes.read(path):
        said = loaded.say(one.codes, **settings.model_dump())
        for box, caption in zip(one.boxes.tolist(), said, strict=True):
            print(escape(one.file), *(f"{value:.1f}" for value in box), caption, sep="\t")


def _render(folder: Path, found: Sequence[Described], limit: int) -> None:
    from PIL import Image

    from snakecap.formats.decode import load_whole
    from snakecap.report.rendering import drawn

    folder.mkdir(parents=True, exist_ok=True)
    for one in found:
        file = Path(str(one.file_name))
        image = Image.fromarray(load_whole(file).transpose(1, 2, 0))
        name = str(one.image_id).replace("/", "_")[-200:]  # file systems allow 255
        drawn(image, one, limit).save(folder / f"{name}.png")


def _write(
    found: Sequence[Described], output: Path | None, resized: int | None, query: str | None
) -> None:
    if output is None:
        lines = [line for one in found for line in _lines(one, query is not None)]
        if query is not None:
            lines.sort(key=lambda line: -line[1])
        sys.stdout.write("".join(f"{text}\n" for text, _ in lines))
        return
    if resized:
        found = [_in_frame(one, resized) for one in found]
    order: Any = "falling score" if query is None else "as given"
    dense.write(output, found, frame=resized or "original", order=order, **code.stamp())
    logger.info("wrote the regions of %d photos to %s", len(found), output)


def _lines(one: Described, queried: bool) -> Iterator[tuple[str, float]]:
    """Each region as text, and what a query ranks it by."""
    chances = one.log_probs if one.log_probs is not None else one.scores
    for box, score, caption, chance in zip(
        one.boxes.tolist(), one.scores.tolist(), one.captions, chances.tolist(), strict=True
    ):
        cells = [escape(str(one.file_name)), *(f"{value:.1f}" for value in box), f"{score:.4f}"]
        yield "\t".join([*cells, *([f"{chance:.4f}"] if queried else []), caption]), chance


def _in_frame(one: Described, longer: int) -> Described:
    return replace(one, boxes=one.boxes * (longer / max(one.width, one.height)))
