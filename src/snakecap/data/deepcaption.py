"""DeepCaption's `datasets.conf` as it is: sections, inheritance, `a+b`, and a zip for a folder.

Source: DeepCaption's dataset.py (`DatasetParams`) and FEATURES.md. A section ``a:b`` has what it
does not say from ``a``; paths are relative to ``root_dir``. Its ``dataset_class`` says which of our
readers reads it. Known deviations: MSR-VTT's subset may be called ``split``, as in its own files;
regions are read from Visual Genome's JSON, not from a .feather made of it; an image_dir that is a
.zip is unpacked beside it, once.
"""

from __future__ import annotations

import configparser
import os
import zipfile
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

from snakecap.config import options
from snakecap.data import coco, folder, msrvtt, picsom, trecvid, vg_paragraphs, vg_regions, vist
from snakecap.data.joined import joined
from snakecap.formats import archives
from snakecap.formats.pictures import Collection, Picture

HOME = Path("~/.config/image_captioning")


def read(
    root: Path,
    *,
    config: str = "datasets/datasets.conf",
    sections: dict[Literal["train", "val", "test", "extra"], str] | None = None,
) -> Collection:
    """Read data sets that DeepCaption's configuration names.

    Args:
        root: folder in which the configuration is looked for, then in ~/.config/image_captioning;
            a relative root_dir is relative to it.
        config: the configuration.
        sections: for each split a section, such as ``coco:train2014``, or several joined with +.

    Raises:
        FileNotFoundError: a file is missing; says what to set.
        ValueError: no such section, one that lacks something, or a file that is not of its form.
    """
    collections: dict[str, Collection] = {}
    for split, name, section in _sections(root, config, sections):
        if section.archive:
            _unpack(section.archive)
        found = section.reader.read(section.root, **section.options)
        chosen = [p for p in found.pictures if section.split in (None, p.split)]
        if not chosen:
            raise ValueError(f"{name} of {config} has no pictures")
        kept = tuple(replace(picture, split=split) for picture in chosen)
        if section.reader is coco:
            kept = tuple(_of_2017(found.root, picture) for picture in kept)
        collections[name] = replace(found, pictures=kept)
    return joined(collections)


def sources(root: Path, given: Mapping[str, Any]) -> list[Path | str]:
    """What `read` reads; see `snakecap.provenance.identity.sources`."""
    found: list[Path | str] = [_config(root, given["config"])]
    for _, _, section in _sections(root, given["config"], given["sections"]):
        every = options.complete(
            "dataset", section.reader.__name__.rpartition(".")[2], section.options
        )
        found += section.reader.sources(section.root, every)
    return found


class _Section(NamedTuple):
    """How one of ours reads it."""

    reader: ModuleType
    root: Path
    options: dict[str, Any]
    split: str | None = None  # of the reader's; None: all pictures
    archive: Path | None = None  # of the images


def _sections(
    root: Path, config: str, sections: Mapping[Any, str] | None
) -> Iterator[tuple[str, str, _Section]]:
    path = _config(root, config)
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_dict({"generic": {"dataset_class": "GenericDataset"}})
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no configuration of DeepCaption: {error}") from None
    if not sections:
        there = ", ".join(parser.sections())
        raise ValueError(f"the option sections says which to read, by split; {path} has {there}")
    for split, names in sections.items():
        for name in names.split("+"):
            try:
                yield split, name, _section(root, _fields(parser, name))
            except (ValueError, RuntimeError) as error:  # also of ~nobody
                raise ValueError(f"{path}: [{name}]: {error}") from None


def _config(root: Path, config: str) -> Path:
    tried = [root / config, HOME.expanduser() / config]
    found = next(filter(Path.is_file, tried), None)
    if found is None:
        raise FileNotFoundError(
            f"there is neither {tried[0]} nor {tried[1]}: set `root` of the data set to the folder "
            "that holds it, or its option `config` to another name"
        )
    return found


def _fields(parser: configparser.ConfigParser, name: str) -> dict[str, str]:
    """What a section says, and where it says nothing its ancestors, the nearest first."""
    parts = name.split(":")
    line = [":".join(parts[:number]) for number in range(len(parts), 0, -1)]
    if missing := [one for one in line if one not in parser]:
        known = ", ".join(parser.sections())
        raise ValueError(f"there is no section {missing[0]!r}; there are {known}")
    return {"name": name, **ChainMap(*(dict(parser[one]) for one in line))}


def _section(root: Path, fields: Mapping[str, str]) -> _Section:
    kind = fields.get("dataset_class", "")
    if kind not in CLASSES:
        raise ValueError(f"dataset_class is {kind!r}; known: {', '.join(CLASSES)}")
    place = root / Path(fields.get("root_dir", "")).expanduser()
    section, images = CLASSES[kind](place, fields), place / fields.get("image_dir", "")
    return section._replace(archive=images) if _is_archive(images) else section


def _images(place: Path, fields: Mapping[str, str]) -> str:
    """The folder of images relative to the root."""
    path = place / fields.get("image_dir", "")
    if _is_archive(path):
        inside = f"{path.stem}/"  # where DeepCaption's archives have all
        with zipfile.ZipFile(path) as archive:
            is_inside = all(name.startswith(inside) for name in archive.namelist())
        path = path.with_suffix("") / (inside if is_inside else "")
    relative = os.path.relpath(path, place)
    return "" if relative == "." else relative


def _is_archive(path: Path) -> bool:
    return path.suffix == ".zip" and zipfile.is_zipfile(path)


def _unpack(archive: Path) -> None:
    """Unpack beside the archive, unless it was unpacked before."""
    target, status = archive.with_suffix(""), archive.stat()
    mark, made = target / ".unpacked", f"{status.st_size} {status.st_mtime_ns}"
    if not mark.is_file() or mark.read_text() != made:
        archives.unpack(archive, target)
        mark.write_text(made)


def _needed(fields: Mapping[str, str], name: str) -> str:
    if not fields.get(name):
        raise ValueError(f"{name} is missing")
    return fields[name]


def _coco(place: Path, fields: Mapping[str, str]) -> _Section:
    return _Section(
        coco,
        place,
        {
            "splits": {"train": "all"},
            "captions": _needed(fields, "caption_path"),
            "images": _images(place, fields),
            "uncaptioned": "drop",
        },
    )


def _of_2017(root: Path, picture: Picture) -> Picture:
    """COCO's files of 2017 name pictures of 2014 without what comes first there."""
    path = Path(picture.file)
    older = path.with_name(f"COCO_val2014_{path.name}")
    is_older = not (root / path).exists() and (root / older).exists()
    return replace(picture, file=older.as_posix()) if is_older else picture


def _paragraphs(place: Path, fields: Mapping[str, str]) -> _Section:
    lists = {"train": fields["subset"]} if fields.get("subset") else {}
    said = {"annotations": _needed(fields, "caption_path"), "lists": lists}
    return _Section(vg_paragraphs, place, {**said, "images": (_images(place, fields),)})


def _regions(place: Path, fields: Mapping[str, str]) -> _Section:
    file = _needed(fields, "caption_path")
    if not file.endswith(".json"):
        raise ValueError(f"caption_path is {file}: give Visual Genome's region_descriptions.json")
    ids, _, split = fields.get("subset", "").partition(":")
    chosen = {"annotations": file, "images": (_images(place, fields),), "ids": ids or None}
    return _Section(vg_regions, place, chosen, split or None)


def _vist(place: Path, fields: Mapping[str, str]) -> _Section:
    splits = {"train": _needed(fields, "caption_path")}
    return _Section(vist, place, {"splits": splits, "images": _images(place, fields)})


def _msrvtt(place: Path, fields: Mapping[str, str]) -> _Section:
    split = fields.get("subset") or fields.get("split") or "train"
    chosen = {"annotations": _needed(fields, "caption_path"), "images": _images(place, fields)}
    return _Section(msrvtt, place, chosen, "val" if split == "validate" else split)


def _trecvid(place: Path, fields: Mapping[str, str]) -> _Section:
    return _Section(trecvid, place, {"images": _images(place, fields)})


def _picsom(place: Path, fields: Mapping[str, str]) -> _Section:
    if not fields.get("root_dir"):
        _, *database = fields["name"].split(":")
        if not database:
            raise ValueError("root_dir is missing, or a database in the name, picsom:NAME")
        place = place / _needed(fields, "picsom_root") / "databases" / database[0]
    splits = {"train": _needed(fields, "subset")}
    return _Section(picsom, place, {"splits": splits, "texts": fields.get("caption_path") or None})


def _generic(place: Path, fields: Mapping[str, str]) -> _Section:
    return _Section(folder, place, {"images": _images(place, fields)})


CLASSES = {
    "CocoDataset": _coco,
    "VisualGenomeIM2PDataset": _paragraphs,
    "VisualGenomeRegionsDataset": _regions,
    "VistDataset": _vist,
    "MSRVTTDataset": _msrvtt,
    "TRECVID2018Dataset": _trecvid,
    "PicSOMDataset": _picsom,
    "GenericDataset": _generic,
}
