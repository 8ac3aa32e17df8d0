"""Results across runs, and what two of them differ in, on records written by hand."""

import io
import json

import pandas as pd
import pytest

from snakecap.cli import main
from snakecap.provenance import lineage, sidecar


def record(path, step, inputs=(), settings=None, started="2026-01-02T03:04:05", **more):
    rows = [
        {"argument": name, "path": sidecar.relative(source, path.parent),
         "sha256": sidecar.digest(source), "size": 1}
        for name, source in inputs
    ]  # fmt: skip
    facts = {"step": step, "code": f"a.module,b={step}0", "lock": "l", "settings": settings or {}}
    given = {"device": "cpu", "files": ["one"]}
    times = {"started": started, "seconds": 60.0}
    sidecar.write(path, {**facts, "arguments": given, **times, "inputs": rows, **more})


def run(folder, *, rate=0.1, cider=0.5, words="a cat", seed=1, control=0.1):
    """A made-up system: two stages, captions with their control, scores."""
    for place in ("frozen", "last/captions", "last/scores"):
        (folder / place).mkdir(parents=True)
    annotations = folder / "annotations.json"
    annotations.write_text(words)
    pictures = folder / "pictures.json"
    pictures.write_text(f"pictures of {words}")
    record(pictures, "annotations", [("captions", annotations)])
    models = []
    for name in ("frozen", "last"):
        models.append(folder / name / "model.safetensors")
        models[-1].write_text(f"{name} {rate} {seed}")
        before = [("initial", models[-2])] if len(models) > 1 else []
        stage = {"name": name, "rate": rate, "seed": seed, "same": [1, 2]}
        record(models[-1], "train", [("pictures", pictures), *before], {"stage": stage})
    captions = [folder / "last/captions" / f"test{end}.json" for end in ("", "_shuffled")]
    for path in captions:
        path.write_text(f"{path.name} {rate} {seed}")
        record(path, "caption", [("model", models[-1])], {"beam": 2})
    scores = [folder / "last/scores" / path.name for path in captions]
    for path, value in zip(scores, (cider, control), strict=True):
        path.write_text(json.dumps({"CIDEr": value, "pictures": 3}))
        record(path, "score", [("results", one) for one in captions], {"bootstrap": 10})
    return scores[0]


def test_a_lineage_holds_every_step_once_and_the_files_that_none_made(tmp_path):
    made = lineage.trace(run(tmp_path))
    assert list(made.records) == ["score", "caption", "train last", "annotations", "train frozen"]
    assert made.settings["train frozen.stage.rate"] == 0.1
    digest = sidecar.digest(tmp_path / "annotations.json")
    assert made.sources == {"annotations.captions": digest[:12]}


def test_results_lists_scores_times_and_what_differs(tmp_path, capsys):
    run(tmp_path / "one")
    run(tmp_path / "two", rate=0.2, cider=0.7, seed=2)
    run(tmp_path / "elsewhere", words="a dog", cider=0.6)
    (tmp_path / "one/last/scores/other.json").write_text("{}")  # nobody knows of it
    main(["results", str(tmp_path), "--format", "csv", "--sort", "CIDEr"])
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert table.CIDEr.tolist() == [0.7, 0.6, 0.5]
    assert table.control.tolist() == [0.1] * 3
    assert table.minutes.tolist() == [2.0] * 3  # both stages
    assert table["train last.stage.rate"].tolist() == [0.2, 0.1, 0.1]
    assert table["train frozen.stage.seed"].tolist() == [2, 1, 1]
    assert not any("beam" in name or "same" in name for name in table)
    assert table.data[0] == table.data[2] != table.data[1]
    assert table.code.tolist() == ["train0"] * 3

    main(["results", str(tmp_path / "one"), str(tmp_path / "two")])
    said = capsys.readouterr().out
    assert "train last.stage.rate=0.2" in said and "elsewhere" not in said
    main(["results", str(tmp_path / "one"), "--format", "json"])
    (row,) = json.loads(capsys.readouterr().out)
    assert row["CIDEr"] == 0.5 and row["split"] == "test"


def test_names_are_as_short_as_they_can_be(tmp_path, capsys):
    path = run(tmp_path / "one")
    other = run(tmp_path / "two")
    for folder, beam in ((path.parents[1], 2), (other.parents[1], 5)):
        for path in (folder / "captions/test.json", folder / "captions/test_shuffled.json"):
            record(path, "caption", [("model", folder / "model.safetensors")], {"beam": beam})
    main(["results", str(tmp_path)])
    said = capsys.readouterr().out
    assert " beam=5" in said and "caption.beam" not in said


def test_diff_names_each_place(tmp_path, capsys):
    a, b = run(tmp_path / "one"), run(tmp_path / "two", rate=0.2, words="a dog")
    main(["diff", str(a), str(b), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["settings"] == {
        "train last.stage.rate": [0.1, 0.2],
        "train frozen.stage.rate": [0.1, 0.2],
    }
    assert list(found["made of"]) == ["annotations.captions (file)"]
    main(["diff", str(a), str(b)])
    assert "train last.stage.rate" in capsys.readouterr().out
    main(["diff", str(a), str(a)])
    assert "settings: the same\nmade of: the same" in capsys.readouterr().out


def test_every_member_of_an_ensemble_counts(tmp_path, capsys):
    paths = [run(tmp_path / f"part{n}", rate=n / 10) for n in (1, 2, 3)]
    members = [path.parents[1] / "model.safetensors" for path in paths]
    for name, chosen in (("a", members), ("b", members[:2])):
        captions = tmp_path / name / "captions/test.json"
        captions.parent.mkdir(parents=True)
        captions.write_text(name)
        record(captions, "caption", [("model", one) for one in chosen])
    made = lineage.trace(tmp_path / "a/captions/test.json")
    last = [name for name in made.records if "last" in name]
    assert last == ["train last", "train last 2", "train last 3"]
    assert [made.settings[f"{name}.stage.rate"] for name in last] == [0.1, 0.2, 0.3]
    main(["diff", *(str(tmp_path / name / "captions/test.json") for name in "ab"), "--json"])
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert steps["train last 3"] == [True, False] and "train last 2" not in steps


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["results", "{}"], "no scored results in"),
        (["results", "{}/one", "--sort", "SPICE"], "no column 'SPICE'; there are result, split"),
        (["diff", "{}/one/annotations.json", "{}/one/annotations.json"], "has no annotations.json"),
    ],
)
def test_what_is_refused(tmp_path, capsys, words, wrong):
    if "{}" not in words:
        run(tmp_path / "one")
    with pytest.raises(SystemExit):
        main([word.format(tmp_path) for word in words])
    assert wrong in capsys.readouterr().err
