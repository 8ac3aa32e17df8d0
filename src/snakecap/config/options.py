"""The options of a part of a model, read from its source.

A part's keyword arguments that have defaults are its options in ``config.yaml``; their annotations
say what is allowed. Reading the source instead of importing it keeps torch out of a dry run.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from snakecap import registry
from snakecap.config import errors

SOURCE = Path(__file__).resolve().parents[2]


def check(family: str, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Check a part's options against its constructor, without importing it.

    Returns:
        The options that were given, of the types that the constructor says: "2" is 2.

    Raises:
        ValueError: unknown part, unknown option, wrong type or out of range.
    """
    options_model = model(family, name)
    try:
        return options_model.model_validate(dict(options)).model_dump(exclude_unset=True)
    except ValidationError as error:
        known = ", ".join(options_model.model_fields) or "none"
        lines = errors.explain(error, kind="option")
        raise ValueError(f"{family} {name}: {lines}; its options: {known}") from None


def check_rules(family: str, name: str, given: Mapping[str, Any]) -> None:
    """Check what a part's arguments must be to each other: a function ``check`` of its module.

    Args:
        given: its options, as `check` returns them, and what its system gives it.

    Raises:
        ValueError: they do not go together; says why.
    """
    node = _rule(registry.module(family, name))
    if node is None:
        return
    space: dict[str, Any] = {}
    # The project's own code, and its constructor calls the same: only torch is not imported.
    exec(compile(ast.Module([_bare(node)], []), name, "exec"), space)
    values = {**model(family, name)().model_dump(), **given}
    try:
        space["check"](**{one.arg: values[one.arg] for one in node.args.kwonlyargs})
    except ValueError as error:
        raise ValueError(f"{family} {name}: {error}") from None


def _rule(module: str) -> ast.FunctionDef | None:
    """A module's function ``check``, its own or one that it imports."""
    imported = (
        line.module
        for line in _tree(module).body
        if isinstance(line, ast.ImportFrom) and "check" in [one.name for one in line.names]
    )
    return _functions(next((one for one in imported if one), module)).get("check")


def build(family: str, name: str, given: Mapping[str, Any], available: Mapping[str, Any]) -> Any:
    """Construct a part: options come from its row, all other arguments from `available` by name.

    Raises:
        ValueError: the part asks for something that is not available, or an option is wrong.
    """
    constructor = registry.load(family, name)
    parameters = inspect.signature(constructor).parameters.values()
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in available]
    if missing:
        raise ValueError(f"{family} {name} needs {', '.join(missing)}: the system has none")
    chosen, known = check(family, name, given), model(family, name).model_fields
    asked = [one.name for one in parameters if one.name not in known and one.name in available]
    return constructor(**{one: available[one] for one in asked}, **chosen)


def complete(family: str, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a part, typed: "0e0" is 0.0, and what was not given has its default."""
    return model(family, name).model_validate(dict(options)).model_dump()


def defines(family: str, name: str, attribute: str) -> bool:
    """Whether the module of a part has a function of that name."""
    return attribute in _functions(registry.module(family, name))


def literal(family: str, name: str, attribute: str) -> Any:
    """A plain value in the module of a part, such as what a search ``READS``; None without it."""
    return _assigned(_tree(registry.module(family, name)).body, attribute)


@cache
def model(family: str, name: str) -> type[BaseModel]:
    """A part's options: its keyword arguments that have defaults."""
    fields: dict[str, Any] = {
        argument.arg: (_annotation(argument.annotation), ast.literal_eval(default))
        for argument, default in _keywords(family, name)
        if default is not None
    }
    config = ConfigDict(extra="forbid", strict=False)
    return create_model(f"{family}_{name}", __config__=config, **fields)


def needs(family: str, name: str) -> set[str]:
    """What a part asks of its system: its keyword arguments without a default."""
    return {argument.arg for argument, default in _keywords(family, name) if default is None}


def takes(family: str, name: str, argument: str) -> bool:
    """Whether a part's constructor has an argument, with a default or without."""
    node = _constructor(family, name)
    given = [*node.args.args, *node.args.kwonlyargs] if node else []
    return any(one.arg == argument for one in given)


def constant(family: str, name: str, attribute: str) -> Any:
    """A plain value in the class of a part, such as what an encoder ``reads``; None without it."""
    return _assigned(_definition(family, name).body, attribute)


def _assigned(body: list[ast.stmt], attribute: str) -> Any:
    for line in body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == attribute:
            return ast.literal_eval(line.value)
    return None


def _keywords(family: str, name: str) -> list[tuple[ast.arg, ast.expr | None]]:
    """The keyword arguments of a part's constructor, and their defaults."""
    node = _constructor(family, name)
    return list(zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)) if node else []


def _constructor(family: str, name: str) -> ast.FunctionDef | None:
    node = _definition(family, name)
    if isinstance(node, ast.FunctionDef):
        return node
    methods = {n.name: n for n in node.body if isinstance(n, ast.FunctionDef)}
    return methods.get("__init__")


def _definition(family: str, name: str) -> ast.FunctionDef | ast.ClassDef:
    module, _, attribute = registry.location(family, name).partition(":")
    body = _tree(module).body
    nodes = {n.name: n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    return nodes[attribute]


@cache
def _functions(module: str) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in _tree(module).body if isinstance(node, ast.FunctionDef)}


def _bare(node: ast.FunctionDef) -> ast.FunctionDef:
    """A function without its annotations, whose names are not imported."""
    arguments = [ast.arg(one.arg, lineno=one.lineno, col_offset=0) for one in node.args.kwonlyargs]
    plain = ast.arguments([], [], None, arguments, node.args.kw_defaults, None, [])
    bare = ast.FunctionDef(node.name, plain, node.body, [], None)
    return ast.fix_missing_locations(ast.copy_location(bare, node))


def _tree(module: str) -> ast.Module:
    path = SOURCE.joinpath(*module.split(".")).with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def _annotation(node: ast.expr | None) -> Any:
    names = {"Annotated": Annotated, "Literal": Literal, "Field": Field, "Any": Any}
    builtins = {"int": int, "float": float, "bool": bool, "str": str, "tuple": tuple, "dict": dict}
    if node is None:
        return Any
    return eval(compile(ast.Expression(node), "<option>", "eval"), {**names, **builtins})
