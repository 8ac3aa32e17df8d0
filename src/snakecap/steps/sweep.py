"""Random search: many rows like one, with other learning rates.

Source: neuraltalk2/cv/driver.py, which drew absolute rates for its one system; here they are drawn
around those of the row.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Annotated, Any

import yaml
from pydantic import Field

from snakecap.config import settings as configuration
from snakecap.config.base import Positive, Section
from snakecap.formats.atomic import write_text
from snakecap.provenance.identity import Output, step

HEAD = """\
# {number} random variants of {system}, compared on the validation split:
#   snakemake --cores all --configfile {configs} {output}
"""


class Sweep(Section):
    """What is drawn."""

    spread: Annotated[float, Field(ge=1)] = Field(
        3.0, description="learning rates are multiplied by 1/spread to spread, log-uniformly"
    )
    betas: tuple[float, ...] = Field((), description="beta is one of these; none: as it is")
    number: Positive = Field(8, description="variants")
    seed: int = Field(123, description="of the draws")


@step
def sweep(
    *, configs: list[Path], system: str, output: Annotated[Path, Output], settings: Sweep = Sweep()
) -> None:
    """Write a recipe with random variants of a system, to be run after the given ones.

    Their captions of the validation split are scored, so that the report's table compares them.

    Args:
        configs: config.yaml and the recipes over it, in order.
        system: row of `systems` to vary.
        output: recipe to write.
        settings: what is drawn, and how often.

    Raises:
        ValueError: there is no such system, or the configuration is wrong.
    """
    from snakemake.utils import update_config  # as --configfile lays one over another

    merged: dict[str, Any] = {}
    for path in configs:
        update_config(merged, _read(path))
    rows = configuration.read(merged).systems
    if system not in rows:
        raise ValueError(f"no system {system!r} in {configs[-1]}; known: {', '.join(rows)}")
    variants = dict(_variants(system, merged["systems"][system], rows[system], settings))
    recipe = {"compare": list(variants), "evaluate": ["val"], "seeds": [], "systems": variants}
    head = HEAD.format(
        number=settings.number,
        system=system,
        configs=" ".join(map(str, configs)),
        output=output,
    )
    write_text(output, head + yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True))


def _variants(
    name: str, raw: Mapping[str, Any], row: configuration.System, settings: Sweep
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and rows: `raw` with drawn numbers in place of the checked ones of `row`."""
    random = Random(settings.seed)
    for number in range(1, settings.number + 1):
        beta = {"beta": random.choice(settings.betas)} if settings.betas else {}
        factors = {
            "optimiser": settings.spread ** random.uniform(-1, 1),
            "backbone_optimiser": settings.spread ** random.uniform(-1, 1),
        }
        variant = copy.deepcopy(dict(raw))
        for stage, checked in zip(variant["stages"], row.stages, strict=True):
            for optimiser, factor in factors.items():
                rate = getattr(checked, optimiser).learning_rate * factor
                own = stage.get(optimiser, {})
                stage[optimiser] = {**own, "learning_rate": float(f"{rate:.3g}"), **beta}
        yield f"{name}_{number}", variant


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a configuration: it has no keys")
    return content
