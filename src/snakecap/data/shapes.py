"""`shapes`: a generated data set that needs no download and no knowledge of the world.

Scenes of a few coloured shapes, with boxes, region phrases and five captions or paragraphs each. A
caption needs its picture: with another picture's, CIDEr falls several times (docs/log.md). Picture
`k` of a split depends on the seed and on `k` alone, not on how many are asked for nor on how many
workers draw.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Annotated, Literal

from pydantic import Field

from snakecap import log
from snakecap.data import phrases
from snakecap.data.scene import Scene, Shape, draw, scene
from snakecap.formats.pictures import Collection, Picture, Region
from snakecap.objects.object import Box, Object
from snakecap.provenance import code as provenance

FIRST_IDS = {"train": 1, "val": 1_000_001, "test": 2_000_001}
Say = Callable[[Scene, Random], tuple[str, ...]]
WORTH_A_POOL = 5000  # pictures; fewer are drawn before the workers have started
Described = Callable[[Scene], list[tuple[str, list[Shape]]]]  # phrases, and what each is about


@dataclass(frozen=True, slots=True)
class Looks:
    """What a picture's pixels depend on, its split and number apart; see `read`."""

    size: int = 96
    fewest: int = 2
    most: int = 6
    quality: int = 90
    seed: int = 123


def read(
    root: Path,
    *,
    train: Annotated[int, Field(ge=1, le=1_000_000)] = 2000,
    val: Annotated[int, Field(ge=1, le=1_000_000)] = 200,
    test: Annotated[int, Field(ge=1, le=1_000_000)] = 300,
    size: Annotated[int, Field(ge=16, le=4096)] = 96,
    fewest: Annotated[int, Field(ge=1, le=9)] = 2,
    most: Annotated[int, Field(ge=1, le=9)] = 6,
    quality: Annotated[int, Field(ge=1, le=100)] = 90,
    seed: int = 123,
    regions: Literal["groups", "shapes"] = "groups",
    paragraphs: bool = False,
) -> Collection:
    """Generate the data set; image files that are there already are kept.

    Args:
        root: a folder named after the options and the drawing code is made in it.
        train: pictures for training.
        val: pictures for validation.
        test: pictures for testing.
        size: side of a picture in pixels.
        fewest: shapes in a picture, at least.
        most: shapes in a picture, at most.
        quality: of the JPEG files.
        seed: another one gives another data set.
        regions: groups: "a small red circle" for each shape, and a phrase for each group; shapes:
            two words for each shape, "red circle", in which METEOR hears every mistake.
        paragraphs: of two to four sentences, in place of captions of one.

    Raises:
        ValueError: `fewest` is more than `most`.
    """
    if fewest > most:
        raise ValueError(f"shapes: fewest={fewest} is more than most={most}")
    numbers = {"train": train, "val": val, "test": test}
    looks = Looks(size=size, fewest=fewest, most=most, quality=quality, seed=seed)
    # Another look, or another drawing code, is another folder: old files are never mixed in.
    made_by = provenance.canonical([asdict(looks), provenance.digest("snakecap.data.scene")])
    folder = root / f"shapes-{hashlib.sha256(made_by.encode()).hexdigest()[:10]}"
    said = phrases.paragraphs if paragraphs else phrases.captions
    described = phrases.regions if regions == "groups" else phrases.shapes
    return Collection(folder, generate(folder, numbers, looks, said, described))


def generate(
    folder: Path,
    numbers: dict[str, int],
    looks: Looks,
    said: Say = phrases.captions,
    described: Described = phrases.regions,
    workers: int | None = None,
) -> tuple[Picture, ...]:
    """Draw so many pictures of each split, in order; few of them in one process."""
    jobs = [(split, k) for split, count in numbers.items() for k in range(count)]
    for split in numbers:
        (folder / split).mkdir(parents=True, exist_ok=True)
    if workers is None:
        workers = _processors() if len(jobs) >= WORTH_A_POOL else 1
    made = _mapped(partial(_make, folder, looks, said, described), jobs, workers)
    return tuple(log.progress(made, title="shapes", total=len(jobs), unit="picture"))


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _mapped(
    make: Callable[[tuple[str, int]], Picture], jobs: list[tuple[str, int]], workers: int
) -> Iterator[Picture]:
    if workers == 1:
        yield from map(make, jobs)
        return
    # Not fork: the caller may have threads, which a forked child would wait for in vain.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context) as pool:
        yield from pool.map(make, jobs, chunksize=100)


def _make(
    folder: Path, looks: Looks, said: Say, described: Described, job: tuple[str, int]
) -> Picture:
    """One picture's record; draws its file unless it is there."""
    split, k = job
    # One stream for each purpose: other captions must not move a shape.
    content, words, pixels = (
        Random(f"{looks.seed}/{split}/{k}/{purpose}") for purpose in ("scene", "captions", "pixels")
    )
    seen = scene(content, looks.fewest, looks.most)
    name = f"{split}/{k:06d}.jpg"
    file = folder / name
    if not file.exists() or file.stat().st_size == 0:
        temporary = file.with_suffix(f".{os.getpid()}.tmp")
        image = draw(seen, looks.size, pixels)
        image.save(temporary, "JPEG", quality=looks.quality, subsampling=0)
        temporary.replace(file)
    return Picture(
        id=FIRST_IDS[split] + k,
        file=name,
        split=split,
        captions=said(seen, words),
        objects=tuple(Object(s.kind, _box([s], looks.size)) for s in seen.shapes),
        regions=tuple(Region(text, _box(shapes, looks.size)) for text, shapes in described(seen)),
        width=looks.size,
        height=looks.size,
    )


def _box(shapes: list[Shape], size: int) -> Box:
    """The tightest box around some shapes, in pixels."""
    boxes = [shape.box for shape in shapes]
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right = max(box[0] + box[2] for box in boxes)
    bottom = max(box[1] + box[3] for box in boxes)
    edges = (left, top, right - left, bottom - top)
    return tuple(round(size * edge, 2) for edge in edges)  # type: ignore[return-value]
