"""What a configuration names that no job makes: it must be there before the first job.

All of these raise a SettingsError that names the setting.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path

from snakecap import registry
from snakecap.config import options
from snakecap.config.detection import files_by_split
from snakecap.config.settings import Settings, SettingsError, System
from snakecap.config.system import Input
from snakecap.formats import pictures

# A data set's results are in these; a system has a folder beside them.
FOLDERS = {"captions", "detections", "detectors", "features", "layouts", "references", "report"}
FOLDERS |= {"regions", "vocabularies"}


def names(dataset: str, systems: Collection[str], ensembles: Collection[str]) -> None:
    """No system has the name of a folder of other results."""
    for table, rows in (("systems", systems), ("ensembles", ensembles)):
        if taken := FOLDERS & set(rows):
            name = min(taken)
            raise SettingsError(
                f"{table}.{name}: results/{dataset}/{name} holds other results: give it another "
                "name"
            )


def roots(settings: Settings) -> None:
    """A recipe's path that was not set would be noticed by the first job alone."""
    for name in settings.dataset.split("+"):
        root = settings.datasets[name].root
        if root is not None and not Path(root).expanduser().is_dir():
            raise SettingsError(
                f"datasets.{name}.root: there is no folder {root}; set it to where the data "
                "set's files are"
            )


def weights(settings: Settings, backbones: Iterable[str]) -> None:
    """Snakemake would keep what other weights made, and go on from there."""
    for name in backbones:
        path = settings.backbones[name].weights
        if path not in ("random", "torchvision", "timm") and not Path(path).is_file():
            raise SettingsError(
                f"backbones.{name}.weights: no file {path}; give a .pth, .safetensors "
                "or .npz state dict, `torchvision`, `timm` or `random`"
            )


def sources(settings: Settings, systems: Mapping[str, System]) -> None:
    """Files that systems read; their pictures too, once it is known which there are."""
    for name, system in systems.items():
        for key, one in system.inputs.items():
            if one.table is None:
                _source(settings, f"systems.{name}.inputs.{key}.source", one)


def _source(settings: Settings, place: str, one: Input) -> None:
    if not one.file.is_file():
        raise SettingsError(f"{place}: there is no file {one.source}")
    opens = options.constant("input", one.part, "opens")
    if opens is None:
        return
    pictures_json = Path(settings.pathvars["results"], settings.dataset, "pictures.json")
    try:
        found = registry.named(opens)(one.file, **one.chosen)
        if not settings.pixels and pictures_json.is_file():
            found.check(listed(pictures_json, pictures_json.stat().st_mtime_ns)[1])
    except (ValueError, OSError) as error:
        raise SettingsError(f"{place}: {error}") from None


def detectors(settings: Settings, names: Iterable[str]) -> None:
    """Weights, and darknet's own files."""
    for name in names:
        row = settings.detectors[name]
        for path in row.named:
            if not Path(path).is_file():
                raise SettingsError(f"detectors.{name}.options: there is no file {path}")
        file = row.file
        try:
            if file is not None and not any(path.is_file() for path in files_by_split(file)):
                raise FileNotFoundError(f"there is no file {file}")
        except FileNotFoundError as error:
            raise SettingsError(f"detectors.{name}.file: {error}") from None


@cache
def listed(place: Path, changed: int) -> tuple[str, list[str]]:
    """The root and the files of a pictures.json, which changed at a time in nanoseconds."""
    return pictures.listed(place)
