"""Several data sets as one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from snakecap.formats.pictures import Collection
from snakecap.objects.categories import unambiguous


def joined(collections: Mapping[str, Collection]) -> Collection:
    """Join data sets; each picture keeps its split.

    Ids that occur in two of them all become ``name:id``. Files become relative to the folder that
    the data sets' roots share.

    Args:
        collections: at least one, by name; their order is kept.

    Raises:
        ValueError: one image file is in two data sets, perhaps in two splits.
    """
    ids = [str(p.id) for collection in collections.values() for p in collection.pictures]
    collide = len(set(ids)) < len(ids)
    root = _shared([collection.root for collection in collections.values()])
    pictures = []
    owner: dict[str, str] = {}
    for name, collection in collections.items():
        for picture in collection.pictures:
            file = Path(os.path.relpath(collection.root / picture.file, root)).as_posix()
            if owner.setdefault(file, name) != name:
                raise ValueError(
                    f"{root / file} is in both {owner[file]} and {name}: combine data sets that "
                    "share no image, or leave one out"
                )
            key = f"{name}:{picture.id}" if collide else picture.id
            pictures.append(replace(picture, id=key, file=file))
    agreed = unambiguous(collection.categories for collection in collections.values())
    return Collection(root, tuple(pictures), agreed)


def _shared(roots: list[Path]) -> Path:
    """The deepest folder that holds all; absolute only when one of them is."""
    if any(root.is_absolute() for root in roots):
        roots = [root.absolute() for root in roots]
    return Path(os.path.commonpath([os.path.normpath(root) for root in roots]))
