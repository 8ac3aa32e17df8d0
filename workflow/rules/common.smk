# Helpers, used by all the other files here. snakecap.workflow.plan says what each job depends on.
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "src"))

from snakecap.config import settings
from snakecap.distributed import slurm_signals
from snakecap.provenance import cache, outputs
from snakecap.workflow import controller, plan, resources

controller.put_interpreter_first()
controller.attend(workflow)
slurm_signals.start()
try:
    PLAN = plan.Plan(settings.read(config))
except settings.SettingsError as error:
    sys.exit(str(error))
REQUESTS = resources.Requests(PLAN)
cache.use(PLAN.settings.cache)
if workflow.is_main_process:
    controller.look_after(Path(PLAN.settings.pathvars["results"]))


# Where the scripts are, for the commands. A resource, not a param: another folder of the same
# checkout must not rerun anything.
SCRIPTS = str(Path(workflow.basedir) / "workflow" / "scripts")
# A job ends when its step has saved: a signal to the whole group must end neither the shell, for
# Snakemake would take the job for dead, nor the log, into which the step still writes.
SIGNALS = "INT TERM USR1"

# Of the jobs that could start, first those that much waits for: captions and scores fill the gaps.
LONG = 1


onstart:
    for first in controller.forced(workflow):
        outputs.forget_made(first)


onsuccess:
    outputs.forget(Path(PLAN.settings.pathvars["results"]))


onerror:
    outputs.forget(Path(PLAN.settings.pathvars["results"]))
    print("\n".join(controller.reasons(map(Path, log))), file=sys.stderr)


def run(step, *optional, **arguments):
    """The shell command of a rule: its script with named arguments, its code and settings.

    Commands are text for `shell:`, for a `script:` would depend on the time of its file, and a
    fresh clone over existing results would start anew. Optional arguments are inputs that some
    jobs do not have; their flags come from `params`, made by `flag`.
    """
    words = [f"--{name.replace('_', '-')} {value}" for name, value in arguments.items()]
    return " ".join(
        [
            f"trap : {SIGNALS}; {{resources.start}} {{resources.scripts:q}}/{step}.py",
            "--code {params.job[code]:q} --lock {params.job[lock]:q}",
            "--makes {output:q}",
            *words,
            *[f"{{params.{name}}}" for name in optional],
            f"2>&1 | (trap '' {SIGNALS}; exec tee {{log:q}})",
        ]
    )


def job(find):
    """Two params of a rule: what its jobs are compared by, and the settings of its step.

    Snakemake does not compare what a function of the output gives.
    """

    def identity(wildcards):
        return find(wildcards).identity

    def settings(wildcards, output):
        return find(wildcards).settings

    return {"job": identity, "settings": settings}


def uncompared(find):
    """A params function whose value changes no result, such as where files are today."""

    def value(wildcards, output):
        return find(wildcards)

    return value


def moved_root(wildcards, output):
    """`--root path` when the configuration says where the photos are."""
    root = PLAN.moved_root(wildcards.dataset)
    return f"--root {shlex.quote(root)}" if root else ""


def flag(name):
    """A params function: `--name path` when the job has that input, nothing when it has not."""

    def words(wildcards, input):
        path = input.get(name)
        return f"--{name} {shlex.quote(str(path))}" if path else ""

    return words


def needs(rule, gpu=0, processes=False):
    """Memory and minutes to ask a cluster for, which grow with the data and the attempt.

    Also how a script starts and on which device, which must not rerun anything either. A job that
    cannot share its work among processes uses one GPU at most, of one node.
    """
    gpu = gpu if processes else min(gpu, 1)
    nodes = PLAN.settings.cluster.nodes if processes and gpu else 1

    def memory(wildcards, attempt):
        # On each node, of each process.
        return REQUESTS.memory(rule, attempt, max(gpu, 1), **wildcards)

    def minutes(wildcards, attempt):
        return REQUESTS.minutes(rule, attempt, gpu * nodes, **wildcards)

    return {
        "gpu": gpu * nodes,
        "mem_mb": memory,
        "runtime": minutes,
        "start": resources.start(gpu, nodes),
        "device": REQUESTS.device(gpu),
        **resources.placement(PLAN.settings.cluster, gpu, nodes),
    }
