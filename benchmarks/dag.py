"""How long a run takes that has nothing to do: planning alone, on the default configuration.

Needs a finished `make demo`. The baseline is Snakemake itself on a Snakefile with one empty rule.

    python benchmarks/dag.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import alternate

ROOT = Path(__file__).parents[1]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Snakefile").write_text("rule all:\n    input: []\n")
        medians = alternate(
            {"ours": lambda: run(ROOT), "baseline": lambda: run(Path(folder))}, rounds=5
        )
    report = {
        "benchmark": "dag",
        "seconds": medians["ours"],
        "baseline_seconds": medians["baseline"],
    }
    print(json.dumps({**report, "times_the_baseline": medians["ours"] / medians["baseline"]}))


def run(folder: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "--cores", "1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    if "Nothing to be done" not in done.stderr + done.stdout:
        sys.exit("there is something to do: run `make demo` first")


if __name__ == "__main__":
    main()
