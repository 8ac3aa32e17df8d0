"""What a result was made from: a digest of the code, and what a job is a function of.

Editing a module that a script imports triggers nothing in Snakemake by itself, so every rule
carries ``digest(...)`` as a param: a hash over the syntax trees (no comments, docstrings or
formatting) of its script and of all the modules that this reaches inside ``src/``.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[2]
SCRIPTS = "workflow.scripts"  # the rules' scripts beside `SOURCE`, named as if they were modules
PACKAGE = "snakecap"  # its __init__ holds the version: a release must not rerun everything
# Their values are params (settings), or they never change a result (the others).
UNTRACKED = (
    *("config", "registry", "log", "arguments", "workflow", "distributed.signals"),
    *("distributed.torchrun", "distributed.slurm_signals"),
    *(f"provenance.{name}" for name in ("cache", "code", "identity", "outputs", "record")),
    "provenance.sidecar",
)


def _file(name: str) -> Path | None:
    root = SOURCE.parent if name.startswith(SCRIPTS) else SOURCE
    base = root.joinpath(*name.split("."))
    return next((p for p in (base / "__init__.py", base.with_suffix(".py")) if p.is_file()), None)


def _tracked(name: str) -> bool:
    inside = any(f"{name}.".startswith(f"{PACKAGE}.{one}.") for one in UNTRACKED)
    return name != PACKAGE and not inside


def _without_words(tree: ast.AST) -> ast.AST:
    """A tree without docstrings, and without the texts of log messages."""
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, holders) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and _text(first.value):
                del node.body[0]
        if isinstance(node, ast.Call) and _logs(node.func):
            node.args = [one for one in node.args if not _text(one)]
    return tree


def _logs(function: ast.expr) -> bool:
    owner = function.value if isinstance(function, ast.Attribute) else None
    return getattr(owner, "id", getattr(owner, "attr", "")) == "logger"


def _text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


class _Imports(ast.NodeVisitor):
    """Collects the dotted names that a module imports when it runs."""

    def __init__(self, module: str, is_package: bool):
        self.package = module if is_package else module.rpartition(".")[0]
        self.found: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        test = node.test
        checking = getattr(test, "id", getattr(test, "attr", "")) == "TYPE_CHECKING"
        for child in node.orelse if checking else [*node.body, *node.orelse]:
            self.visit(child)

    def visit_Import(self, node: ast.Import) -> None:
        self.found.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            parts = self.package.split(".")[: len(self.package.split(".")) - node.level + 1]
            base = ".".join([*parts, base] if base else parts)
        self.found.add(base)
        self.found.update(f"{base}.{alias.name}" for alias in node.names)


@cache
def _parse(name: str) -> tuple[str, frozenset[str]]:
    """The digest of one module's own code, and the modules of `SOURCE` it imports."""
    path = _file(name)
    if path is None:
        raise ModuleNotFoundError(f"{name} is not a module of {SOURCE}")
    tree = ast.parse(path.read_bytes(), filename=str(path))
    visitor = _Imports(name, path.name == "__init__.py")
    visitor.visit(tree)
    text = ast.dump(_without_words(tree), annotate_fields=False, include_attributes=False)
    if path.name == "__init__.py":  # a package's other files, such as a page's templates
        others = sorted(
            p for p in path.parent.iterdir() if p.suffix in (".html", ".md", ".css", ".js")
        )
        text += "".join(f"{p.name}={file_digest(p)}" for p in others)
    found = {*visitor.found, name}
    # Importing a.b.c runs a and a.b too.
    parents = {".".join(n.split(".")[:i]) for n in found for i in range(1, n.count(".") + 2)}
    modules = frozenset(n for n in parents if n != name and _file(n))
    return hashlib.sha256(text.encode()).hexdigest(), modules


@cache
def reachable(name: str) -> frozenset[str]:
    """All modules of `SOURCE` that importing `name` runs, `name` included, `UNTRACKED` not."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        module = todo.pop()
        if module not in seen and _tracked(module):
            seen.add(module)
            todo.extend(_parse(module)[1])
    return frozenset(seen)


def digest(*names: str) -> str:
    """Sixteen hex digits over the code of `names` and of all they import inside ``src/``.

    Args:
        names: modules; or ``module:attribute``, to tell from another attribute.
    """
    modules = {module for name in names for module in reachable(name.partition(":")[0])}
    lines = "".join(f"{module}={_parse(module)[0]}\n" for module in sorted(modules))
    lines += "".join(sorted({f"{name}\n" for name in names if ":" in name}))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def lock_digest(folder: Path = SOURCE.parent) -> str:
    """Sixteen hex digits of what a checkout's lock file pins; empty where there is none.

    Without the packages that only development needs (envs/development.txt).
    """
    lock, tools = folder / "requirements.lock", folder / "envs" / "development.txt"
    if not lock.is_file():
        return ""
    left_out = set(tools.read_text(encoding="utf-8").split()) if tools.is_file() else set()
    pins = re.split(r"^(?=\S)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    kept = "".join(pin for pin in pins if pin.partition("==")[0] not in left_out)
    return hashlib.sha256(kept.encode()).hexdigest()[:16]


def canonical(value: Any) -> str:
    """JSON with sorted keys, in which 1.0 and 1 are the same: equal settings, equal text."""
    return json.dumps(_normal(value), sort_keys=True, separators=(",", ":"))


def hashed(value: Any) -> str:
    """The sha256 of a JSON value as `canonical` text, as hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def settings_digest(text: str) -> str:
    """Eight hex digits that tell one job's settings, as `canonical` text, from another's."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _normal(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _normal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_normal(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def stamp(**facts: Any) -> dict[str, Any]:
    """What a result records of its making: the code's digest and what the step adds."""
    return {"code": os.environ.get("SNAKECAP_CODE", ""), **facts}
