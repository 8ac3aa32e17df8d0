"""Write envs/snakecap.yaml from requirements.lock: ``make docs``. A test holds it to the lock.

Snakemake copies the file into .snakemake/conda before it calls conda, so nothing in it may be a
path: conda gives the lines under ``pip`` to pip as a file of requirements, and these are the lock's
own, hashes included. Another lock is another text, and so another environment.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

FOLDER = Path(__file__).parent
HEAD = """\
# For `snakemake --sdm conda`. Written by envs/generate.py (make docs) from requirements.lock, to
# which a test compares it.
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python={python}
  - pip
  - pip:
      - --require-hashes
"""


def main() -> None:
    """Write the file."""
    (FOLDER / "snakecap.yaml").write_text(text(FOLDER.parent), encoding="utf-8")


def text(project: Path) -> str:
    """The environment of a checkout's lock.

    Raises:
        ValueError: pyproject.toml does not say the oldest Python, for which the lock was made.
    """
    versions = tomllib.loads((project / "pyproject.toml").read_text())["project"]["requires-python"]
    oldest = re.fullmatch(r">=(\d+\.\d+)", versions)
    if oldest is None:
        raise ValueError(f"pyproject.toml: requires-python is {versions!r}, not >= a version")
    lock = (project / "requirements.lock").read_text(encoding="utf-8")
    # A requirement and its hashes, a line each, are one scalar of YAML: its lines are folded.
    lines = [line.removesuffix(" \\") for line in lock.splitlines()]
    rows = [f"          {line.strip()}" if line[0] == " " else f"      - {line}" for line in lines]
    return HEAD.format(python=oldest[1]) + "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
