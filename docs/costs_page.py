"""Write what the recipes cost into docs/cluster.md: ``make docs``. A test holds the page to it.

The numbers of parameters are counted in the models themselves, which take no memory here; all else
is `costs.py` beside it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import costs
import file_sizes
import torch
import yaml
from snakemake.utils import update_config

from snakecap.config import settings
from snakecap.models.captioner import build

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "cluster.md"
MACHINE = "H200"
RECIPES = ("neuraltalk2", "show_and_tell", "obj2text_coco", "flickr8k", "coco_layouts")
WORDS = 10_000  # of a vocabulary, about; COCO's has 9,567
CATEGORIES = 80
FILES = (
    file_sizes.images,
    file_sizes.features,
    file_sizes.captions,
    file_sizes.detections,
    file_sizes.layouts,
)
MODELS = (file_sizes.model, file_sizes.checkpoint, file_sizes.work)
JOBS = (costs.host_memory, costs.gpu_memory, costs.stage_seconds, costs.look_seconds)
HEAD = ("recipe", "disk", "of it", "while training", "host memory", "GPU memory", "GPU-hours")


def main() -> None:
    """Put the tables between the page's markers."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def page(text: str) -> str:
    """The page with new tables between its markers."""
    for name, content in (("costs", recipes), ("formulas", formulas)):
        head, _, rest = text.partition(f"<!-- snakecap:{name} -->\n")
        _, end, tail = rest.partition(f"<!-- /snakecap:{name} -->")
        if not end:
            raise ValueError(f"docs/cluster.md lacks the markers of {name}")
        text = f"{head}<!-- snakecap:{name} -->\n{content()}{end}{tail}"
    return text


def checked(recipe: str, more: Mapping[str, Any] | None = None) -> settings.Settings:
    """config.yaml with a recipe, the list of data sets and `more` over it, as Snakemake does."""
    merged: dict[str, Any] = {}
    recipes = PROJECT / "workflow" / "recipes"
    for path in (PROJECT / "config.yaml", recipes / "datasets.yaml", recipes / f"{recipe}.yaml"):
        update_config(merged, yaml.safe_load(path.read_text(encoding="utf-8")))
    update_config(merged, more or {})
    return settings.read(merged)


def network(row: settings.System, whole: settings.Settings) -> costs.Network:
    """A system's numbers, counted."""
    training = whole.training(row, row.stages[0].name)
    layouts = (name for name, one in row.inputs.items() if one.table == "layouts")
    sizes = {name: {"categories": CATEGORIES} for name in layouts}
    with torch.device("meta"):
        model = build(training, vocabulary_size=WORDS, sizes=sizes)
    count = sum(parameter.numel() for parameter in model.parameters())
    own = sum(parameter.numel() for parameter in model.backbones.parameters())
    looks = model.looks.items()
    return costs.Network(
        count, own, {name: model.backbones[look.backbone].width for name, look in looks}
    )


def cost(recipe: str) -> costs.Cost:
    """What a recipe costs."""
    whole = checked(recipe)
    names = whole.compare or tuple(whole.systems)
    networks = {name: network(whole.systems[name], whole) for name in names}
    return costs.recipe(whole, costs.DATA[whole.dataset], networks, costs.MACHINES[MACHINE])


def recipes() -> str:
    """The table of the recipes."""
    rows = [HEAD, ("---",) * len(HEAD)]
    for recipe in RECIPES:
        found = cost(recipe)
        parts = ", ".join(f"{name} {_bytes(some)}" for name, some in found.disk.items() if some)
        hours = found.seconds / 3600
        total = _bytes(sum(found.disk.values()))
        shown = [_bytes(some) for some in (found.work, found.host, found.gpu)]
        rows.append((f"`{recipe}`", total, parts, *shown, f"{hours:.2g}"))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def formulas() -> str:
    """A line for each formula: what its docstring says, and where it is."""
    rows = ["| what | in `docs/` |\n| --- | --- |\n"]
    for function in (*FILES, *MODELS, *JOBS):
        text = (inspect.getdoc(function) or "").partition("\n")[0].replace("``", "`")
        module = function.__module__.rpartition(".")[2]
        rows.append(f"| {text} | `{module}.py: {function.__name__}` |\n")
    return "".join(rows)


def _bytes(number: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            digits = 1 if number < 10 * size else 0
            return f"{number / size:.{digits}f} {unit}"
    return f"{number / 1e3:.0f} kB"


if __name__ == "__main__":
    main()
