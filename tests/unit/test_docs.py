"""The documentation follows the code: generated pages, examples that run, tests that exist."""

import functools
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from snakecap import __version__, arguments, cli

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# The log keeps what was true on its day.
PAGES = [
    *(page for page in sorted(DOCS.glob("*.md")) if page.name != "log.md"),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
]


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


# Generated pages.


def test_generating_again_changes_nothing(generate):
    for name, text in generate.pages().items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, f"{name}: run make docs"


def test_every_setting_is_explained(generate):
    for name, definition in {"Settings": generate.schema(), **generate.schema()["$defs"]}.items():
        for key, entry in definition["properties"].items():
            assert entry.get("description"), f"{name}.{key} has no description"


def test_every_option_of_every_part_is_explained(generate):
    empty = [line for line in generate.settings_page().splitlines() if line.endswith("|  |")]
    assert not empty


def test_every_file_format_is_described(generate):
    """A module of files that documents a format is on the page."""
    names = {path.stem for path in (ROOT / "src/snakecap/formats").glob("*.py")}
    tools = {"__init__", "archives", "atomic", "decode", "store"}
    assert names - tools == set(generate.FILES) - {"history", "sidecar"}


def test_the_schema_accepts_the_configuration_and_refuses_mistakes():
    import jsonschema

    schema = json.loads((DOCS / "settings.schema.json").read_text())
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    jsonschema.validate(config, schema)
    first = (ROOT / "config.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=docs/settings.schema.json"
    config["resize"]["szie"] = 1
    with pytest.raises(jsonschema.ValidationError, match="szie"):
        jsonschema.validate(config, schema)


def test_history_has_the_keys_that_are_described(generate):
    from snakecap.training.checkpoints import History

    described = set(re.findall(r"^- `(\w+)`:", generate._history(), re.MULTILINE))
    assert vars(History()).keys() <= described


# docs/adding.md: the examples become part of a copy of the project.


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the source with the page's parts, registered by the page's lines."""
    folder = tmp_path_factory.mktemp("extended")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", folder / "src", ignore=ignored)
    shutil.copytree(ROOT / "workflow", folder / "workflow", ignore=ignored)
    shutil.copytree(ROOT / "tests" / "unit", folder / "tests" / "unit", ignore=ignored)
    registry = folder / "src" / "snakecap" / "registry.py"
    page = (DOCS / "adding.md").read_text()
    for code in blocks(DOCS / "adding.md", "python"):
        first, _, rest = code.partition("\n")
        if first.startswith("# src/"):
            (folder / first.removeprefix("# ")).write_text(rest)
        else:
            table = re.search(rf"Its line, in `(\w+)`:\n\n```python\n{re.escape(code)}", page)[1]
            head = f"{table} = {{\n"
            text = registry.read_text()
            assert head in text
            registry.write_text(text.replace(head, head + code))
    return folder


def python(folder, *words):
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_examples_pass_their_families_tests(extended):
    """Every test of the family with the example's name, in one process: torch imports slowly."""
    words = (
        "-m",
        "pytest",
        "tests/unit/models/test_decoders.py",
        "tests/unit/training/test_schedules.py",
    )
    done = python(
        extended, *words, "-k", "gru or polynomial", "-q", "-rA", "-p", "no:cacheprovider"
    )
    assert done.returncode == 0, done.stdout
    for name in ("test_step_by_step_is_the_whole[gru]", "unit_interval[polynomial]"):
        assert re.search(rf"PASSED .*{re.escape(name)}", done.stdout), done.stdout


def test_the_examples_are_systems_and_options_are_checked(extended):
    """What the page says of config.yaml holds."""
    decoder, schedule = None, None
    for text in blocks(DOCS / "adding.md", "yaml"):
        row = yaml.safe_load(text)
        decoder, schedule = row.get("decoder", decoder), row.get("schedule", schedule)
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    system = config["systems"]["neuraltalk2"]
    system["decoder"] = decoder
    system["stages"][0]["schedule"] = schedule
    (extended / "good.yaml").write_text(yaml.safe_dump(config))
    decoder["options"]["hidden"] = 1
    (extended / "bad.yaml").write_text(yaml.safe_dump(config))
    code = """
import sys, yaml
from snakecap.config import settings
from snakecap.workflow.plan import Plan
from pathlib import Path
checked = settings.read(yaml.safe_load(Path(sys.argv[1]).read_text()))
print(Plan(checked).train("neuraltalk2", "frozen").identity["code"])
"""
    good = python(extended, "-c", code, "good.yaml")
    assert (
        "snakecap.models.decoders.gru" in good.stdout
        and "snakecap.training.schedules.polynomial" in good.stdout
    )
    bad = python(extended, "-c", code, "bad.yaml")
    assert "decoder gru: unknown option hidden; its options: hidden_size, dropout" in bad.stderr


def test_every_family_is_on_the_page():
    from snakecap import registry

    page = (DOCS / "adding.md").read_text()
    tables = [name for name in vars(registry) if name.isupper() and name != "FAMILIES"]
    assert all(f"`{table}`" in page for table in tables)


# Lists that must be complete.


def test_every_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    features = [
        name for extra in extras if extra not in ("cluster", "dev") for name in extras[extra]
    ]
    wanted = [project["dependencies"], extras["cluster"], features, extras["dev"]]
    page = (DOCS / "dependencies.md").read_text()
    sections = page.split("\n## ")[1:]
    for names, section in zip(wanted, sections, strict=True):
        rows = re.findall(r"^\| ([\w-]+) \| (?:.{5,}) \|$", section, re.MULTILINE)
        assert sorted(rows) == sorted(re.split("[<>=~; ]", name)[0] for name in names)


CHECKS = [
    *(f"P{n}" for n in range(1, 12)),
    *(f"L{n}" for n in range(1, 5)),
    *("I1", "I2"),
    *(f"M{n}" for n in range(1, 9)),
    *(f"T{n}" for n in range(1, 16)),
    *(f"S{n}" for n in range(1, 5)),
    *(f"E{n}" for n in range(1, 10)),
    *("C1", "C2", "H1"),
    *(f"D{n}" for n in range(1, 35)),
    *(f"O{n}" for n in range(1, 21)),
    *(f"R{n}" for n in range(1, 36)),
]


def test_every_check_of_the_specification_is_covered():
    rows = re.findall(r"^\| (\w+) \| (.+?) \| (.*?) \|$", (DOCS / "checks.md").read_text(), re.M)
    assert [key for key, *_ in rows[1:]] == CHECKS
    assert all(len(covered) > 10 for *_, covered in rows[1:])


def test_every_test_that_a_page_names_exists():
    known = {
        f"{path.relative_to(ROOT / 'tests')}::{name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = {
        name for page in PAGES for name in re.findall(r"`([\w/]+\.py::\w+)`", page.read_text())
    }
    assert named and not named - known, f"no such tests: {sorted(named - known)}"


# Links and names in every page.


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?://|mailto:)([^)#]*)(?:#[^)]*)?\)", text):
        assert not target or (page.parent / target).exists(), f"{page.name}: {target}"
    for path in re.findall(r"`((?:src|docs|tests|workflow|benchmarks|envs)/[\w/.-]+)`", text):
        assert (ROOT / path).exists() or "NAME" in path, f"{page.name}: {path}"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_the_readme_names_what_there_is():
    """Every folder and file of the top level that a reader sees has its line in the tree."""
    text = (ROOT / "README.md").read_text()
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    names = {name.split("/")[0] for name in tracked if not name.startswith(".")}
    tree = blocks(ROOT / "README.md", "text")
    assert tree, "the tree is a block of text"
    missing = {name for name in names if not re.search(rf"^{re.escape(name)}\b", tree[-1], re.M)}
    assert not missing, f"not in the README's tree: {sorted(missing)}"
    assert "<!-- snakecap:table -->" in text and "<!-- /snakecap:table -->" in text


def shown(page):
    """The commands in a page's shell blocks, as lists of words."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_that_a_page_shows_are_accepted(page):
    targets = re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for words in shown(page):
        if words[0] == "make":
            assert words[1] in targets
        elif words[0] == "snakecap":
            function = functools.wraps(cli.load(words[1]))(lambda **_: None)
            arguments.call(function, words[2:], "snakecap", cli.COMMANDS[words[1]].positional)
        elif words[0] == "snakemake":
            files = [word for word in words if word.endswith(".yaml") and "/" in word]
            assert all((ROOT / name).exists() for name in files), words


def test_the_version_is_the_same_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert version == __version__ == citation["version"]
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()
