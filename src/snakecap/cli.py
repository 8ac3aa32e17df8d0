"""The ``snakecap`` command: one subcommand for each stage, and ``caption`` for your own photos."""

from __future__ import annotations

import difflib
import sys
from importlib import import_module
from typing import NamedTuple

from snakecap import __version__, arguments, log
from snakecap.distributed import signals
from snakecap.provenance import record


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
    location, _, positional = COMMANDS[name]
    module, _, attribute = location.partition(":")
    function = getattr(import_module(f"snakecap.{module}"), attribute)
    arguments.call(record.recorded(function), words, f"snakecap {name}", positional)
