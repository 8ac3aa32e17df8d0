"""A new step is its function, its script, its rule and its row in the table, and nothing else."""

import os
import shutil
import subprocess
import sys

from checkout import Checkout

from snakecap.provenance import sidecar

FUNCTION = '''
"""How many pictures there are."""

from pathlib import Path
from typing import Annotated

from snakecap.formats import pictures as records
from snakecap.formats.atomic import write_json
from snakecap.provenance.identity import Output, step, work_folder


@step
def count(*, pictures: Path, number: Annotated[Path, Output]) -> None:
    """Count pictures.

    Args:
        pictures: pictures.json.
        number: JSON to write.
    """
    with work_folder(number) as folder:
        (folder / "state").touch()
        write_json(number, len(records.read(pictures).pictures))
'''
SCRIPT = """
from snakecap.steps.count import count
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(count)
"""
RULE = """
rule count:
    input:
        pictures="<results>/{dataset}/pictures.json",
    output:
        number="<results>/{dataset}/count.json",
    log:
        "<logs>/{dataset}/count.log",
    resources:
        **needs("count"),
        scripts=SCRIPTS,
    params:
        **job(lambda wildcards: PLAN.job("count", {})),
    shell:
        run("count", pictures="{input.pictures:q}", number="{output.number:q}")
"""
ROW = """
    "count": Step(
        "steps.count:count", "how many pictures", need=Need(1000, 1, 0, 10, 1000, 1000)
    ),
"""


def test_a_step_is_its_function_script_rule_and_row(finished, tmp_path):
    clone = Checkout(tmp_path)
    for name in ("results", "downloads", ".snakemake/metadata"):
        copy = shutil.copy2
        shutil.copytree(
            finished.folder / name, tmp_path / name, copy_function=copy, dirs_exist_ok=True
        )
    (tmp_path / "src/snakecap/steps/count.py").write_text(FUNCTION)
    (tmp_path / "workflow/scripts/count.py").write_text(SCRIPT)
    with (tmp_path / "workflow/rules/prepare.smk").open("a") as rules:
        rules.write(RULE)
    table = tmp_path / "src/snakecap/workflow/steps.py"
    table.write_text(table.read_text().replace("STEPS = {", f"STEPS = {{{ROW}", 1))

    assert clone.planned() == set(), "no other job runs again"
    clone.snakemake("results/shapes/count.json")
    made = tmp_path / "results/shapes/count.json"
    assert made.read_text().strip() == "24"
    record = sidecar.read(made)
    assert record["step"] == "count" and record["inputs"][0]["argument"] == "pictures"
    assert clone.planned("results/shapes/count.json") == set()
    done = subprocess.run(
        [sys.executable, "-m", "snakecap", "--help"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "how many pictures" in done.stdout
