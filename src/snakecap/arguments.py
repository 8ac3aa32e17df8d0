"""A step's function as a command line, by cyclopts: rule, command and test call the same function.

A parameter is an option ``--name``, or a positional argument where the command says so; a list
takes several words. The plain fields of the ``settings`` model are options of their own, which lie
over ``--settings JSON``. Help comes from the Google docstring and the fields' descriptions.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from cyclopts import App, CycloptsError, Group, MissingArgumentError, Parameter

if TYPE_CHECKING:
    from pydantic import BaseModel

Function = Callable[..., Any]
OPTIONS = Parameter(consume_multiple=True, json_list=True, negative_iterable=())
SETTINGS = Group("Settings", sort_key=1)


def call(
    function: Function, words: Sequence[str], program: str, positional: Sequence[str] = ()
) -> Any:
    """Parse `words` for a function of keywords and call it; `positional` are given without names.

    Raises:
        SystemExit: as `run`.
    """
    return run(single(function, program, positional), words)


def single(function: Function, program: str, positional: Sequence[str] = ()) -> App:
    """The command line of one function."""
    made = application(program, version_flags=(), help_format="markdown")
    made.default(command(function, positional))
    return made


def application(program: str, **more: Any) -> App:
    """What all our command lines share."""
    made = App(program, default_parameter=OPTIONS, **more)
    made["--help"].show = False
    return made


def run(application: App, words: Sequence[str]) -> Any:
    """Call what `words` choose.

    Raises:
        SystemExit: 2 for a wrong argument; 1 when the function refuses its input (OSError,
            ValueError, RuntimeError). One line says why.
    """
    program = application.name[0]
    try:
        chosen, given, _ = application.parse_args(words, print_error=False, exit_on_error=False)
        result = chosen(*given.args, **given.kwargs)
        sys.stdout.flush()
        return result
    except CycloptsError as error:
        said = " ".join(str(error).split())
        print(f"{program}: error: {said}{_advice(error, program)}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:  # who read what was printed, `head` say, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(128 + signal.SIGPIPE) from None
    except (OSError, ValueError, RuntimeError) as error:
        if type(error).__name__ in ("RecursionError", "NotImplementedError"):
            raise
        print(f"{program}: error: {_reason(error)}", file=sys.stderr)
        raise SystemExit(1) from error


def _advice(error: CycloptsError, program: str) -> str:
    """Also what cyclopts does not say: that an option's list takes what follows it."""
    lost = isinstance(error, MissingArgumentError) and error.argument
    if lost and not lost.name.startswith("-"):
        return " Give it before the options: those that are lists take all that follows them."
    return f" See {program} --help."


def _reason(error: Exception) -> str:
    """What went wrong: of an error of the system, the file first and no number."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def command(function: Function, positional: Sequence[str] = ()) -> Function:
    """A function with the signature that cyclopts reads, for a command line."""
    hints = get_type_hints(function, include_extras=True)
    parameters: list[inspect.Parameter] = []
    own = inspect.signature(function).parameters
    for name, parameter in own.items():
        if name == "settings":
            parameters += _options(_inner(hints[name]))
        else:
            kind = parameter.POSITIONAL_ONLY if name in positional else parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(annotation=hints[name], kind=kind))
    signature = inspect.Signature(parameters)

    @functools.wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        values = signature.bind(*given, **named).arguments
        if "settings" in own:
            fields = {name: values.pop(name) for name in [*values] if name not in own}
            values["settings"] = _settings(
                hints["settings"], own["settings"].default, values.get("settings"), fields
            )
        return function(**values)

    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    return call


def _options(model: type[BaseModel]) -> Iterator[inspect.Parameter]:
    """A settings model as keywords: all of it, and its plain fields."""
    whole = "all of them as JSON, or a .json or .yaml file (docs/settings.md lists them)"
    yield _option("settings", str, None, Parameter(help=whole, group=SETTINGS, metavar="JSON"))
    for name, field in model.model_fields.items():
        if _plain(field.annotation):
            about = Parameter(
                help=field.description,
                group=SETTINGS,
                # `--no-repeat-words` sets what is called so; it is nothing's opposite.
                negative=() if name.startswith("no_") else None,
                show_default=field.default not in ("", ()),
            )
            default = None if field.is_required() else field.default
            yield _option(name, field.annotation, default, about)


def _option(name: str, hint: Any, default: Any, about: Parameter) -> inspect.Parameter:
    """A keyword that may be left out."""
    hint = Annotated[hint | None, about]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _plain(hint: Any) -> bool:
    inner = _inner(hint)
    if get_origin(inner) is tuple:
        return all(_plain(one) for one in get_args(inner) if one is not Ellipsis)
    return inner in (str, int, float, bool, Path) or get_origin(inner) is Literal


def _inner(hint: Any) -> Any:
    """X of ``X | None`` and of ``Annotated[X, ...]``."""
    if get_origin(hint) is Annotated:
        return _inner(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        kept = [argument for argument in get_args(hint) if argument is not type(None)]
        return _inner(kept[0]) if len(kept) == 1 else hint
    return hint


def _settings(hint: Any, default: Any, whole: Any, fields: Mapping[str, Any]) -> BaseModel:
    """Settings: those of the options over the whole, or over the default.

    Args:
        whole: what ``--settings`` says, if it was given.
    """
    from pydantic import ValidationError  # the overview of commands does without it

    from snakecap.config import errors

    model = _inner(hint)
    if whole is not None:
        whole = _document(whole)
    elif default is not inspect.Parameter.empty:
        whole = default.model_dump()
    try:
        made: BaseModel = model.model_validate({**(whole or {}), **fields})
        return made
    except ValidationError as error:
        said = errors.explain(error, kind="setting", known=model.model_fields)
        raise CycloptsError(msg=f"settings: {said}.") from None


def _document(text: str) -> dict[str, Any]:
    import yaml

    try:
        if not text.lstrip().startswith("{"):
            text = Path(text).read_text(encoding="utf-8")
        value = yaml.safe_load(text)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        kind = "a file" if isinstance(error, OSError) else "YAML"
        raise CycloptsError(msg=f"--settings is neither JSON nor {kind}: {error}.") from None
    if not isinstance(value, dict):
        raise CycloptsError(msg="--settings must be an object of settings.")
    return value
