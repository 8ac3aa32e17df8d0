"""The two lists of pinned packages agree, are hashed and name no host."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-slurm.lock")


def pins(name):
    """Package and marker to version."""
    rows = re.findall(r"^([\w.-]+)==(\S+)(.*?) \\$", (ROOT / name).read_text(), re.MULTILINE)
    return {(package, marker): version for package, version, marker in rows}


def test_what_a_cluster_adds_is_pinned_like_the_rest():
    base, more = map(pins, LOCKS)
    shared = base.keys() & more.keys()
    assert ("snakemake-interface-executor-plugins", "") in shared
    assert {key: more[key] for key in shared} == {key: base[key] for key in shared}
    packages = {name for name, _ in base}
    assert all(key in base for key in more if key[0] in packages), "the same markers too"


def test_the_extra_is_in_its_lock_and_not_in_the_other():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [plugin] = project["optional-dependencies"]["cluster"]
    base, more = map(pins, LOCKS)
    assert (plugin, "") in more and (plugin, "") not in base
    assert f"PLUGIN := {plugin}\n" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_hashes_and_no_address(name):
    text = (ROOT / name).read_text()
    assert len(pins(name)) == len(re.findall(r"^[\w.-]+==", text, re.MULTILINE)) > 5
    assert not re.search(r"https?:|file:|--(extra-)?index|--find-links|@ ", text)
    for block in re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in block, block


def test_results_do_not_depend_on_the_tools_of_development():
    tools = (ROOT / "envs/development.txt").read_text().split()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {name for name, _ in pins("requirements.lock")}
    asked = {re.match(r"[\w-]+", one)[0].lower() for one in project["dependencies"]}
    extra = {one.lower() for one in project["optional-dependencies"]["dev"]}
    assert set(tools) <= names and not asked & set(tools)
    assert extra - set(tools) == {"docstring-parser"}  # which cyclopts needs too
