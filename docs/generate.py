"""Write the pages that follow from the code: ``make docs``. A test holds them to it.

docs/settings.md and docs/settings.schema.json come from `snakecap.config.settings` and the
signatures of the registered parts, docs/commands.md from the commands' functions, docs/formats.md
from the docstrings of `snakecap.formats`.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import docstring_parser

from snakecap import arguments, cli, registry
from snakecap.config import options, settings

FOLDER = Path(__file__).parent
HEAD = "<!-- Written by docs/generate.py (make docs); a test compares. -->\n"


def main() -> None:
    """Write every page."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """The text of each generated page, by name."""
    return {
        "settings.md": settings_page(),
        "settings.schema.json": json.dumps(schema(), indent=1) + "\n",
        "commands.md": commands_page(),
        "formats.md": formats_page(),
    }


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _code(text: str) -> str:
    """Docstring markup as Markdown; a block's fence has three."""
    return re.sub("(?<!`)``(?!`)", "`", text)


# Settings.

OVERVIEW = """
# Settings

`config.yaml` holds them all; a recipe lies over it (`--configfile`), key by key. They are checked
before any job starts, and a mistake is named with its place and what is allowed there.

A key without a default must be given. Editors that know JSON Schema complete and check
`config.yaml` while you type: its first line names `docs/settings.schema.json`.
"""
PARTS = """
## Parts

A part is chosen by its name in a table of `src/snakecap/registry.py`; its options are the keyword
arguments of its constructor. Adding one: docs/adding.md.
"""
WHERE = {
    "task": "the `task` of a row of `systems`",
    "input": "systems.*.inputs: `{part, source, options}`",
    "encoder": "systems.*.encoders: `{part, options, reads}`",
    "backbone": "backbones.*.architecture; `torchvision` stands for every name of torchvision's",
    "decoder": "systems.*.decoder: `{part, options}`",
    "detector": "detectors.*: `{part, options, file, training}`",
    "dataset": "datasets.*: `{reader, options}`",
    "tokenizer": "vocabularies.*.tokenizer",
    "search": "systems.*.decoding.method; the other keys of `decoding` are its options",
    "schedule": "systems.*.stages.*.schedule: `{name, options}`",
    "objective": "systems.*.stages.*.objective: `{part, options}`",
    "optimiser": "systems.*.stages.*.optimiser.name; every one reads the numbers it needs",
    "metric": "score.metrics",
}


@cache
def schema() -> dict[str, Any]:
    """The JSON schema of ``config.yaml``."""
    return settings.Settings.model_json_schema()


def settings_page() -> str:
    """Every setting: key, type, default, meaning; then every registered part and its options."""
    definitions = schema()["$defs"]
    text = [HEAD, OVERVIEW, "\n## config.yaml\n\n", _section(schema())]
    for name in _reached(schema(), definitions):
        text += [f"\n## {name}\n\n{_code(definitions[name].get('description', ''))}\n\n"]
        text += [_section(definitions[name])]
    text.append(PARTS)
    for family, rows in registry.FAMILIES.items():
        plural = "es" if family.endswith("ch") else "s"
        text.append(f"\n### {family.capitalize()}{plural}\n\nIn {WHERE[family]}.\n\n")
        text.append("\n".join(_part(family, name) for name in rows))
    return "".join(text)


def _reached(node: Any, definitions: dict[str, Any]) -> list[str]:
    """The models that a schema refers to, each once, in the order in which a reader meets them."""
    found: dict[str, None] = {}
    todo = [node["properties"]]
    while todo:
        for name in re.findall(r'"#/\$defs/(\w+)"', json.dumps(todo.pop(0))):
            if name not in found:
                found[name] = None
                todo.append(definitions[name]["properties"])
    return list(found)


def _section(own: dict[str, Any]) -> str:
    rows = []
    for name, entry in own["properties"].items():
        default = "" if name in own.get("required", ()) else _default(entry)
        rows.append((f"`{name}`", _type(entry), default, _code(entry.get("description", ""))))
    return table(("key", "type", "default", "meaning"), rows)


def _part(family: str, name: str) -> str:
    part = registry.load(family, name)
    module = import_module(registry.module(family, name))
    purpose = _code((inspect.getdoc(module) or "").partition("\n\n")[0].replace("\n", " "))
    # A class's options are explained by its constructor or by itself; those that it shares with
    # others of its family, by the base class.
    described = [*reversed(part.__mro__), part.__init__] if inspect.isclass(part) else [part]
    helps = {name: text for one in described for name, text in _helps(one).items()}
    own = options.model(family, name).model_json_schema()["properties"]
    rows = [
        (f"`{key}`", _type(entry), _default(entry), helps.get(key, ""))
        for key, entry in own.items()
    ]
    shown = table(("option", "type", "default", "meaning"), rows) if rows else ""
    return f"**`{name}`**: {purpose}\n" + (f"\n{shown}" if shown else "")


def _helps(function: Any) -> dict[str, str]:
    parsed = docstring_parser.parse(function.__doc__ or "")
    texts = {entry.arg_name: entry.description or "" for entry in parsed.params}
    return {name: _code(text).removesuffix(".") for name, text in texts.items()}


def _type(entry: dict[str, Any]) -> str:
    """A property's type in words."""
    if "anyOf" in entry:
        return " or ".join(_type(choice) for choice in entry["anyOf"])
    if "$ref" in entry:
        name = entry["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in entry:
        *others, last = (f"`{value}`" for value in entry["enum"])
        return f"{', '.join(others)} or {last}"
    if "const" in entry:
        return f"`{entry['const']}`"
    kind = entry.get("type")
    if kind == "array":
        return _array(entry)
    if kind == "object":
        return _mapping(entry)
    names = {"string": "text", "boolean": "true or false", "null": "null", None: "anything"}
    return f"{names.get(kind, kind)}{_range(entry)}"


def _array(entry: dict[str, Any]) -> str:
    if "prefixItems" in entry:
        return f"{len(entry['prefixItems'])} {_plural(_type(entry['prefixItems'][0]))}"
    return f"list of {_plural(_type(entry['items']))}"


def _plural(kind: str) -> str:
    if kind.startswith("2 "):
        return f"pairs of {kind[2:]}"
    return f"{kind}s" if kind in ("text", "integer", "number") else kind


def _mapping(entry: dict[str, Any]) -> str:
    of = entry.get("additionalProperties", True)
    if of is True:
        patterns = list(entry.get("patternProperties", {}).values())
        return f"rows of {_type(patterns[0])} by name" if patterns else "mapping"
    return f"mapping to {_type(of)}"


def _range(entry: dict[str, Any]) -> str:
    low = [f"≥ {_number(entry['minimum'])}"] if "minimum" in entry else []
    low += [f"> {_number(entry['exclusiveMinimum'])}"] if "exclusiveMinimum" in entry else []
    high = [f"≤ {_number(entry['maximum'])}"] if "maximum" in entry else []
    high += [f"< {_number(entry['exclusiveMaximum'])}"] if "exclusiveMaximum" in entry else []
    return " " + ", ".join(low + high) if low or high else ""


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _default(entry: dict[str, Any]) -> str:
    """A property's default; of a model's fields only those that are not that model's own."""
    value = entry.get("default")
    if "$ref" in entry:
        own = schema()["$defs"][entry["$ref"].rpartition("/")[2]]["properties"]
        value = {k: v for k, v in value.items() if own[k].get("default") != v}
        if not value:
            return "its own"
    if isinstance(value, list):
        value = [_filled(item) if isinstance(item, dict) else item for item in value]
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _filled(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value}


# Commands.

COMMANDS = """
# Commands

`snakecap COMMAND --help` says the same. Every rule of the workflow calls one of these functions;
`snakemake -p` prints the commands that it runs. A switch `--name` has an opposite, `--no-name`,
where it is listed. `snakecap --install-completion` lets a shell complete all of them.

"""


def commands_page() -> str:
    """Each command's purpose, usage, arguments and settings, as cyclopts writes them."""
    text = [HEAD, COMMANDS]
    for name, command in cli.COMMANDS.items():
        single = arguments.single(cli.load(name), f"snakecap {name}", command.positional)
        text.append(_code(single.generate_docs(heading_level=2, usage_name="snakecap")) + "\n")
    return "".join(text)


# File formats.

FORMATS = """
# File formats

Every arrow of the workflow is a file, with one reader and one writer in `src/snakecap/formats`. All
are written whole or not at all. A *stamp* is `code`, the digest of the code that made the file,
and what else the stage says about its making.

| under `results/{dataset}/` | written by | what it is |
| --- | --- | --- |
| `downloads.json` | download | what was fetched, and its checksums |
| `pictures.json` | annotations, combine | one record a picture |
| `images.h5`, `rejected.tsv` | resize | squares of pixels; what could not be read |
| `regions/{vocabulary}.json`, `_left_out.tsv` | regions | regions that are learnt |
| `vocabularies/{vocabulary}.json` | vocabulary | words and ids |
| `captions/{vocabulary}.h5`, `.json` | encode | captions as ids |
| `features/{backbone}_{output}.lmdb` | features | what a backbone sees |
| `detectors/{detector}/model.safetensors`, `history.json` | train_detector | a YOLOv2 |
| `detections/{detector}.json`, `_rejected.tsv` | detect | objects, and clipped boxes |
| `detections/{detector}_info.json` | detect | its categories, speed, sizes of pictures |
| `detections/{detector}_scores.json` | judge | by split: AP, AP50, AP75, pictures, objects |
| `layouts/{layout}.h5`, `.json` | layout | objects as systems read them |
| `{system}/{stage}/model.safetensors` | train | the best model; `last.safetensors`: the last |
| `{system}/{stage}/history.json` | train | losses and scores while training |
| `references/{split}.json` | references | COCO captions |
| `{system}/{stage}/captions/{split}.json` | caption | COCO results |
| `{system}/{stage}/captions/{split}_shuffled.json` | caption | the shuffled-image control's |
| `{system}/{stage}/captions/{split}_alphas.npy` | caption | what words look at in a grid |
| `{system}/{stage}/scores/{split}.json`, `_shuffled` | score | what they scored |
| `report/{split}/` | report | `table.md`, `table.csv`, `curves.svg`, `figure.png`, `index.html` |
| `NAME.provenance.json`, beside every `NAME` | all | what `NAME` was made from |
| `.work/`, `{system}/{stage}/.work/`, ... | all | state to resume from, gone after success; locks |
"""
FILES = {
    "pictures": "pictures.json",
    "visual_genome": "region_descriptions.json, image_data.json",
    "images": "images.h5",
    "rejected": "rejected.tsv",
    "vocabulary": "vocabularies/*.json",
    "captions": "captions/*.h5, *.json",
    "features": "features/*.lmdb",
    "vectors": "features made elsewhere: *.npy, *.h5, *.lmdb, *.bin, *.txt",
    "regions": "regions made elsewhere: *.lmdb, *.zip",
    "detections": "detections/*.json",
    "darknet_lines": "coco_detection_result",
    "layouts": "layouts/*.json, *.h5",
    "darknet": "*.cfg, *.weights",
    "model": "model.safetensors",
    "history": "history.json",
    "results": "captions/*.json, references/*.json",
    "alphas": "captions/*_alphas.npy",
    "scores": "scores/*.json",
    "dense": "describe/*.json",
    "dense_scores": "describe/*_scores.json",
    "region_codes": "region codes: *.h5",
    "densecap": "VG-regions.h5, VG-regions-dicts.json",
    "vis": "vis.json",
    "sidecar": "*.provenance.json",
    "downloads": "downloads: *.sha256, *.part",
}


def formats_page() -> str:
    """The module docstrings of `snakecap.formats`, in the order of the workflow."""
    text = [HEAD, FORMATS]
    for name, title in FILES.items():
        folder = "provenance" if name == "sidecar" else "formats"
        body = _history() if name == "history" else _docstring(f"snakecap.{folder}.{name}")
        text.append(f"\n## {title}\n\n{body}\n")
    return "".join(text)


def _docstring(module: str) -> str:
    return _code(inspect.getdoc(import_module(module)) or "")


def _history() -> str:
    """What training reports, from the attributes of `fit.History`."""
    from snakecap.training.loop import History

    parsed = docstring_parser.parse(History.__doc__ or "")
    lines = [
        "NeuralTalk2's `model_id*.json`, rewritten at every validation and checkpoint.\n",
        *(f"- `{entry.arg_name}`: {entry.description}" for entry in _attributes(parsed)),
        "- `throughput`: captions a second.",
        "- `settings`, `parameters`, `words`, `code`: as in the model's header.",
    ]
    return "\n".join(lines)


def _attributes(parsed: docstring_parser.Docstring) -> Iterator[docstring_parser.DocstringParam]:
    return (entry for entry in parsed.params if entry.args[0] == "attribute")


if __name__ == "__main__":
    main()
