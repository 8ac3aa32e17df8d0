"""A rule's job: its script's command line, the check of its code, and the call of its step.

``python workflow/scripts/NAME.py --code NAMES=DIGEST --lock HASH --given FILES --makes FILES ...``
is what a rule runs.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from snakecap import arguments, log
from snakecap.distributed import signals
from snakecap.distributed.torchrun import on_rank_0
from snakecap.provenance import outputs, record
from snakecap.provenance.code import digest

OF_THE_RULE = {"--code", "--lock", "--given", "--makes"}  # `run` takes these from a command line
OF_THE_MACHINE = {"--threads", "--workers", "--batch-size"}  # they never change a result


class ProvenanceError(RuntimeError):
    """The code changed between planning a job and running it."""


def run(function: Callable[..., Any], given: list[str] | None = None) -> None:
    """Run one rule's script: parse the stage's arguments, check the code, call the stage.

    The rule passes ``--code NAMES=DIGEST``; a job whose modules changed since it was planned
    stops, for Snakemake would record the planned digest beside another code's result. It also
    passes ``--lock HASH --given FILES --makes FILES``, by which `outputs.once` knows a job that
    another process did already.

    Raises:
        ProvenanceError: the code on disk is not the one that was planned.
    """
    log.setup()
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    log.logger.info("started %s on %s, process %d", now, socket.gethostname(), os.getpid())
    with signals.handled():
        _run(function, sys.argv[1:] if given is None else given)


def _run(function: Callable[..., Any], given: Sequence[str]) -> None:
    rule, words = _of_the_rule(given)
    if "--code" in rule:
        names, _, planned = rule["--code"][0].partition("=")
        if digest(*names.split(",")) != planned:
            raise ProvenanceError(
                "the code changed after this job was planned: run snakemake again"
            )
        os.environ["SNAKECAP_CODE"] = planned
    stage = record.recorded(function, given)
    call = partial(arguments.call, stage, words, function.__name__)
    made = [Path(name) for name in rule.get("--makes", [])]
    on_rank_0(call, partial(outputs.once, made, _job(rule, words)) if made else _call)


def _call(function: Callable[[], None]) -> None:
    function()


def _of_the_rule(given: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The values of `OF_THE_RULE` in a command line, and the stage's own words."""
    rule: dict[str, list[str]] = {}
    words: list[str] = []
    taking = words
    for word in given:
        if word in OF_THE_RULE:
            taking = rule[word] = []
        else:
            taking = words if word.startswith("--") else taking
            taking.append(word)
    return rule, words


def _job(rule: Mapping[str, Sequence[str]], words: Sequence[str]) -> list[Any]:
    """What a job's outputs are a function of: code, software, settings, inputs."""
    same = list(words)
    for flag in OF_THE_MACHINE & {*words}:
        del same[same.index(flag) : same.index(flag) + 2]
    status = [Path(name).stat() for name in rule.get("--given", [])]
    reads = [[one.st_size, one.st_mtime_ns] for one in status]
    return [rule.get("--code", []), rule.get("--lock", []), same, reads]
