"""A command line from a function's signature: rule, command and test call the same function.

A parameter is an option ``--name``, or a positional argument where the command says so. A list
takes several words; a bool is ``--name`` or ``--no-name``; the fields of the ``settings`` model are
options of their own beside ``--settings JSON``. Types are checked by pydantic, help comes from the
Google docstring.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

import docstring_parser
import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from snakecap.config import errors

SCALARS = (str, int, float, bool, Path)


def call(
    function: Callable[..., Any], words: Sequence[str], program: str, positional: Sequence[str] = ()
) -> Any:
    """Parse `words` for `function` and call it.

    Args:
        function: all of whose parameters are keywords.
        words: the command line.
        program: its name, for messages.
        positional: parameters that are given without their name.

    Raises:
        SystemExit: 2 and a usage line for a wrong argument; 1 and the message alone when the
            function refuses its input (OSError, ValueError, RuntimeError).
    """
    values = parse(function, words, program, positional)
    try:
        return function(**values)
    except (OSError, ValueError, RuntimeError) as error:
        if type(error).__name__ in ("RecursionError", "NotImplementedError"):
            raise
        print(f"{program}: error: {_reason(error)}", file=sys.stderr)
        raise SystemExit(1) from error


def _reason(error: Exception) -> str:
    """What went wrong: of an error of the system, the file first and no number."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def parse(
    function: Callable[..., Any], words: Sequence[str], program: str, positional: Sequence[str] = ()
) -> dict[str, Any]:
    """The keyword arguments that `words` give a function."""
    parser = make_parser(function, program, positional)
    given = vars(parser.parse_args(words))
    values: dict[str, Any] = {}
    for name, parameter, hint in _parameters(function):
        if _model(hint) and name == "settings":
            values[name] = _settings(parser, hint, given, parameter.default)
        elif name in given:
            values[name] = _value(parser, name, hint, given[name])
    return values


def make_parser(
    function: Callable[..., Any], program: str, positional: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """A function's command line."""
    described = docstring_parser.parse(function.__doc__ or "")
    parser = _Parser(
        prog=program,
        description=described.description,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=30, width=100),
    )
    helps = {entry.arg_name: entry.description or "" for entry in described.params}
    for name, parameter, hint in _parameters(function):
        text = _sentence(helps.get(name, ""))
        _add(parser, name, hint, parameter.default, text, positional=name in positional)
    return parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Also say what argparse does not: that an option's list takes what follows it."""
        lists = [action.option_strings[-1] for action in self._actions if action.nargs in ("*", "+")
                 and action.option_strings]  # fmt: skip
        if lists and "required: " in message and "required: -" not in message:
            message += f" (give them first: {' and '.join(lists)} would take all that follows)"
        super().error(message)


def _parameters(function: Callable[..., Any]) -> Iterator[tuple[str, inspect.Parameter, Any]]:
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        yield name, parameter, hints[name]


def _sentence(text: str) -> str:
    """A docstring's words as argparse wants them: on one line, without its percent formatting."""
    return " ".join(text.split()).removesuffix(".").replace("%", "%%")


def _add(
    parser: argparse.ArgumentParser,
    name: str,
    hint: Any,
    default: Any,
    text: str,
    *,
    positional: bool,
) -> None:
    required = default is inspect.Parameter.empty
    options: dict[str, Any] = {"help": _with_default(text, default)}
    if get_origin(_inner(hint)) is list and _simple(get_args(_inner(hint))[0]):
        options["nargs"] = "+" if required else "*"
    if positional:
        parser.add_argument(name, metavar=name.upper(), **options)
    elif _model(hint) and name == "settings":
        _add_settings(parser.add_argument_group("settings", text), _inner(hint))
    else:
        options.update(_kind(hint), required=required, default=argparse.SUPPRESS)
        parser.add_argument(_flag(name), **options)


def _add_settings(group: Any, model: type[BaseModel]) -> None:
    group.add_argument(
        "--settings",
        metavar="JSON",
        default=argparse.SUPPRESS,
        help="all of them as JSON, or a .json or .yaml file (docs/settings.md lists them)",
    )
    for name, info in model.model_fields.items():
        if _simple(info.annotation):
            text = _with_default(_sentence(info.description or ""), info.default)
            options = {"dest": f"settings.{name}", "default": argparse.SUPPRESS, "help": text}
            group.add_argument(_flag(name), **options, **_kind(info.annotation))


def _kind(hint: Any) -> dict[str, Any]:
    """How argparse reads and shows a type."""
    if _inner(hint) is bool:
        return {"action": argparse.BooleanOptionalAction}
    return {"metavar": _metavar(hint)}


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
        known = model.model_fields
        parser.error(f"settings: {errors.explain(error, kind='setting', known=known)}")


def _document(parser: argparse.ArgumentParser, text: str) -> dict[str, Any]:
    try:
        if not text.lstrip().startswith("{"):
            text = Path(text).read_text(encoding="utf-8")
        value = yaml.safe_load(text)
    except OSError as error:
        parser.error(f"--settings is neither JSON nor a file: {error}")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
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
    return f"{text} (default: {default})".strip() if shown else text


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
    return {Path: "PATH", int: "N", float: "X", str: "TEXT"}.get(inner, "JSON")
