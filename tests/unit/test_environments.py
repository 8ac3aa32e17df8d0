"""envs/: the environment of conda and the containers install the one lock, and nothing else."""

import hashlib
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
DOCKERFILE = ROOT / "envs" / "Dockerfile"
APPTAINER = ROOT / "envs" / "snakecap.def"


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("environments", ROOT / "envs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins(text):
    """Requirement to its hashes, from any text in which `--hash=` follows its requirement."""
    found = {}
    for word in re.split(r"(?m)^\s*(?:- )?(?=[a-z0-9][\w.-]*==)", text)[1:]:
        requirement = re.split(r"[\\\n]|--hash", word)[0].strip()
        found[requirement] = sorted(re.findall(r"--hash=(sha256:[0-9a-f]{64})\b", word))
    return found


def pip_lines(text):
    *_, section = yaml.safe_load(text)["dependencies"]
    return section["pip"]


# conda.


def test_generating_again_changes_nothing(generate):
    assert generate.text(ROOT) == (ROOT / "envs/snakecap.yaml").read_text(), "run make docs"


def test_condas_pins_are_the_locks():
    lines = pip_lines((ROOT / "envs/snakecap.yaml").read_text())
    assert lines[0] == "--require-hashes"
    asked = pins("\n".join(lines[1:]))
    assert asked == pins(LOCK.read_text()) and len(asked) == len(lines) - 1 > 100
    assert all(asked.values()), "each has hashes"


def test_every_line_that_conda_gives_to_pip_stands_alone():
    """Snakemake copies the file elsewhere: a path, such as that of the lock, would be lost."""
    for line in pip_lines((ROOT / "envs/snakecap.yaml").read_text())[1:]:
        requirement, *hashes = re.split(r" (?=--hash=)", line)
        assert re.fullmatch(r"==[^,*]+", str(Requirement(requirement).specifier)), line
        assert hashes, line


def test_another_lock_is_another_environment(generate, tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    new = LOCK.read_text().replace("numpy==", "numpy==99.", 1)
    (tmp_path / "requirements.lock").write_text(new)
    text = generate.text(tmp_path)
    assert pins("\n".join(pip_lines(text))) == pins(new)
    assert "python=3.11" in yaml.safe_load(text)["dependencies"]
    project = (tmp_path / "pyproject.toml").read_text().replace(">=3.11", "~=3.11")
    (tmp_path / "pyproject.toml").write_text(project)
    with pytest.raises(ValueError, match=r"requires-python is '~=3\.11'"):
        generate.text(tmp_path)


def test_every_rule_names_an_environment_that_exists():
    for path in ROOT.glob("workflow/rules/*.smk"):
        for name in re.findall(r'conda:\n\s+"(.+?)"', path.read_text()):
            assert (path.parent / name).is_file(), f"{path}: {name}"


# Containers.


def instructions():
    """The Dockerfile's lines as (instruction, words)."""
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    lines = [line.partition(" ") for line in text.splitlines() if line and line[0] != "#"]
    return [(name, rest) for name, _, rest in lines]


def sections():
    """The sections of the Apptainer definition: name to lines."""
    parts = re.split(r"(?m)^%(\w+)\n", APPTAINER.read_text())
    bodies = (list(map(str.strip, body.strip().splitlines())) for body in parts[2::2])
    return parts[0], dict(zip(parts[1::2], bodies, strict=True))


def test_both_containers_are_the_same():
    head, section = sections()
    steps = [rest for name, rest in instructions() if name == "RUN"]
    assert section["post"][1:] == [step for step in steps if "pip" in step]
    copied = {word for name, rest in instructions() if name == "COPY" for word in rest.split()[:-1]}
    assert {line.split()[0] for line in section["files"]} == copied
    assert all(line.split()[1].startswith("/opt/snakecap/") for line in section["files"])
    assert section["post"][0] == "cd /opt/snakecap"
    assert dict(instructions())["FROM"] == re.search(r"(?m)^From: (.+)$", head)[1]


def test_the_container_installs_the_lock_and_then_the_project():
    steps = [rest for name, rest in instructions() if name == "RUN" and "pip" in rest]
    lock, project = map(shlex.split, steps)
    assert "--require-hashes" in lock
    assert lock[lock.index("--requirement") + 1] == "requirements.lock"
    assert "--no-deps" in project and "--no-build-isolation" in project
    names = [name for name, _ in instructions()]
    first = next(rest for name, rest in instructions() if name == "COPY")
    assert first.split()[0] == "requirements.lock", "the layer of the lock outlives other changes"
    oldest = re.search(r'requires-python = ">=(.+?)"', (ROOT / "pyproject.toml").read_text())[1]
    assert dict(instructions())["FROM"].startswith(f"python:{oldest}-")
    assert names.index("USER") > max(at for at, name in enumerate(names) if name == "RUN")
    assert dict(instructions())["USER"] not in ("root", "0")


def test_the_builder_gets_what_is_copied_and_nothing_else():
    """Results, data and .venv may be a hundred gigabytes; everything is out that is not named."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    first, *others = [line for line in lines if line and line[0] != "#"]
    copied = {word for name, rest in instructions() if name == "COPY" for word in rest.split()[:-1]}
    assert first == "*"
    assert {line[1:] for line in others if line[0] == "!"} == {name.strip("./") for name in copied}
    assert [line for line in others if line[0] != "!"] == ["**/__pycache__"]


def test_the_copied_files_are_enough_to_build_the_project(tmp_path):
    """The second step's build, for real: the wheel holds every file of the package."""
    for name, rest in instructions():
        if name == "COPY":
            *sources, _ = rest.split()
            for source in sources:
                place = ROOT / source
                if place.is_dir():
                    ignored = shutil.ignore_patterns("__pycache__")
                    shutil.copytree(place, tmp_path / source, ignore=ignored)
                else:
                    shutil.copy(place, tmp_path / source)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("dist/*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {
            name: hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
            if name.startswith("snakecap/")
        }
    files = (p for p in (ROOT / "src").rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    assert packed == {
        str(path.relative_to(ROOT / "src")): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
