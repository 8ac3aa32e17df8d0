"""What a result was made from: digests that follow the code, and what a job is a function of."""

import importlib
import inspect
import json
import os
import sys
import textwrap
from pathlib import Path
from typing import Annotated

import pytest

from snakecap.provenance import code, identity
from snakecap.workflow import controller, job

SCRIPTS = sorted((Path(__file__).parents[3] / "workflow" / "scripts").glob("*.py"))


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A source tree of our own, and a function that writes a module and forgets what was read."""
    monkeypatch.setattr(code, "SOURCE", tmp_path)

    def write(name, text):
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        code._parse.cache_clear()
        code.reachable.cache_clear()

    yield write
    code._parse.cache_clear()
    code.reachable.cache_clear()


CODE = '''\
"""Says what it is."""
import os


def double(value: int) -> int:
    """Twice."""
    # A comment.
    return 2 * value
'''


@pytest.mark.parametrize(
    "same",
    [
        CODE.replace("# A comment.", "# Another one,\n    # and longer."),
        CODE.replace("Twice.", "Two times."),
        CODE.replace('    """Twice."""\n', ""),
        CODE.replace("Says what it is.", "Says more."),
        CODE.replace("return 2 * value", "return (\n        2\n        * value\n    )"),
        CODE.replace("\n\n\n", "\n\n"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(source, same):
    source("package.one", CODE)
    before = code.digest("package.one")
    assert same != CODE
    source("package.one", same)
    assert code.digest("package.one") == before


@pytest.mark.parametrize(
    "other",
    [
        CODE.replace("2 *", "3 *"),
        CODE.replace("value", "number"),
        CODE.replace("int", "float"),
        CODE.replace("import os", "import sys"),
        CODE + "\nLIMIT = 'text'\n",
    ],
)
def test_code_counts(source, other):
    source("package.one", CODE)
    before = code.digest("package.one")
    source("package.one", other)
    assert code.digest("package.one") != before


@pytest.mark.parametrize(
    "line",
    [
        "import package.two",
        "import package.two as other",
        "from package import two",
        "from package.two import VALUE",
        "from .two import VALUE",
        "from . import two",
        "def f():\n    from package.two import VALUE",
        "def f():\n    if f:\n        import package.two",
        "try:\n    import package.two\nexcept ImportError:\n    pass",
        "class A:\n    from package import two",
    ],
)
def test_imports_are_followed_wherever_they_are(source, line):
    source("package.__init__", "")
    source("package.one", line)
    source("package.two", "from package.three import VALUE")
    source("package.three", "VALUE = 1")
    before = code.digest("package.one")
    source("package.three", "VALUE = 2")
    assert code.digest("package.one") != before


def test_relative_imports_from_a_package_and_above(source):
    source("package.sub.__init__", "from .inner import A\nfrom ..two import B")
    source("package.sub.inner", "A = 1")
    source("package.two", "B = 1")
    found = code.reachable("package.sub")
    assert found == {"package.sub", "package.sub.inner", "package.two"}


def test_importing_a_module_runs_its_packages(source):
    source("package.__init__", "VALUE = 1")
    source("package.sub.__init__", "")
    source("package.sub.deep", "")
    source("one", "import package.sub.deep")
    before = code.digest("one")
    source("package.__init__", "VALUE = 2")
    assert code.digest("one") != before


def test_what_is_for_type_checkers_or_elsewhere_is_not_followed(source):
    source(
        "package.one",
        """
        from typing import TYPE_CHECKING
        import json, torch
        if TYPE_CHECKING:
            from package.two import B
        else:
            from package.three import C
        """,
    )
    source("package.two", "B = 1")
    source("package.three", "C = 1")
    assert code.reachable("package.one") == {"package.one", "package.three"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('log.logger.info("%d pictures", n)', 'logger.warning("%d photos", n)', False),
        ('logger.info("%d pictures", n)', 'logger.info("%d photos", n)', True),
        ('logger.info("%d pictures", n)', 'logger.info("%d pictures", n + 1)', False),
        ('print("%d pictures", n)', 'print("%d photos", n)', False),
    ],
)
def test_the_text_of_a_log_message_does_not_count(source, one, other, same):
    source("package.one", one)
    before = code.digest("package.one")
    source("package.one", other)
    assert (code.digest("package.one") == before) == same


def test_another_attribute_of_a_module_is_another_part(source):
    source("package.one", "def f(): pass\ndef g(): pass")
    assert len({code.digest(f"package.one{name}") for name in ("", ":f", ":g")}) == 3


def test_circles_end(source):
    source("package.one", "from package import two")
    source("package.two", "def f():\n    from package import one")
    assert code.digest("package.one") == code.digest("package.two")


def test_templates_of_a_package_count(source, tmp_path):
    source("package.__init__", "")
    source("package.page", "")
    (tmp_path / "package" / "page.html").write_text("<p>")
    source("package.page", "")
    before = code.digest("package.page")
    (tmp_path / "package" / "page.html").write_text("<b>")
    source("package.page", "")
    changed = code.digest("package.page")
    (tmp_path / "package" / "notes.txt").write_text("not part of the page")
    source("package.page", "")
    assert before != changed == code.digest("package.page")


def test_order_and_repeats_of_names_do_not_count(source):
    source("package.one", "A = 1")
    source("package.two", "B = 1")
    both = code.digest("package.one", "package.two")
    assert both == code.digest("package.two", "package.one", "package.one")
    assert both != code.digest("package.one")


def test_a_module_that_is_not_there(source):
    with pytest.raises(ModuleNotFoundError, match=r"package\.none"):
        code.digest("package.none")


def test_settings_stay_out_of_every_digest():
    """Their values are params; their code would redo everything."""
    found = code.reachable("snakecap.steps.train")
    assert not {name for name in found if name.startswith("snakecap.config")}
    assert "snakecap.training.loop" in found


@pytest.mark.parametrize(
    ("stage", "families"),
    [
        ("vocabulary", {"formats", "objects", "text"}),
        ("encode", {"formats", "objects"}),  # the tokenizer's module is added by the plan
        ("resize", {"formats", "objects"}),
        ("score", {"formats", "metrics"}),
        ("features", {"formats", "models", "device"}),
    ],
)
def test_stages_depend_on_what_they_use_only(stage, families):
    """Small modules: few stages share one, so that few run again after an edit."""
    found = code.reachable(f"snakecap.steps.{stage}")
    assert {name for name in found if name.startswith("snakecap.steps.")} == {
        f"snakecap.steps.{stage}"
    }
    others = {name.split(".")[1] for name in found if name.count(".")} - {"steps"}
    others -= {"provenance", "distributed"}  # what records and starts jobs
    assert others == families
    if stage in ("vocabulary", "encode", "resize"):  # the record that pictures.json is made of
        of_objects = {name for name in found if name.startswith("snakecap.objects.")}
        assert of_objects == {"snakecap.objects.object"}


# Settings as text.


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": [1, (2, 3)]}, {"a": (1, [2.0, 3])}),
        ({"a": {"b": 2e-3}}, {"a": {"b": 0.002}}),
        ({1: "x"}, {"1": "x"}),
    ],
)
def test_equal_settings_are_equal_text(one, other):
    assert code.canonical(one) == code.canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {"a": True}),
        ({"a": None}, {}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": 0.1}, {"a": 0.10000001}),
    ],
)
def test_different_settings_are_different_text(one, other):
    assert code.canonical(one) != code.canonical(other)


def test_canonical_text_is_json_and_gives_the_value_back():
    value = {"b": [1, 2.5, None, True], "a": {"é": "ß\n'\"{}"}}
    text = code.canonical(value)
    assert json.loads(text) == value and text.index('"a"') < text.index('"b"')


def test_file_digest_is_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert code.file_digest(tmp_path / "file") == expected


# Rule scripts.


def test_a_job_whose_code_changed_after_snakemake_started_stops(source, tmp_path, monkeypatch):
    source("package.one", "A = 1")
    said = f"package.one={code.digest('package.one')}"
    ran = []

    def stage(*, count: int) -> None:
        """Count."""
        ran.append((count, code.stamp(extra=1)))

    monkeypatch.setenv("SNAKECAP_CODE", "")
    job.run(stage, ["--code", said, "--makes", str(tmp_path / "out"), "--count", "3"])
    assert ran == [(3, {"code": said.partition("=")[2], "extra": 1})]
    source("package.one", "A = 2")
    with pytest.raises(job.ProvenanceError, match="after snakemake started"):
        job.run(stage, ["--code", said, "--makes", str(tmp_path / "out"), "--count", "3"])
    assert len(ran) == 1


def test_a_script_runs_by_hand_without_a_digest():
    ran = []

    def stage(*, count: int = 1) -> None:
        """Count."""
        ran.append(count)

    job.run(stage, ["--count", "2"])
    assert ran == [2]


def test_jobs_find_this_interpreter_and_this_source(monkeypatch):
    monkeypatch.setenv("PATH", "/somewhere")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    for _ in range(2):
        controller.put_interpreter_first()
    assert os.environ["PATH"] == f"{Path(sys.executable).parent}{os.pathsep}/somewhere"
    assert os.environ["PYTHONPATH"] == str(code.SOURCE)


def test_a_job_that_another_process_did_is_not_done_again(tmp_path, monkeypatch):
    """The same code, software, settings and inputs; threads never change a result."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in put").write_text("a")
    said = f"snakecap.registry={code.digest('snakecap.registry')}"
    ran = []

    def stage(
        *,
        count: int,
        read: Path,
        made: Annotated[Path, identity.Output],
        threads: int = 1,
    ) -> None:
        """Count."""
        ran.append(count)
        made.write_text(str(count))

    def run(count=1, threads=1, lock="x"):
        rule = ["--code", said, "--lock", lock, "--makes", "out"]
        words = ["--count", str(count), "--made", "out", "--threads", str(threads)]
        words += ["--read", "in put"]
        job.run(stage, [*rule, *words])

    run()
    (tmp_path / "out").unlink()
    run(threads=2)
    (tmp_path / "in put").touch()  # its contents count
    run()
    assert len(ran) == 1 and (tmp_path / "out").read_text() == "1"
    run(count=2)
    run(count=2, lock="y")
    (tmp_path / "in put").write_text("ab")
    run(count=2, lock="y")
    assert len(ran) == 4


@pytest.mark.parametrize("name", [path.stem for path in SCRIPTS], ids=str)
def test_no_stage_takes_what_its_rule_says_to_us(name):
    """The report's own --reads was once taken for the list of a rule's inputs."""
    stage = getattr(importlib.import_module(f"snakecap.steps.{name}"), name)
    own = {f"--{argument.replace('_', '-')}" for argument in inspect.signature(stage).parameters}
    assert not own & set(job.OF_THE_RULE)
