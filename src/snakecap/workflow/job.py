"""A rule's job: its script's command line, the check of its code, and the call of its step.

``python workflow/scripts/NAME.py --code NAMES=DIGEST --lock HASH --makes FILES ...``
is what a rule runs.
"""

from __future__ import annotations

import functools
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from snakecap import arguments, log
from snakecap.distributed import signals
from snakecap.distributed.torchrun import on_rank_0
from snakecap.provenance import code, identity, outputs, record
from snakecap.workflow.steps import RULES

OF_THE_RULE = ("--code", "--lock", "--photos", "--makes")  # `run` takes these from a command line


class ProvenanceError(RuntimeError):
    """The code changed between the start of snakemake and that of a job."""


def run(function: Callable[..., Any], given: list[str] | None = None) -> None:
    """Run one rule's script: parse the step's arguments, check the code, call the step.

    The rule passes ``--code NAMES=DIGEST``; a job whose modules changed since snakemake started
    stops, for Snakemake would record that digest beside another code's result. It also passes
    ``--lock HASH --makes FILES``, by which `outputs.once` knows a job that another process did
    already.

    Raises:
        ProvenanceError: the code on disk is another.
    """
    log.setup()
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    log.logger.info("started %s on %s, process %d", now, socket.gethostname(), os.getpid())
    with signals.handled():
        _run(function, sys.argv[1:] if given is None else given)


def _run(function: Callable[..., Any], given: Sequence[str]) -> None:
    rule, words = _of_the_rule(given)
    name = function.__name__
    if not rule["--code"]:  # by hand
        arguments.call(record.recorded(function), words, name)
        return
    said = {name: "".join(rule[f"--{name}"]) for name in ("code", "lock", "photos")}
    names, _, digest = said["code"].partition("=")
    if code.digest(*names.split(",")) != digest:
        raise ProvenanceError("the code changed after snakemake started: run it again")
    os.environ["SNAKECAP_CODE"] = digest
    made = [Path(file) for file in rule["--makes"]]
    step = record.recorded(function, said, shared=name in RULES and RULES[name].shared)

    @functools.wraps(function)
    def call(**values: Any) -> None:
        job = identity.Job(function, values, said)
        on_rank_0(partial(step, **values), lambda make: outputs.once(made, job.key, make))

    arguments.call(call, words, name)


def _of_the_rule(given: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The values of `OF_THE_RULE` in a command line, and the step's own words."""
    rule: dict[str, list[str]] = {name: [] for name in OF_THE_RULE}
    words: list[str] = []
    taking = words
    for word in given:
        if word in OF_THE_RULE:
            taking = rule[word] = []
        else:
            taking = words if word.startswith("--") else taking
            taking.append(word)
    return rule, words
