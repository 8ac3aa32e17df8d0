"""Any data set to one ``pictures.json``."""

from collections import Counter
from pathlib import Path
from typing import Annotated

from snakecap import log, registry
from snakecap.config import options
from snakecap.config.settings import Dataset
from snakecap.formats import pictures as records
from snakecap.formats.atomic import read_json
from snakecap.provenance import code
from snakecap.provenance.identity import Output, step


@step
def annotations(
    *,
    pictures: Annotated[Path, Output],
    folder: Path,
    settings: Dataset,
    manifest: Path | None = None,
) -> None:
    """Read a data set's captions, objects and splits.

    Args:
        pictures: ``pictures.json`` to write.
        folder: where `download` put the files, and where generated ones go; the data set's own
            `root` is used in its place when it is set.
        settings: the data set's row.
        manifest: of `download`; the files it lists must still be there.

    Raises:
        FileNotFoundError: a file or folder is missing; says what to set.
        ValueError: a file is not of its format, or repeats an id; names it.
    """
    if manifest is not None:
        _check_present(manifest)
    root = folder if settings.root is None else Path(settings.root).expanduser()
    if settings.root is not None and not root.is_dir():
        raise FileNotFoundError(
            f"{root} is not a folder: set `root` of the data set to the folder with its files, or "
            "to null to use what was downloaded"
        )
    chosen = options.model("dataset", settings.reader)(**settings.options)
    read = registry.load("dataset", settings.reader)
    collection = read(root, **chosen.model_dump(exclude_unset=True))
    source = f"{settings.reader} in {root}"
    if not collection.pictures:
        raise ValueError(f"{source}: there are no pictures")
    records.check(collection.pictures, source)
    if settings.pixels:
        _check_folders(collection)
    records.write(pictures, collection, **code.stamp())
    _report(collection)


def _check_present(manifest: Path) -> None:
    for row in read_json(manifest)["files"]:
        if not Path(row["path"]).exists():
            raise FileNotFoundError(
                f"{row['path']} was downloaded and is gone: delete {manifest} and run again"
            )


def _check_folders(collection: records.Collection) -> None:
    """A split none of whose folders exists is of a wrong setting, not of lost photos."""
    for split in dict.fromkeys(picture.split for picture in collection.pictures):
        files = (picture.file for picture in collection.split(split))
        folders = [
            collection.root / one for one in dict.fromkeys(Path(file).parent for file in files)
        ]
        if not any(map(Path.is_dir, folders)):
            raise FileNotFoundError(
                f"{folders[0]} does not exist: set `root` of the data set to the folder that holds "
                "it, its option `images` to another name, or, where systems read layouts alone, "
                "`pixels: false`"
            )


def _report(collection: records.Collection) -> None:
    counts = Counter(picture.split for picture in collection.pictures)
    said = sum(len(picture.captions) for picture in collection.pictures)
    splits = ", ".join(f"{counts[split]} {split}" for split in records.SPLITS if counts[split])
    log.logger.info("%d pictures (%s) with %d captions", counts.total(), splits, said)
