"""A command line from a function's signature: rule, command and test call the same function.

A parameter is an option ``--name`` (or a positional argument when it is not keyword-only), a list
takes several words, and the fields of the ``settings`` model are options of their own beside
``--settings JSON``. Types are checked by pydantic, help comes from the Google docstring.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import docstring_parser
import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

SCALARS = (str, int, float, bool, Path)


def call(function: Callable[..., Any], words: Sequence[str], program: str) -> Any:
    """Parse `words` for `function` and call it.

    Raises:
        SystemExit: 2 and a usage line for a wrong argument; 1 and the message alone when the
            function refuses its input (OSError, ValueError, RuntimeError).
    """
    values = parse(function, words, program)
    try:
        return function(**values)
    except (OSError, ValueError, RuntimeError) as error:
        if type(error).__name__ in ("RecursionError", "NotImplementedError"):
            raise
        print(f"{program}: error: {error}", file=sys.stderr)
        raise SystemExit(1) from error


def parse(function: Callable[..., Any], words: Sequence[str], program: str) -> dict[str, Any]:
    """The keyword arguments that `words` give a function."""
    described = docstring_parser.parse(function.__doc__ or "")
    parser = argparse.ArgumentParser(
        prog=program,
        description=described.description,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=30, width=100),
    )
    helps = {entry.arg_name: entry.description or "" for entry in described.params}
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters
    for name, parameter in parameters.items():
        _add(parser, name, parameter, hints[name], helps.get(name, ""))
    given = vars(parser.parse_args(words))
    values: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if _model(hints[name]) and name == "settings":
            values[name] = _settings(parser, hints[name], given, parameter.default)
        elif name in given:
            values[name] = _value(parser, name, hints[name], given[name])
    return values


def _add(
    parser: argparse.ArgumentParser, name: str, parameter: inspect.Parameter, hint: Any, text: str
) -> None:
    text = text.replace("\n", " ").replace("%", "%%")
    required = parameter.default is parameter.empty
    options: dict[str, Any] = {"help": _with_default(text, parameter.default)}
    if get_origin(_inner(hint)) is list and _simple(get_args(_inner(hint))[0]):
        options["nargs"] = "+" if required else "*"
    if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
        parser.add_argument(name, metavar=name.upper(), **options)
        return
    if _model(hint) and name == "settings":
        group = parser.add_argument_group("settings", text)
        group.add_argument(
            "--settings",
            metavar="JSON",
            default=argparse.SUPPRESS,
            help="all of them as JSON, or a .json or .yaml file",
        )
        for field, info in _inner(hint).model_fields.items():
            if _simple(info.annotation):
                _add_field(group, field, info)
        return
    options["metavar"] = _metavar(hint)
    parser.add_argument(_flag(name), required=required, default=argparse.SUPPRESS, **options)


def _add_field(group: Any, name: str, info: FieldInfo) -> None:
    help = _with_default((info.description or "").replace("%", "%%"), info.default)
    group.add_argument(
        _flag(name),
        dest=f"settings.{name}",
        default=argparse.SUPPRESS,
        help=help,
        metavar=_metavar(info.annotation),
    )


def _settings(parser: argparse.ArgumentParser, hint: Any, given: Any, default: Any) -> Any:
    model = _inner(hint)
    whole: dict[str, Any] = {}
    if "settings" in given:
        whole = _document(parser, given["settings"])
    elif isinstance(default, BaseModel):
        whole = default.model_dump()
    fields = {k.removeprefix("settings."): v for k, v in given.items() if "settings." in k}
    try:
        return model.model_validate({**whole, **fields})
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        parser.error("settings: " + "; ".join(lines))


def _document(parser: argparse.ArgumentParser, text: str) -> dict[str, Any]:
    if not text.lstrip().startswith("{"):
        text = Path(text).read_text(encoding="utf-8")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        parser.error(f"--settings is neither JSON nor YAML: {error}")
    if not isinstance(value, dict):
        parser.error("--settings must be an object of settings")
    return value


def _value(parser: argparse.ArgumentParser, name: str, hint: Any, given: Any) -> Any:
    if isinstance(given, str) and not _simple(hint):
        try:
            given = json.loads(given)
        except json.JSONDecodeError as error:
            parser.error(f"{_flag(name)} must be JSON: {error}")
    try:
        return TypeAdapter(hint).validate_python(given)
    except ValidationError as error:
        parser.error(f"{_flag(name)}: {error.errors()[0]['msg']} (it is {given!r})")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _with_default(text: str, default: Any) -> str:
    shown = isinstance(default, SCALARS) and default != ""
    return f"{text} (default: {default})" if shown else text


def _inner(hint: Any) -> Any:
    """X of ``X | None`` and of ``Annotated[X, ...]``."""
    if get_origin(hint) in (Union, UnionType):
        kept = [argument for argument in get_args(hint) if argument is not type(None)]
        return _inner(kept[0]) if len(kept) == 1 else hint
    if hasattr(hint, "__metadata__"):
        return _inner(get_args(hint)[0])
    return hint


def _model(hint: Any) -> bool:
    inner = _inner(hint)
    return isinstance(inner, type) and issubclass(inner, BaseModel)


def _simple(hint: Any) -> bool:
    inner = _inner(hint)
    if get_origin(inner) in (Union, UnionType):
        return all(_simple(argument) for argument in get_args(inner))
    return inner in SCALARS or get_origin(inner) is Literal


def _metavar(hint: Any) -> str:
    inner = _inner(hint)
    if get_origin(inner) is Literal:
        return "{" + ",".join(map(str, get_args(inner))) + "}"
    if get_origin(inner) is list:
        return _metavar(get_args(inner)[0])
    return {Path: "PATH", int: "N", float: "X", bool: "BOOL", str: "TEXT"}.get(inner, "JSON")
