"""Scoring from files to files: what is read, what is refused, what is written."""

import gzip
import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakecap import registry
from snakecap.config.settings import Score
from snakecap.formats import results, scores
from snakecap.formats.scores import Scores
from snakecap.metrics import java, paraphrases
from snakecap.metrics.metric import MeanMetric
from snakecap.metrics.scorer import Scorer
from snakecap.steps.score import score, table

REFERENCES = {
    7: ["A man rides a wave.", "A surfer on a large wave."],
    "b": ["Two dogs run on grass."],
    9: ["A red bus, in the street!", "The bus is red."],
}
CAPTIONS = {7: "A man on a wave", "b": "two dogs run on grass", 9: "a blue car"}
FAST = Score(metrics=("Bleu", "ROUGE_L", "CIDEr"), bootstrap=20)


def _references(path, rows=None):
    rows = REFERENCES if rows is None else rows
    content = {
        "images": [{"id": key} for key in rows],
        "annotations": [
            {"image_id": key, "caption": caption}
            for number in range(5)
            for key, row in rows.items()
            for caption in row[number : number + 1]
        ],
    }
    path.write_text(json.dumps(content))
    return path


def _results(path, captions=None):
    captions = CAPTIONS if captions is None else captions
    rows = [{"image_id": key, "caption": caption} for key, caption in captions.items()]
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture
def files(tmp_path):
    return _results(tmp_path / "a.json"), _references(tmp_path / "references.json")


def test_references_keep_the_order_of_images_and_captions(files):
    found = results.read_references(files[1])
    assert found == {str(key): tuple(row) for key, row in REFERENCES.items()}
    assert list(found) == ["7", "b", "9"]


def test_references_without_a_list_of_images_are_read(tmp_path):
    path = tmp_path / "references.json"
    rows = [{"image_id": 2, "caption": "b"}, {"image_id": 1, "caption": "a"}]
    path.write_text(json.dumps({"annotations": rows}))
    assert results.read_references(path) == {"2": ("b",), "1": ("a",)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 1}, "is not COCO results"),
        ("text", "is not COCO results"),
        ([3], "entry 1: Input should be a valid dictionary"),
        ([{"caption": "a"}], "entry 1.image_id: Field required"),
        ([{"image_id": True, "caption": "a"}], "entry 1.image_id: an id is a whole number"),
        ([{"image_id": 1.5, "caption": "a"}], "entry 1.image_id: an id is a whole number"),
        ([{"image_id": 1}], "entry 1.caption: Field required"),
        ([{"image_id": 1, "caption": None}], "entry 1.caption: Input should be a valid string"),
        (
            [{"image_id": key, "caption": "a"} for key in (1, 2, "1", 3, 3)],
            "more than one caption: 1, 3",
        ),
    ],
)
def test_bad_results_name_the_file_and_the_mistake(tmp_path, content, message):
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"wrong\.json.*{message}"):
        results.read_captions(path)
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        target = tmp_path / "written.json"
        with pytest.raises(ValueError, match=message):
            results.write(target, content)
        assert not target.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "is not a COCO captions file"),
        ({"images": []}, "is not a COCO captions file"),
        ({"images": [{"id": 1}, {"id": "1"}], "annotations": []}, "listed more than once: 1"),
        ({"images": 5, "annotations": []}, "images: Input should be a valid list"),
        (
            {"annotations": [{"image_id": 1, "caption": 5}]},
            "caption: Input should be a valid string",
        ),
        ({"annotations": [{"caption": "a"}]}, "image_id: Field required"),
    ],
)
def test_bad_references_name_the_file_and_the_mistake(tmp_path, content, message):
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"wrong\.json.*{message}"):
        results.read_references(path)


def test_a_file_that_is_not_json_is_named(tmp_path):
    path = tmp_path / "wrong.json"
    path.write_text("[{")
    with pytest.raises(ValueError, match=r"wrong\.json is not valid JSON"):
        results.read_captions(path)


@given(st.dictionaries(st.integers() | st.text(min_size=1), st.text(st.characters())))
def test_written_results_are_read_back(tmp_path_factory, captions):
    if len({str(key) for key in captions}) < len(captions):
        return
    path = tmp_path_factory.mktemp("results") / "results.json"
    results.write(path, [{"image_id": key, "caption": row} for key, row in captions.items()])
    assert results.read_captions(path) == {str(key): row for key, row in captions.items()}


def test_unlike_images_are_refused_by_name():
    references = {"1": ("a",), "2": ("b",), "3": ()}
    match = results.match
    assert match({"2": "x", "1": "y"}, references) == {"1": ("a",), "2": ("b",)}
    assert list(match({"2": "x", "1": "y"}, references)) == ["1", "2"]
    assert match({"2": "x"}, references, subset=True) == {"2": ("b",)}
    with pytest.raises(ValueError, match=r"results has no caption of images of .*: 1; give"):
        match({"2": "x"}, references)
    with pytest.raises(ValueError, match=r"images that references has not: 8"):
        match({"1": "x", "2": "x", "8": "x"}, references, subset=True)
    with pytest.raises(ValueError, match=r"references has no references for .*: 3"):
        match({"1": "x", "2": "x", "3": "x"}, references)
    with pytest.raises(ValueError, match=r"results has no captions"):
        match({}, references, subset=True)
    many = {str(key): ("a",) for key in range(100)}
    with pytest.raises(ValueError, match="9 and 89 more"):
        match({"99": "x"}, many)


def test_scores_are_read_back(tmp_path):
    path = tmp_path / "scores.json"
    first = Scores(
        values={"Bleu_1": 0.1 + 0.2, "CIDEr": 1.0},
        per_image={"1": {"Bleu_1": 1 / 3, "CIDEr": 0.0}, "b": {"Bleu_1": 0.5, "CIDEr": 2.0}},
        statistics={"CIDEr": [[0.0, 1.0], [2.0, 1.0]]},
        intervals={"CIDEr": (0.5, 1.5)},
    )
    scores.write(path, first, code="abc")
    assert scores.read(path) == first
    content = json.loads(path.read_text())
    assert (content["pictures"], content["code"]) == (2, "abc")
    assert content["Bleu_1"] == 0.1 + 0.2


@pytest.mark.parametrize("content", [[], {}, {"per_image": {}}, {"per_image": {"1": {"CIDEr": 1}}}])
def test_what_is_not_scores_is_named(tmp_path, content):
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"wrong\.json is not a scores\.json"):
        scores.read(path)


def test_a_scorer_keeps_ids_and_order():
    scorer = Scorer(REFERENCES, FAST.metrics)
    found = scorer.score(dict(reversed(CAPTIONS.items())))
    again, other = scorer.score_all([CAPTIONS, dict.fromkeys(CAPTIONS, "two dogs")])
    assert list(found.per_image) == ["7", "b", "9"]
    assert found == again
    assert found.per_image["b"]["ROUGE_L"] == 1.0 > other.per_image["b"]["ROUGE_L"]
    names = ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr"]
    assert list(found.values) == list(found.per_image["7"]) == names


def test_a_scorer_refuses_other_images():
    scorer = Scorer(REFERENCES, ("CIDEr",))
    with pytest.raises(ValueError, match=r"other images: \['9', 'x'\]"):
        scorer.score({7: "a", "b": "b", "x": "c"})
    with pytest.raises(ValueError, match=r"no references for images \[2\]"):
        Scorer({1: ["a"], 2: []})
    with pytest.raises(ValueError, match="no references"):
        Scorer({})
    with pytest.raises(ValueError, match="unknown metric 'BLEURT'"):
        Scorer(REFERENCES, ("BLEURT",))


def test_a_metric_that_fails_leaves_no_process(monkeypatch):
    class Broken(MeanMetric):
        names = ("broken",)

        def per_image(self, captions):
            raise ZeroDivisionError

    started = []
    begin = subprocess.Popen.__init__
    monkeypatch.setattr(
        subprocess.Popen,
        "__init__",
        lambda self, *a, **k: (started.append(self), begin(self, *a, **k))[1],
    )
    monkeypatch.setattr(paraphrases, "select", lambda path, text: gzip.compress(b""))
    monkeypatch.setitem(registry.METRICS, "broken", "somewhere:Broken")
    load = registry.load
    monkeypatch.setattr(
        registry, "load", lambda family, name: Broken if name == "broken" else load(family, name)
    )
    scorer = Scorer(REFERENCES, ("METEOR", "broken"))
    with pytest.raises(ZeroDivisionError):
        scorer.score(CAPTIONS)
    assert len(started) == 3  # two for the tokens, one METEOR
    assert all(process.returncode is not None for process in started)


def test_a_tokeniser_that_fails_is_an_error(monkeypatch):
    monkeypatch.setattr(java, "FLAGS", ("-XX:+NoSuchFlag",))
    with pytest.raises(java.JavaError, match="NoSuchFlag"):
        Scorer(REFERENCES)


def test_the_stage_scores_several_files_at_once(files, tmp_path, monkeypatch):
    monkeypatch.setattr(paraphrases, "select", lambda path, text: gzip.compress(b""))
    control = _results(tmp_path / "b.json", {7: "a blue car", "b": "a man", 9: "two dogs"})
    outputs = [tmp_path / "out" / name for name in ("a.json", "b.json")]
    score(results=[files[0], control], references=files[1], scores=outputs)
    first, second = map(scores.read, outputs)
    assert list(first.values) == list(first.intervals)
    assert list(first.values)[4:] == ["METEOR", "ROUGE_L", "CIDEr"]
    for name, value in first.values.items():
        assert value > second.values[name]
        assert first.intervals[name][0] <= value <= first.intervals[name][1]
    assert set(first.statistics) == set(registry.METRICS)
    assert list(first.per_image) == ["7", "b", "9"]


def test_files_of_different_images_are_scored_each_alone(files, tmp_path):
    small = _results(tmp_path / "b.json", {7: CAPTIONS[7], 9: CAPTIONS[9]})
    outputs = [tmp_path / "1.json", tmp_path / "2.json", tmp_path / "3.json"]
    both = {"references": files[1], "settings": FAST, "subset": True}
    score(results=[files[0], small, files[0]], scores=outputs, **both)
    found = list(map(scores.read, outputs))
    assert found[0] == found[2]
    assert list(found[1].per_image) == ["7", "9"]
    # Document frequencies are of the images that are scored.
    alone = tmp_path / "alone.json"
    score(results=[small], scores=[alone], **both)
    assert scores.read(alone) == found[1]


def test_without_outputs_a_table_is_printed(files, capsys):
    score(results=[files[0]], references=files[1], settings=FAST)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr"]
    assert lines[1].split()[0] == "a" and len(lines[1].split()) == 7
    assert len(lines[2].split()) == 6


def test_a_table_without_intervals_is_one_line_each():
    plain = Scores({"CIDEr": 0.5}, {"1": {"CIDEr": 0.5}}, {})
    assert table(["x", "longer"], [plain, plain]).splitlines()[1:] == [
        "x             0.5000",
        "longer        0.5000",
    ]


def test_missing_captions_are_refused_unless_asked_for(files, tmp_path):
    small = _results(tmp_path / "small.json", {7: "a man", "b": "a dog"})
    output = tmp_path / "scores.json"
    with pytest.raises(ValueError, match=r"small\.json has no caption .*references\.json: 9;"):
        score(results=[small], references=files[1], scores=[output], settings=FAST)
    assert not output.exists()


def test_as_many_outputs_as_results(files, tmp_path):
    with pytest.raises(ValueError, match="2 results files need as many scores, not 1"):
        score(results=[files[0]] * 2, references=files[1], scores=[tmp_path / "x.json"])
