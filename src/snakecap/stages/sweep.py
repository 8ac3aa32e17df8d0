"""Random search: many rows like one, with other learning rates (NeuralTalk2's cv/driver.py)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import yaml
from pydantic import Field

from snakecap import settings as configuration
from snakecap.files.atomic import write_text

Range = tuple[float, float]
HEAD = """\
# {number} random variants of {system}, compared on the validation split:
#   snakemake --cores all --configfile {configs} {output}
"""


class Sweep(configuration.Model):
    """What is drawn; the ranges are those of NeuralTalk2's driver.py."""

    learning_rate: Range = Field((10**-5.5, 10**-4.5), description="log-uniform, by every stage")
    backbone_learning_rate: Range = Field((10**-5.5, 10**-4.25), description="log-uniform")
    beta: tuple[float, ...] = Field((0.995, 0.999), description="one of these, for both optimisers")
    number: configuration.Positive = Field(8, description="variants")
    seed: int = Field(123, description="of the draws")


def sweep(configs: list[Path], *, system: str, output: Path, settings: Sweep = Sweep()) -> None:
    """Write a recipe with random variants of a system, to be run after the given ones.

    Their captions of the validation split are scored, so that the report's table compares them.

    Args:
        configs: config.yaml and the recipes over it, in order.
        system: row of `systems` to vary.
        output: recipe to write.
        settings: what is drawn, and how often.

    Raises:
        ValueError: there is no such system, or the configuration has mistakes.
    """
    merged: dict[str, Any] = {}
    for path in configs:
        _merge(merged, yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    rows = configuration.read(merged).systems
    if system not in rows:
        raise ValueError(f"no system {system!r} in {configs[-1]}; known: {', '.join(rows)}")
    variants = dict(_variants(system, merged["systems"][system], settings))
    recipe = {"compare": list(variants), "evaluate": ["val"], "systems": variants}
    head = HEAD.format(
        number=settings.number,
        system=system,
        configs=" ".join(map(str, configs)),
        output=output,
    )
    write_text(output, head + yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True))


def _variants(
    name: str, row: Mapping[str, Any], settings: Sweep
) -> Iterator[tuple[str, dict[str, Any]]]:
    random = Random(settings.seed)
    for number in range(1, settings.number + 1):
        beta = random.choice(settings.beta)
        rates = {
            "optimiser": _log_uniform(random, settings.learning_rate),
            "backbone_optimiser": _log_uniform(random, settings.backbone_learning_rate),
        }
        variant = copy.deepcopy(dict(row))
        for stage in variant["stages"]:
            for optimiser, rate in rates.items():
                stage[optimiser] = {
                    **stage.get(optimiser, {}),
                    "learning_rate": rate,
                    "beta": beta,
                }
        yield f"{name}_{number}", variant


def _log_uniform(random: Random, bounds: Range) -> float:
    """A draw whose logarithm is uniform, to three digits."""
    low, high = bounds
    return float(f"{low * (high / low) ** random.random():.3g}")


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Lay one configuration over another, as Snakemake's --configfile does."""
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)
