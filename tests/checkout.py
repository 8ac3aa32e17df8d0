"""A copy of the project for tests that edit it, with a miniature configuration."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
KEPT = ("Snakefile", "workflow", "profiles", "src", "envs", "requirements.lock")

STAGE = {"epochs": 1, "batch_size": 8, "captions_per_picture": 2, "checkpoint_every": 3600}
CONFIG = {
    "dataset": "shapes",
    "datasets": {
        "shapes": {
            "reader": "shapes",
            "options": {"train": 16, "val": 4, "test": 4, "size": 32},
        }
    },
    "resize": {"size": 32},
    "vocabularies": {
        "neuraltalk2": {"min_count": 0},
        "tutorial": {"tokenizer": "treebank", "min_count": 1, "inclusive": True},
    },
    "backbones": {
        "tiny": {"architecture": "tiny", "weights": "random", "preprocess": {"crop": None}}
    },
    "detectors": {
        "yolov2": {"part": "yolov2", "training": {"epochs": 1, "batch_size": 8}},
        "truth": {"part": "truth"},
    },
    "layouts": {"seen": {"detector": "yolov2", "threshold": 0.1}},
    "systems": {
        "neuraltalk2": {
            "vocabulary": "neuraltalk2",
            "inputs": {"picture": {"part": "features", "source": "tiny"}},
            "width": 16,
            "encoders": [{"part": "cnn"}],
            "decoder": {"part": "lstm", "options": {"hidden_size": 16}},
            "stages": [
                {"name": "frozen", **STAGE},
                {"name": "finetune", "finetune_from": "all", **STAGE},
            ],
            "decoding": {"beam_width": 2},
        },
        "show_and_tell": {
            "vocabulary": "tutorial",
            "inputs": {"picture": {"part": "features", "source": "tiny"}},
            "width": 16,
            "encoders": [{"part": "cnn", "options": {"batch_norm": True}}],
            "decoder": {"part": "lstm", "options": {"hidden_size": 16, "dropout": 0.0}},
            "stages": [{"name": "frozen", **STAGE}],
            "decoding": {"method": "greedy"},
        },
        "obj2text": {
            "vocabulary": "neuraltalk2",
            "inputs": {"objects": {"part": "layout", "source": "seen"}},
            "width": 16,
            "encoders": [{"part": "layout_lstm"}],
            "decoder": {"part": "attention", "options": {"hidden_size": 16}},
            "stages": [{"name": "train", **STAGE}],
        },
    },
    "score": {"bootstrap": 10},
}


class Checkout:
    """A copy of the project and its results."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.write_config(CONFIG)
        for name in KEPT:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, folder / name, ignore=ignored)
            else:
                shutil.copy2(source, folder / name)

    def write_config(self, config):
        text = yaml.safe_dump(config, sort_keys=False)
        (self.folder / "config.yaml").write_text(text)

    def snakemake(self, *arguments, check=True):
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0 or not check, done.stdout[-5000:]
        return done

    def planned(self, *arguments):
        """The jobs that a dry run would run, as texts such as ``train neuraltalk2 frozen``."""
        output = self.snakemake("--dry-run", *arguments).stdout
        jobs = set()
        for rule, block in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", output, re.M):
            wildcards = re.search(r"wildcards: (.*)", block)
            pairs = wildcards[1].split(", ") if wildcards else []
            values = dict(pair.split("=") for pair in pairs)
            values.pop("dataset", None)
            if rule != "all":
                jobs.add(" ".join([rule, *values.values()]))
        assert jobs or "Nothing to be done" in output, output
        return jobs
