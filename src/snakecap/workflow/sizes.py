"""How large a data set is, before and after it was read: what jobs' memory and time follow from."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from snakecap.config import options
from snakecap.config.settings import Settings
from snakecap.formats import pictures


class Size(NamedTuple):
    """Pictures and captions of a data set, of all splits together."""

    pictures: int
    captions: int


COCO = Size(123_287, 616_767)  # what an unread data set is taken for: the largest that is usual


def size(settings: Settings, dataset: str) -> Size:
    """The size of a data set or of several joined with +: read, or generated, or COCO's."""
    path = Path(settings.pathvars["results"]) / dataset / "pictures.json"
    if path.is_file():
        return _counted(path, path.stat().st_mtime_ns)
    sizes = [_expected(settings, name) for name in dataset.split("+")]
    return Size(*map(sum, zip(*sizes, strict=True)))


@cache
def _counted(path: Path, changed: int) -> Size:
    found = pictures.counts(path)
    return COCO if found is None else Size(*found)


def _expected(settings: Settings, dataset: str) -> Size:
    row = settings.datasets[dataset]
    chosen = options.model("dataset", row.reader)(**row.options).model_dump()
    numbers = [chosen.get(split) for split in ("train", "val", "test")]
    whole = [number for number in numbers if isinstance(number, int)]
    if len(whole) == len(numbers):  # generated, so many in each split
        return Size(sum(whole), 5 * sum(whole))
    return COCO
