"""The ``snakecap`` command: one subcommand for each step, and ``caption`` for your own photos."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from snakecap import __version__
from snakecap.distributed import signals
from snakecap.workflow.steps import STEPS as COMMANDS

if TYPE_CHECKING:
    from cyclopts import App

OVERVIEW = """
Image captioning systems, step by step. The whole workflow: snakemake --cores all

snakecap COMMAND --help explains a command; snakecap caption MODEL PHOTO... captions photos.
"""


def main(given: list[str] | None = None) -> None:
    """Run a subcommand; only its own module is imported, so help is quick."""
    words = sys.argv[1:] if given is None else given
    with signals.handled():  # the imports too
        from snakecap import arguments, log

        log.setup()
        if words and words[0] in COMMANDS:
            run(words[0], words[1:])
        else:
            arguments.run(overview(words), words)


def run(name: str, words: list[str]) -> None:
    """Parse a command's arguments from its function's signature, and call it."""
    from snakecap import arguments
    from snakecap.provenance import record

    arguments.call(
        record.recorded(load(name)), words, f"snakecap {name}", COMMANDS[name].positional
    )


def load(name: str) -> Callable[..., Any]:
    """The function of a command."""
    module, _, attribute = COMMANDS[name].location.partition(":")
    function: Callable[..., Any] = getattr(import_module(f"snakecap.{module}"), attribute)
    return function


def overview(words: Sequence[str] = ()) -> App:
    """All commands, for help and shells."""
    from snakecap import arguments

    whole = arguments.application("snakecap", version=f"snakecap {__version__}", help=OVERVIEW)
    about = "complete commands and options in this shell"
    whole.register_install_completion_command(add_to_startup=False, help=about)
    for place, (name, command) in enumerate(COMMANDS.items()):
        # A shell's script names every option; help must not wait for all the imports.
        function = load(name) if "--install-completion" in words else load
        adapted = arguments.command(function, command.positional)
        whole.command(adapted, name=name, help=command.purpose, sort_key=place)
    return whole
