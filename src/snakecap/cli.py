"""The ``snakecap`` command: one subcommand for each step, and ``caption`` for your own photos."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from snakecap import __version__
from snakecap.distributed import signals

if TYPE_CHECKING:
    from cyclopts import App

OVERVIEW = """
Image captioning systems, step by step. The whole workflow: snakemake --cores all

snakecap COMMAND --help explains a command; snakecap caption MODEL PHOTO... captions photos.
"""


class Command(NamedTuple):
    """Where a subcommand's function is, and what it is for."""

    location: str
    purpose: str
    positional: tuple[str, ...] = ()


COMMANDS = {
    "caption": Command(
        "steps.photos:photos",
        "caption your own photos, or layouts of objects",
        ("model", "photos"),
    ),
    "score": Command(
        "steps.score:score",
        "BLEU, METEOR, ROUGE-L and CIDEr of results files",
        ("results", "references"),
    ),
    "info": Command(
        "steps.info:info", "what a result was made from, and whether that changed", ("file",)
    ),
    "view": Command("server.viewer:view", "open a report's page, or a vis.json", ("page",)),
    "download": Command("steps.download:download", "fetch and verify a data set's files"),
    "annotations": Command("steps.annotations:annotations", "read a data set: pictures.json"),
    "combine": Command("steps.combine:combine", "several data sets as one"),
    "resize": Command("steps.resize:resize", "pictures to squares: images.h5"),
    "vocabulary": Command("steps.vocabulary:vocabulary", "the words that are kept"),
    "encode": Command("steps.encode:encode", "captions to ids: captions.h5"),
    "references": Command("steps.references:references", "a split's captions as COCO JSON"),
    "raw": Command("steps.raw:raw", "pictures.json as NeuralTalk2's coco_raw.json"),
    "features": Command("steps.features:features", "a backbone's features, cached"),
    "train-detector": Command(
        "steps.train_detector:train_detector", "train a detector on a data set's own boxes"
    ),
    "detect": Command("steps.detect:detect", "the objects in a data set's pictures"),
    "judge": Command("steps.judge:judge", "average precision of detections"),
    "darknet-lines": Command(
        "steps.darknet_lines:darknet_lines", "detections as OBJ2TEXT's own coco_detection_result"
    ),
    "layout": Command("steps.layout:layout", "detections to the layouts that systems read"),
    "train": Command("steps.train:train", "train one stage of one system"),
    "caption-split": Command("steps.caption:caption", "caption a split of a data set"),
    "report": Command("steps.report:report", "table, curves and page of many systems"),
    "jobs": Command(
        "workflow.queue:jobs", "this folder's jobs in SLURM's queue; --cancel ends them"
    ),
    "sweep": Command(
        "steps.sweep:sweep", "a recipe with random variants of a system", ("configs",)
    ),
    "vis": Command(
        "steps.vis:vis",
        "results as NeuralTalk2's vis.json and its pictures",
        ("results", "folder"),
    ),
}


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
