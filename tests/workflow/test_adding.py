"""docs/adding.md: each example is its file and its line, and works from configuration to scores."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from checkout import CONFIG, Checkout

PAGE = (Path(__file__).parents[2] / "docs" / "adding.md").read_text()
SECTIONS = dict(re.findall(r"^## An? (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
PARTS = ("input", "encoder", "decoder", "objective", "schedule", "metric")


def blocks(section, language):
    return re.findall(rf"^```{language}\n(.*?)^```", SECTIONS[section], re.M | re.S)


def row(section):
    """What the page says to write in config.yaml."""
    return yaml.safe_load(blocks(section, "yaml")[0])


def add(folder, section):
    """Put an example's file and its line where the page says."""
    code, line = blocks(section, "python")
    name, _, text = code.partition("\n")
    place = folder / name.removeprefix("# ")
    assert not place.exists()
    place.write_text(text)
    table = re.search(r"Its line, in `(\w+)`:", SECTIONS[section])[1]
    registry = folder / "src/snakecap/registry.py"
    head = f"{table} = {{\n"
    before = registry.read_text()
    assert head in before
    registry.write_text(before.replace(head, head + line))
    return place


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A finished run, and then the examples."""
    checkout = Checkout(tmp_path_factory.mktemp("adding"))
    checkout.snakemake()
    checkout.added = [add(checkout.folder, section) for section in PARTS]
    return checkout


def test_files_and_lines_alone_run_nothing_again(extended):
    assert extended.planned() == set()


def test_a_system_of_the_examples_is_trained_scored_and_nothing_else_runs(extended):
    pictures = json.loads((extended.folder / "results/shapes/pictures.json").read_text())
    files = [picture["file"] for picture in pictures["pictures"]]
    vectors = np.random.default_rng(1).normal(size=(len(files), 5))
    source = row("input")["inputs"]["picture"]["source"]
    (extended.folder / source).parent.mkdir(exist_ok=True)
    np.savez(extended.folder / source, files=np.array(files), vectors=vectors)
    stage = CONFIG["systems"]["show_and_tell"]["stages"][0]
    system = {
        "vocabulary": "neuraltalk2",
        "width": 16,
        **row("input"),
        **row("encoder"),
        **row("decoder"),
        "stages": [{**stage, "name": "train", **row("objective"), **row("schedule")}],
    }
    config = {**CONFIG, "systems": {**CONFIG["systems"], "examples": system}}
    extended.write_config(config)
    jobs = {f"{job} examples train{of}" for job, of in (("train", ""), ("caption", " test"))}
    jobs |= {"score examples train test", "report test"}
    assert extended.planned() == jobs
    extended.snakemake()
    folder = extended.folder / "results/shapes/examples/train"
    captions = json.loads((folder / "captions/test.json").read_text())
    assert len(captions) == 4
    losses = json.loads((folder / "history.json").read_text())["loss_history"]
    assert losses
    words = [sys.executable, "-m", "snakecap", "caption", folder / "model.safetensors", "x.png"]
    (extended.folder / "x.png").write_bytes(next(extended.folder.rglob("*.png")).read_bytes())
    done = subprocess.run(
        words, cwd=extended.folder, capture_output=True, text=True, env={"PYTHONPATH": "src"}
    )
    assert done.returncode == 1 and "made elsewhere" in done.stderr


def test_the_metric_is_a_column_of_the_table(extended):
    config = yaml.safe_load((extended.folder / "config.yaml").read_text())
    config["score"] = {**config["score"], **row("metric")["score"]}
    extended.write_config(config)
    assert all(job.startswith(("score", "report")) for job in extended.planned())
    extended.snakemake()
    with (extended.folder / "results/shapes/report/test/table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows and all(0 <= float(one["word_precision"]) <= 1 for one in rows)


def test_the_examples_are_typed_and_formatted(extended):
    """As all code of the project is."""
    check = [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length", "100"]
    done = subprocess.run([*check, *extended.added], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
