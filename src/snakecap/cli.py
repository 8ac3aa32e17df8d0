"""The ``snakecap`` command: one subcommand for each stage, and ``caption`` for your own photos."""

from __future__ import annotations

import difflib
import sys
from importlib import import_module

from snakecap import __version__, arguments, log
from snakecap.distributed import signals
from snakecap.provenance import record
from snakecap.workflow.steps import STEPS as COMMANDS


def main(given: list[str] | None = None) -> None:
    """Run a subcommand; only its own module is imported, so help is quick."""
    words = sys.argv[1:] if given is None else given
    if words[:1] == ["--version"]:
        print(f"snakecap {__version__}")
        return
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return
    name, *rest = words
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {close[0]}?" if close else "snakecap --help lists them"
        print(f"snakecap: no command {name!r}; {hint}", file=sys.stderr)
        raise SystemExit(2)
    log.setup()
    with signals.handled():
        run(name, rest)


def usage() -> str:
    """The overview: a line a command."""
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:{width}}  {row.purpose}" for name, row in COMMANDS.items())
    return (
        "usage: snakecap COMMAND [ARGUMENTS]\n\n"
        "Image captioning systems, stage by stage. The whole workflow: snakemake --cores all\n\n"
        f"commands:\n{lines}\n\n"
        "snakecap COMMAND --help explains a command; "
        "snakecap caption MODEL PHOTO... captions photos."
    )


def run(name: str, words: list[str]) -> None:
    """Parse a command's arguments from its function's signature, and call it."""
    command = COMMANDS[name]
    module, _, attribute = command.location.partition(":")
    function = getattr(import_module(f"snakecap.{module}"), attribute)
    arguments.call(record.recorded(function), words, f"snakecap {name}", command.positional)
