"""Which picture is for training: Karpathy's file, a list of ids, or NeuralTalk2's numbers.

Every reader takes the same options: `karpathy`, a ``dataset_*.json``; `ids`, a JSON file of
``{split: [ids]}``; `num_val`, `num_test` and `seed`, NeuralTalk2's random split; none of them: the
data set's own split.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Literal

from pydantic import TypeAdapter

from snakecap.config.base import Split
from snakecap.data import karpathy as karpathy_files
from snakecap.data.sources import existing
from snakecap.formats.atomic import Id, read_as
from snakecap.formats.pictures import Picture

Pictures = tuple[Picture, ...]


def choose(
    root: Path,
    pictures: Sequence[Picture],
    *,
    ids: str | None = None,
    karpathy: str | None = None,
    num_val: int = 0,
    num_test: int = 0,
    seed: int = 123,
) -> Pictures:
    """Apply the split that the options ask for; at most one of the three kinds.

    Pictures that `ids` or `karpathy` do not name are left out.

    Raises:
        ValueError: two kinds at once, or a split that does not fit the pictures.
    """
    asked = {"ids": ids, "karpathy": karpathy, "num_val or num_test": num_val or num_test}
    if len(given := [name for name, value in asked.items() if value]) > 1:
        raise ValueError(f"the options {' and '.join(given)} each choose a split: give one")
    if ids:
        return by_ids(pictures, existing(root, ids, "ids"))
    if karpathy:
        return by_karpathy(pictures, existing(root, karpathy, "karpathy"))
    if num_val or num_test:
        return at_random(pictures, num_val, num_test, seed)
    return tuple(pictures)


def sources(root: Path, given: Mapping[str, Any]) -> list[Path | str]:
    """The files that `choose` reads; `given` are a reader's options."""
    return [root / given[name] for name in ("ids", "karpathy") if given[name]]


def at_random(pictures: Sequence[Picture], num_val: int, num_test: int, seed: int) -> Pictures:
    """NeuralTalk2's prepro.py: shuffle, then `num_val` val, `num_test` test, the rest train.

    The pictures come back in shuffled order, which its training then followed.

    Raises:
        ValueError: nothing is left for training.
    """
    if num_val + num_test >= len(pictures):
        raise ValueError(
            f"num_val={num_val} and num_test={num_test} leave none of the {len(pictures)} pictures "
            "for training: set them lower"
        )
    names = ["val"] * num_val + ["test"] * num_test
    names += ["train"] * (len(pictures) - len(names))
    shuffled = shuffle(pictures, Random(seed))
    return tuple(replace(p, split=name) for p, name in zip(shuffled, names, strict=True))


def shuffle(pictures: Sequence[Picture], random: Random) -> list[Picture]:
    """Python 2's ``random.shuffle``: Python 3 draws differently and would give another split.

    Python 2 drew ``int(random() * (i + 1))``, Python 3 draws whole bits. ``random()`` itself and
    seeding by an integer are the same in both.
    """
    result = list(pictures)
    for i in reversed(range(1, len(result))):
        j = int(random.random() * (i + 1))
        result[i], result[j] = result[j], result[i]
    return result


def by_ids(pictures: Sequence[Picture], file: Path) -> Pictures:
    """Splits by lists of ids; the pictures keep their order.

    Raises:
        ValueError: an unknown split, an id of no picture, or an id in two splits.
    """
    lists = read_as(file, TypeAdapter(dict[Split, list[Id]]), "{split: [ids]}")
    return assign(pictures, [(i, split) for split in lists for i in lists[split]], "id", file)


def by_karpathy(pictures: Sequence[Picture], file: Path) -> Pictures:
    """Karpathy's split of pictures that another reader read; restval is for training.

    Raises:
        ValueError: not his file, or one of its pictures is missing.
    """
    images = karpathy_files.read_file(file)
    key: Literal["cocoid", "filename"] = "cocoid" if "cocoid" in images[0] else "filename"
    training = {"train", "restval"}
    pairs = [
        (image.get(key), "train" if image["split"] in training else image["split"])
        for image in images
    ]
    return assign(pictures, pairs, "id" if key == "cocoid" else "name", file)


def assign(
    pictures: Sequence[Picture],
    pairs: Iterable[tuple[Any, str]],
    by: Literal["id", "name"],
    file: Path | str,
    rest: str | None = None,
) -> Pictures:
    """Splits by pairs of an id or a name without folders, and a split.

    Args:
        file: where they were read, for messages.
        rest: the split of all others; None: they are left out.

    Raises:
        ValueError: an id or a name of no picture, or in two splits.
    """
    splits: dict[str, str] = {}
    for value, split in pairs:
        if splits.setdefault(str(value), split) != split:
            raise ValueError(f"{file}: {value!r} is in two splits")
    keys = [str(p.id) if by == "id" else Path(p.file).name for p in pictures]
    if missing := splits.keys() - set(keys):
        raise ValueError(
            f"{file} names {len(missing)} pictures that the data set lacks, such as {by} "
            f"{min(missing)}: is it the split of another data set?"
        )
    chosen = [splits.get(key, rest) for key in keys]
    return tuple(replace(p, split=s) for p, s in zip(pictures, chosen, strict=True) if s)
