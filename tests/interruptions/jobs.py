"""Every long stage on miniature data, each run in a child of one process that has imported it all.

Python and torch take seconds to start; a fork takes milliseconds, so hundreds of kills are cheap.
As a program it reads a JSON object a line (see `Jobs.run`) and answers each with another.
"""

import contextlib
import importlib
import json
import os
import pkgutil
import random
import signal
import subprocess
import sys
import time
import traceback
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[2]
SEEN = {"os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.truncate", "open"}
TRAINING = {"epochs": 3, "batch_size": 8, "checkpoint_every": 0.02}
DETECTOR = {
    "part": "yolov2",
    "options": {"size": 32, "width": 4, "depth": 2, "anchors": 2},
    "batch_size": 4,
    "min_score": 0.05,
    "training": {**TRAINING, "optimiser": {"learning_rate": 5e-3}, "validation_pictures": 4},
}


def settings():
    from snakecap.config import settings as rows
    from snakecap.config.detection import Detector
    from snakecap.config.settings import Extraction

    sys.path.insert(0, str(ROOT / "tests"))
    from systems import TINY, training

    stage = {**TRAINING, "name": "frozen", "language_eval": False, "validate_every": 9}
    return {
        "dataset": rows.Dataset(
            reader="shapes", options={"train": 40, "val": 8, "test": 16, "size": 32}
        ),
        "resize": rows.Resize(size=32),
        "vocabulary": rows.Vocabulary(min_count=0),
        "features": Extraction(
            backbone=rows.Backbone(**TINY, batch_size=4), features=rows.Features(flip=True)
        ),
        "detector": Detector(**DETECTOR),
        "training": training(stage),
        "decoding": rows.Decoding(beam_width=3, batch_size=2),
        "score": rows.Score(bootstrap=50),
    }


# Each function makes the files of `MADE` in the folder `out` from those in the folder `data`.

MADE = {
    "annotations": ["pictures.json"],
    "download": ["downloads.json"],
    "resize": ["images.h5", "rejected.tsv"],
    "vocabulary": ["vocabulary.json"],
    "encode": ["captions.h5", "captions.json"],
    "references": ["references.json"],
    "features": ["features.lmdb"],
    "train_detector": ["detector.safetensors", "detector_history.json"],
    "detect": ["detections.json", "detections_info.json", "boxes.tsv"],
    "train": ["model.safetensors", "last.safetensors", "history.json"],
    "caption": ["results.json", "shuffled.json"],
    "score": ["scores.json", "scores_shuffled.json"],
}


def arguments(stage, data, out):
    """The keyword arguments of a stage's function."""
    rows = settings()
    pictures = {"pictures": data / "pictures.json"}
    images = {"images": data / "images.h5"}
    here = {"device": "cpu", "threads": 1}
    trained = {"captions": data / "captions.h5", "vocabulary": data / "vocabulary.json"}
    made = [out / name for name in MADE[stage]]

    def makes(*names):
        return dict(zip(names, made, strict=True))

    return {
        "annotations": lambda: {
            **makes("pictures"), "folder": data / "shapes", "settings": rows["dataset"],
        },
        "download": lambda: {
            **makes("manifest"), "folder": out / "downloads", "back_off": 0.01,
            "downloads": downloads(data),
        },
        "resize": lambda: {
            **pictures, **makes("images", "rejected"), "settings": rows["resize"], "workers": 1,
        },
        "vocabulary": lambda: {**pictures, **makes("vocabulary"), "settings": rows["vocabulary"]},
        "encode": lambda: {
            **pictures, **images, "captions": made[0], "vocabulary": data / "vocabulary.json",
            "settings": rows["vocabulary"],
        },
        "references": lambda: {**pictures, **images, **makes("references"), "split": "test"},
        "features": lambda: {**images, **makes("features"), **here, "settings": rows["features"]},
        "train_detector": lambda: {
            **pictures, **images, **makes("model", "history"), **here,
            "settings": rows["detector"],
        },
        "detect": lambda: {
            **pictures, **images, **makes("detections", "info", "rejected"), **here,
            "weights": data / "detector.safetensors", "settings": rows["detector"],
        },
        "train": lambda: {
            **pictures, **trained, **makes("model", "last", "history"), **here,
            "inputs": [data / "features.lmdb"], "settings": rows["training"],
        },
        "caption": lambda: {
            **pictures, **makes("captions", "shuffled"), **here, "inputs": [data / "images.h5"],
            "model": [data / "model.safetensors"], "settings": rows["decoding"],
        },
        "score": lambda: {
            "results": [data / "results.json", data / "shuffled.json"], "scores": made,
            "references": data / "references.json", "settings": rows["score"],
        },
    }[stage]()  # fmt: skip


def downloads(data):
    from snakecap.config.settings import Download

    address = (data / "address").read_text()
    return [
        Download(url=f"{address}/plain.bin", unpack=False),
        Download(url=f"{address}/photos.zip"),
    ]


# The program that forks.


def serve():
    """Answer jobs until the input ends."""
    sys.path.insert(0, str(ROOT / "src"))
    import snakecap

    for module in pkgutil.walk_packages(snakecap.__path__, "snakecap."):
        if module.name != "snakecap.__main__":
            importlib.import_module(module.name)
    import torch
    import torchvision  # noqa: F401  (which stages import late)

    torch.set_num_threads(1)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(fork(json.loads(line))), flush=True)


def fork(job):
    """Run a job in a child, and send it its signal; what became of it."""
    start = time.monotonic()
    child = os.fork()
    if not child:
        os._exit(run(job))
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.setpgid(child, child)
    if job.get("after") is not None:
        if job["signal"] != signal.SIGKILL:  # before that, Python's start is just killed
            while not Path(job["log"] + ".started").exists():
                time.sleep(0.002)
            start = time.monotonic()
        wait(child, start + job["after"])
        with contextlib.suppress(ProcessLookupError):
            if job["signal"] == signal.SIGKILL:
                os.kill(child, signal.SIGKILL)  # as the kernel does when memory is short
            else:
                os.killpg(child, job["signal"])  # as SLURM does
    _, status = os.waitpid(child, 0)
    seconds = time.monotonic() - start
    status = os.waitstatus_to_exitcode(status)
    counted = Path(job["log"] + ".count")  # which a kill may leave half written
    return {
        "status": status,
        "seconds": seconds,
        "operations": int(counted.read_text()) if not status else None,
        "left": left(child),
    }


def wait(child, until):
    """Sleep until a time, or until the child is done; it is not reaped."""
    while time.monotonic() < until:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(min(0.002, max(0.0, until - time.monotonic())))


def left(group):
    """Processes of a group that are alive five seconds after its leader's end."""
    deadline = time.monotonic() + 5
    while found := [*members(group)]:
        if time.monotonic() > deadline:
            return found
        time.sleep(0.01)
    return []


def members(group):
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            name, _, rest = path.read_bytes().rpartition(b")")
            state, _, own = rest.split()[:3]
            if int(own) == group and state not in b"ZX":
                yield repr(name)


def run(job):
    """In the child: the stage, as a rule's script runs it; its exit code."""
    from snakecap import log
    from snakecap.distributed import signals
    from snakecap.metrics import paraphrases
    from snakecap.provenance import outputs

    paraphrases.select = lambda table, text: b""  # seconds each time, for six captions' sake
    os.setpgid(0, 0)
    output = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    log.setup()
    data, out = Path(job["data"]), Path(job["out"])
    module = importlib.import_module(f"snakecap.steps.{job['stage']}")
    stage = getattr(module, job["stage"])
    made = [out / name for name in MADE[job["stage"]]]
    count = watch(out, job.get("at"))
    try:
        call = partial(stage, **arguments(job["stage"], data, out))
        with signals.handled():
            Path(job["log"] + ".started").touch()
            outputs.once(made, partial(str, job["stage"]), partial(told, call, job["stage"]))
    except SystemExit as error:
        return error.code
    except BaseException:
        traceback.print_exc()
        return 99
    Path(job["log"] + ".count").write_text(str(count[0]))
    return 0


def told(call, stage):
    """Call a stage; what it refuses or cannot do is a line and exit code 1."""
    try:
        call()
    except (OSError, ValueError, RuntimeError) as error:
        print(f"{stage}: error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(1) from error


def watch(out, deadly):
    """Count what the process does to files below `out`; kill it at the `deadly`-th thing."""
    count = [0]

    def step():
        count[0] += 1
        if count[0] == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event, given):
        if event not in SEEN or not str(given[0]).startswith(str(out)):
            return
        if event != "open" or (given[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            step()

    plain = os.fsync

    def fsync(handle):
        step()
        plain(handle)
        step()

    os.fsync = fsync
    sys.addaudithook(hook)
    return count


# What tests use.


class Jobs:
    """Runs stages on data that it makes itself, in a folder."""

    def __init__(self, folder, address):
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        (self.data / "address").write_text(address)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self.server.stdout.readline() == "ready\n"
        self.whole = {}  # what an uninterrupted run answered

    def run(self, stage, out, **kill):
        """Run a stage into `out`.

        Args:
            stage: of `MADE`.
            out: a folder beside `data`.
            kill: `after` seconds the `signal`; or `at` an operation, SIGKILL.
        """
        out.mkdir(parents=True, exist_ok=True)
        job = {"stage": stage, "data": str(self.data), "out": str(out), **kill}
        job["log"] = str(out.with_suffix(".log"))
        self.server.stdin.write(json.dumps(job) + "\n")
        self.server.stdin.flush()
        line = self.server.stdout.readline()
        assert line, f"the process that forks ended with {self.server.wait()}"
        answer = json.loads(line)
        assert not answer["left"], f"{stage}: processes outlived it: {answer['left']}"
        return answer

    def log(self, out):
        return out.with_suffix(".log").read_text()

    def make(self, stage):
        """Run a stage undisturbed, once; its files become the data of others."""
        if stage not in self.whole:
            for before in NEEDS[stage]:
                self.make(before)
            out = self.folder / f"whole_{stage}"
            answer = self.run(stage, out)
            assert answer["status"] == 0, self.log(out)
            for name in MADE[stage]:
                (self.data / name).hardlink_to(out / name)
            self.whole[stage] = answer
        return self.folder / f"whole_{stage}"

    def close(self):
        self.server.stdin.close()
        self.server.stdout.close()
        self.server.wait()


NEEDS = {
    "annotations": [],
    "download": [],
    "resize": ["annotations"],
    "vocabulary": ["annotations"],
    "encode": ["resize", "vocabulary"],
    "references": ["resize"],
    "features": ["resize"],
    "train_detector": ["resize"],
    "detect": ["train_detector"],
    "train": ["features", "encode"],
    "caption": ["train"],
    "score": ["caption", "references"],
}


def moment(rng, answer):
    """A random moment of a run that took as long as `answer` says."""
    if rng.random() < 0.5:
        return {"after": rng.uniform(0, answer["seconds"]), "signal": int(signal.SIGKILL)}
    return {"at": rng.randint(1, answer["operations"])}


def seeded():
    """A generator with a new seed, printed so that a failure can be repeated."""
    seed = int(os.environ.get("INTERRUPTIONS_SEED", random.randrange(10**6)))
    print(f"INTERRUPTIONS_SEED={seed}")
    return random.Random(seed)


if __name__ == "__main__":
    serve()
