"""Run stages one after the other, as one of several processes: torchrun group_jobs.py JOBS.json."""

import json
import sys
import weakref
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import torch.distributed as dist
from pydantic import TypeAdapter

from snakecap import log
from snakecap.distributed import signals

log.setup()
with signals.handled():
    for stage, given in json.loads(Path(sys.argv[1]).read_text()):
        function = getattr(import_module(f"snakecap.steps.{stage}"), stage)
        hints = get_type_hints(function)
        function(**{name: TypeAdapter(hints[name]).validate_python(v) for name, v in given.items()})
if dist.is_initialized():
    group = weakref.ref(dist.group.WORLD)
    dist.destroy_process_group()
    assert group() is None, "something keeps the group: gloo's threads outlive Python, and abort it"
