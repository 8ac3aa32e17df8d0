"""The levels of docs/adding.md: imports lead down, or to the same folder; no circle."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
SCRIPTS = SOURCE.parent / "workflow" / "scripts"
# From below. What stands on one level does not import each other.
LEVELS = tuple(
    map(
        str.split,
        (
            "log device registry",
            "config distributed",
            "objects arguments",
            "formats",
            "provenance text",
            "workflow data detectors metrics search models inputs",
            "training inference objectives",
            "tasks",
            "report",
            "steps",
            "server",
            "cli",
            "__main__",
        ),
    )
)
LEVEL = {family: level for level, families in enumerate(LEVELS) for family in families}
MODULES = sorted(SOURCE.glob("snakecap/**/*.py"))


def family(path):
    return path.relative_to(SOURCE).with_suffix("").parts[1]


def imports(path):
    """The families of snakecap that a module imports when it runs, at any depth of its code."""
    return {name.split(".")[1] for name in names(path) if name.startswith("snakecap.")}


def names(path):
    package = path.relative_to(SOURCE).parent.parts if path.is_relative_to(SOURCE) else ()
    tree = ast.parse(path.read_bytes())
    skipped = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for line in node.body
        for child in ast.walk(line)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            parent = package[: len(package) + 1 - node.level] if node.level else ()
            base = ".".join([*parent, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def violations(path):
    mine = family(path)
    below = {name for name, level in LEVEL.items() if level < LEVEL[mine]}
    return imports(path) - below - {mine, "__version__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE / "snakecap")))
def test_imports_go_down(path):
    if path.name != "__init__.py":
        assert family(path) in LEVEL, f"{path}: say in LEVELS which level it is of"
        assert not violations(path), f"{path} imports upward or sideways: {violations(path)}"
    elif path.parent.name != "snakecap":
        assert not path.read_text(), f"{path}: every module beside it would depend on this code"


def circle(graph):
    """Modules of which each imports the next one, and the last the first; [] when there is none."""
    done = set()

    def visit(module, way):
        if module in way:
            return way[way.index(module) :]
        if module in done:
            return []
        found = next(filter(None, (visit(other, [*way, module]) for other in graph[module])), [])
        done.add(module)
        return found

    return next(filter(None, (visit(module, []) for module in graph)), [])


def test_no_circle_of_imports():
    """At any depth of the code, inside a folder too."""
    modules = {".".join(path.relative_to(SOURCE).with_suffix("").parts): path for path in MODULES}
    graph = {name: {*names(path)} & modules.keys() for name, path in modules.items()}
    assert circle(graph) == []


def test_a_circle_is_found():
    assert circle({"a": ["b"], "b": ["c", "d"], "c": [], "d": ["e"], "e": ["b"]}) == ["b", "d", "e"]
    assert circle({"a": ["b", "c"], "b": ["c"], "c": []}) == []


def test_importing_the_package_imports_nothing_of_it():
    assert not [name for name in names(SOURCE / "snakecap/__init__.py") if "snakecap." in name]


def test_the_test_sees_what_is_wrong(tmp_path, monkeypatch):
    """An upward, a sideways, a relative and a nested import; one for type checkers only is fine."""
    monkeypatch.setattr(sys.modules[__name__], "SOURCE", tmp_path)
    path = tmp_path / "snakecap" / "models" / "new.py"
    path.parent.mkdir(parents=True)
    for line, found in (
        ("import snakecap.steps.train", {"steps"}),
        ("from snakecap import steps, log", {"steps"}),
        ("from ..search import beam", {"search"}),
        ("from .lstm import LSTM", set()),
        ("def f():\n    from snakecap.inputs.inputs import Source", {"inputs"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import snakecap.cli", set()),
        ("import torch\nfrom snakecap.formats import atomic", set()),
    ):
        path.write_text(line)
        assert violations(path) == found, line


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.py")), ids=lambda p: p.stem)
def test_a_rules_script_is_a_stage_and_its_start(path):
    called = {name for name in names(path) if name.startswith("snakecap")}
    assert called == {"snakecap.workflow.job.run", f"snakecap.steps.{path.stem}.{path.stem}"}
    assert len(path.read_text().splitlines()) <= 6


def test_a_dry_run_needs_no_torch():
    """The Snakefile imports these alone; it must start in about a second."""
    code = "import sys, snakecap.workflow.plan, snakecap.config.settings, snakecap.provenance.code;"
    code += "import snakecap.cli, snakecap.workflow.steps, snakecap.workflow.controller;"
    code += "print(sorted({'torch', 'numpy', 'h5py', 'PIL', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_light_jobs_need_no_torch():
    """All scripts but those that run networks: they start in a fraction of the time."""
    heavy = {"train", "train_detector", "features", "detect", "caption", "describe"}
    light = sorted(path.stem for path in SCRIPTS.glob("*.py") if path.stem not in heavy)
    code = "import sys, " + ", ".join(f"snakecap.steps.{name}" for name in light)
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(light) > 8 and done.stdout == "False\n"
