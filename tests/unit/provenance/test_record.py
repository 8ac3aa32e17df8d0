"""Every stage records what its results were made from; `info` says it, and what changed since."""

import json
import os
from importlib import import_module
from pathlib import Path
from typing import Annotated

import pytest

from snakecap import cli
from snakecap.config import settings
from snakecap.config.settings import Decoding, Vocabulary
from snakecap.formats import scores as score_files
from snakecap.provenance import code, identity, record, sidecar, staleness
from snakecap.steps.references import references
from snakecap.steps.vocabulary import vocabulary
from snakecap.workflow.plan import Plan
from snakecap.workflow.steps import RULES, STEPS

ROOT = Path(__file__).parents[3]
WORDS = Vocabulary(min_count=0, splits=("test",))


def pictures_json(path, caption="a dog"):
    row = {"id": 1, "file": "a.jpg", "split": "test", "captions": [caption]}
    row |= {"objects": [], "regions": [], "width": 0, "height": 0}
    path.write_text(json.dumps({"root": "photos", "pictures": [row]}))
    return path


def rule(function, /, **values):
    """A step as its rule runs it."""
    names = f"snakecap.steps.{function.__name__}"
    said = {"code": f"{names}={code.digest(names)}", "lock": code.lock_digest()}
    record.recorded(function, said)(**values)


def chain(folder, caption="a dog"):
    """pictures.json, its words and its references."""
    pictures = pictures_json(folder / "pictures.json", caption)
    place = folder / "vocabularies/words.json"
    rule(vocabulary, pictures=pictures, vocabulary=place, settings=WORDS)
    rule(references, pictures=pictures, references=folder / "references/test.json", split="test")
    return pictures, place, folder / "references/test.json"


def test_every_rule_is_a_recorded_step_in_the_table():
    """Its function, its script, its rule and its row; `workflow` asks the rest of these."""
    assert RULES.keys() == {path.stem for path in (ROOT / "workflow/scripts").glob("*.py")}
    for row in STEPS.values():
        module, _, name = row.location.partition(":")
        function = getattr(import_module(f"snakecap.{module}"), name)
        marks = [mark for _, mark in identity.marked(function)]
        assert bool(marks) == (record.recorded(function) is not function)
        assert marks or row.need is None, f"{name} does not say what it writes"


def test_a_record_says_all_that_a_result_was_made_from(tmp_path):
    pictures, words, _ = chain(tmp_path)
    found = sidecar.read(words)
    assert found["inputs"] == [
        {
            "argument": "pictures",
            "path": str(pictures),
            "sha256": code.file_digest(pictures),
            "size": pictures.stat().st_size,
        }
    ]
    assert found["settings"]["min_count"] == 0 and found["step"] == "vocabulary"
    assert found["configuration"] == code.settings_digest(identity.settings(WORDS))
    assert found["code"].endswith(code.digest("snakecap.steps.vocabulary"))
    assert found["lock"] == code.lock_digest(ROOT)
    assert found["versions"]["python"] and found["device"]["type"] == "cpu"
    assert found["seconds"] >= 0 and found["started"].startswith("20") and found["host"]


def test_an_output_that_is_an_input_or_another_output_is_refused(tmp_path):
    pictures = pictures_json(tmp_path / "pictures.json")
    before = pictures.read_bytes()
    (tmp_path / "folder").mkdir()
    again = tmp_path / "folder/../pictures.json"
    with pytest.raises(ValueError, match="is given as pictures and as references: give one"):
        rule(references, pictures=pictures, references=again, split="test")
    assert pictures.read_bytes() == before
    one = tmp_path / "scores.json"
    score = import_module("snakecap.steps.score").score
    with pytest.raises(ValueError, match=r"scores\.json is given as scores0 and as scores1"):
        rule(score, results=[pictures] * 2, references=pictures, scores=[one, one])


def test_seeds_are_found_wherever_they_are():
    assert dict(record._seeds({"stage": {"seed": 3}, "seed": 4, "other": {"seed": None}}, "")) == {
        "stage.seed": 3,
        "seed": 4,
    }
    assert dict(record._seeds(Decoding().model_dump(mode="json"), "")) == {"seed": 123}


def test_results_do_not_hold_what_varies_and_their_records_do(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        chain(tmp_path / name)
    one, two = (tmp_path / name / "vocabularies/words.json" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    first, second = sidecar.read(one), sidecar.read(two)
    assert first["sha256"] == second["sha256"]
    assert first["modified_ns"] != second["modified_ns"]


def test_a_failed_stage_leaves_no_record_of_an_older_result(tmp_path):
    pictures, words, _ = chain(tmp_path)
    pictures.write_text("{}")
    with pytest.raises(ValueError, match="not a pictures"):
        rule(vocabulary, pictures=pictures, vocabulary=words)
    assert sidecar.read(words) is None


def test_what_prints_records_nothing():
    assert record.recorded(print) is print


def test_files_that_settings_name_are_inputs(tmp_path):
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"1")
    options = {"backbone": {"weights": str(weights), "architecture": "vgg16"}, "names": [1, "."]}
    assert list(identity.named(options)) == [weights]
    same = tmp_path / "elsewhere.pth"
    same.write_bytes(b"1")
    other = {**options, "backbone": {**options["backbone"], "weights": str(same)}}
    assert identity.settings(options) == identity.settings(other)
    weights.write_bytes(b"2")
    assert identity.settings(options) != identity.settings(other)


# What changed since.


def test_nothing_changed_since(tmp_path):
    _, words, captions = chain(tmp_path)
    assert staleness.problems(words) == staleness.problems(captions) == []
    assert staleness.problems(tmp_path / "pictures.json") == []  # without a record nothing is known


def test_a_copy_with_other_dates_is_the_same(tmp_path):
    pictures, words, _ = chain(tmp_path)
    for path in (pictures, words):
        os.utime(path, ns=(1, 1))
    assert staleness.problems(words) == []


def edited(path):
    path.write_text(path.read_text().replace("dog", "wolf"))


def test_an_edited_input_is_named_behind_every_result(tmp_path):
    pictures, words, captions = chain(tmp_path)
    edited(pictures)
    assert staleness.problems(words) == [(words, f"made before {pictures} changed")]
    assert staleness.problems(captions) == [(captions, f"made before {pictures} changed")]


def test_an_edited_result_is_named(tmp_path):
    _, words, captions = chain(tmp_path)
    edited(captions)
    assert staleness.problems(captions) == [(captions, "changed by hand")]
    assert staleness.problems(words) == []


def test_a_change_far_behind_is_found(tmp_path):
    pictures, words, _ = chain(tmp_path)
    made = tmp_path / "scores.json"

    def score(*, results: list[Path], references: Path, scores: list[Path]) -> None:
        score_files.write(scores[0], score_files.Scores({"CIDEr": 1.0}, {"1": {"CIDEr": 1.0}}, {}))

    score.__annotations__["scores"] = Annotated[list[Path], identity.Output]
    rule(score, results=[words], references=words, scores=[made])
    assert staleness.problems(made) == []
    edited(pictures)
    assert staleness.problems(made) == [(words, f"made before {pictures} changed")]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("code", "snakecap.steps.vocabulary=0123456789abcdef", "made by other code"),
        ("code", "snakecap.steps.gone=0123456789abcdef", "made by other code"),
        ("lock", "0123456789abcdef", "made with another requirements.lock"),
    ],
)
def test_other_code_and_another_lock_are_named(tmp_path, field, value, said):
    _, words, _ = chain(tmp_path)
    place = sidecar.path_of(words)
    place.write_text(json.dumps({**json.loads(place.read_text()), field: value}))
    assert staleness.problems(words) == [(words, said)]


def test_an_installed_package_calls_nothing_changed_that_it_cannot_compare(tmp_path, monkeypatch):
    """It has neither scripts nor a lock file."""
    _, words, _ = chain(tmp_path)
    place = sidecar.path_of(words)
    scripts = "workflow.scripts.vocabulary,snakecap.text.neuraltalk2:tokenize=0123456789abcdef"
    place.write_text(json.dumps({**json.loads(place.read_text()), "code": scripts}))
    assert staleness.problems(words) == [(words, "made by other code")]
    monkeypatch.setattr(code, "SOURCE", tmp_path / "site-packages")
    monkeypatch.setattr(code, "lock_digest", lambda: "")
    staleness._digest.cache_clear()
    assert staleness.problems(words) == []
    staleness._digest.cache_clear()


def test_settings_are_held_to_the_configurations(tmp_path):
    _, words, captions = chain(tmp_path)
    ours = f"vocabularies/words.json={code.settings_digest(identity.settings(WORDS))}"
    wanted = staleness.read_configuration([ours, "references/test.json=00000000"], tmp_path)
    assert staleness.problems(words, wanted) == []
    assert staleness.problems(captions, wanted) == [(captions, "made with other settings")]
    sidecar.forget(words)
    assert staleness.problems(words, wanted) == [(words, "no record of its making")]
    record.recorded(references)(pictures=tmp_path / "pictures.json", references=captions)
    assert staleness.problems(captions, wanted) == [(captions, "not made by the workflow")]


def test_the_plan_gives_each_result_the_digest_that_its_job_records():
    from checkout import CONFIG

    plan = Plan(settings.read(CONFIG))
    words = plan.configuration("test")
    given = dict(word.rsplit("=", 1) for word in words)
    assert len(given) == len(words)
    step = Decoding.model_validate_json(plan.caption("obj2text").settings)  # as the job reads it
    digest = code.settings_digest(identity.settings(step))
    assert given["obj2text/train/captions/test.json"] == digest


# snakecap info.


def info(capsys, path, *more):
    capsys.readouterr()
    cli.main(["info", str(path), *more])
    return capsys.readouterr().out


def test_info_prints_everything_readably(tmp_path, capsys):
    pictures, words, _ = chain(tmp_path)
    text = info(capsys, words)
    for part in ("vocabulary, 20", "nothing since", str(pictures), "min_count: 0", "python 3"):
        assert part in text
    assert max(map(len, text.splitlines())) < 300
    edited(pictures)
    assert f"made before {pictures} changed" in info(capsys, words)


def test_info_as_json_is_the_record(tmp_path, capsys):
    _, words, _ = chain(tmp_path)
    told = json.loads(info(capsys, words, "--json"))
    assert told["record"] == sidecar.read(words) and told["problems"] == []
    assert told["header"].keys() == {"settings", "stamp"}  # not the words themselves


def test_info_says_when_a_file_has_none(tmp_path, capsys):
    path = tmp_path / "scores.tsv"
    path.write_text("1")
    text = info(capsys, path)
    assert "no record: there is no scores.tsv.provenance.json" in text
    assert "nothing inside the file" in text


def test_info_of_a_model_alone_prints_its_header(tmp_path, capsys):
    import torch

    from snakecap.formats import model

    path = tmp_path / "model.safetensors"
    model.write(path, {"w": torch.zeros(2)}, {"settings": {"width": 7}, "code": "abc"})
    text = info(capsys, path)
    assert "no record" in text and "width: 7" in text and "abc" in text


@pytest.mark.parametrize("name", ["a.h5", "a.safetensors", "a.lmdb", "a.json", "gone.json"])
def test_info_of_a_damaged_file_names_it(tmp_path, capsys, name):
    path = tmp_path / name
    if name != "gone.json":
        path.write_text("nonsense")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["info", str(path)])
    assert stopped.value.code == 1 and str(path) in capsys.readouterr().err
