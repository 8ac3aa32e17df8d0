"""What every reader needs: files that exist, and captions that are sentences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snakecap import log


def existing(root: Path, names: str | Sequence[str], option: str) -> Path:
    """A file or folder under `root`; the first of several usual names that is there.

    Raises:
        FileNotFoundError: none is; lists them, and says which setting leads to it.
    """
    tried = [names] if isinstance(names, str) else names
    for name in tried:
        if (root / name).exists():
            return root / name
    raise FileNotFoundError(
        f"{root} does not hold {' or '.join(tried)}: set `root` of the data set to the folder that "
        f"does, or its option `{option}` to another name"
    )


def found_in(root: Path, folders: Sequence[str], name: str) -> str:
    """An image's file, in the first of some folders that has it; in the first if none has."""
    files = ["/".join(part for part in (folder.rstrip("/"), name) if part) for folder in folders]
    return next((file for file in files if (root / file).is_file()), files[0])


def sentences(captions: Sequence[str], picture: object, source: Path) -> tuple[str, ...]:
    """A picture's captions, without the white space around them and without empty ones.

    Raises:
        ValueError: no caption; names the picture.
    """
    kept = tuple(text for caption in captions if (text := caption.strip()))
    if not kept:
        raise ValueError(f"{source}: picture {picture!r} has no captions")
    if len(kept) < len(captions):
        log.logger.warning("%s: picture %r has an empty caption, left out", source, picture)
    return kept
