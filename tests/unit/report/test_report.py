import csv
import json
import re
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

sys.path.append(str(Path(__file__).parents[2]))

from report_inputs import edit, embedded, make, run

from snakecap.config.settings import Report
from snakecap.report import tables

SEEDED = ("plain_seed1/frozen", "plain_seed2/frozen", "plain_seed3/frozen", "other/frozen")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_keeps_every_digit_of_the_scores(tmp_path):
    inputs = make(tmp_path)
    out = run(tmp_path, inputs)
    table = rows(out / "table.csv")
    assert [f"{row['system']}/{row['stage']}" for row in table] == inputs.systems
    for row, path in zip(table, inputs.files["scores"], strict=True):
        scores = json.loads(path.read_text())
        for name in tables.METRICS:
            assert float(row[name]) == scores[name]
        assert [float(row["CIDEr_low"]), float(row["CIDEr_high"])] == scores["intervals"]["CIDEr"]
    assert [float(row["control"]) for row in table] == [0.04, 0.05, 0.06]
    assert [float(row["minutes"]) for row in table] == [1.5, 3.0, 4.5]


def test_markdown_agrees_with_csv_and_marks_the_best(tmp_path):
    out = run(tmp_path, make(tmp_path))
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (out / "table.md").read_text().split("##")[0].splitlines()
        if line.startswith("|")
    ]
    head, body = lines[0], lines[2:]
    for cells, row in zip(body, rows(out / "table.csv"), strict=True):
        for name, cell in zip(head, cells, strict=True):
            if name in tables.METRICS:
                assert cell.strip("*").split("*")[0].split()[0] == f"{float(row[name]):.3f}"
    bold = [cells[0] for cells in body if cells[head.index("CIDEr")].startswith("**")]
    best = max(rows(out / "table.csv"), key=lambda row: float(row["CIDEr"]))
    assert bold == [best["system"]]


def test_seeds_get_their_mean_and_sample_deviation(tmp_path):
    out = run(tmp_path, make(tmp_path, systems=SEEDED))
    table = rows(out / "table.csv")
    assert [row["row"] for row in table] == ["mean", "deviation", "run", "run", "run", "run"]
    values = [
        float(row["CIDEr"]) for row in table if row["system"] == "plain" and row["row"] == "run"
    ]
    mean = sum(values) / 3
    deviation = (sum((value - mean) ** 2 for value in values) / 2) ** 0.5
    assert float(table[0]["CIDEr"]) == pytest.approx(mean, rel=1e-12)
    assert float(table[1]["CIDEr"]) == pytest.approx(deviation, rel=1e-12)
    assert table[0]["seeds"] == "1 2 3" and [row["seeds"] for row in table[2:5]] == ["1", "2", "3"]
    text = (out / "table.md").read_text().replace("**", "")
    assert f"{mean:.3f} ± {deviation:.3f}" in text
    assert float(table[0]["CIDEr_low"]) < mean < float(table[0]["CIDEr_high"])
    first, _, last = text.partition("## Every seed")
    assert "seed 2" not in first and last.count("| plain (seed ") == 3


def test_the_pairs_of_the_settings_are_compared_and_no_others(tmp_path):
    inputs = make(tmp_path, systems=("a/x", "b/x", "c/x"))
    out = run(tmp_path, inputs, settings=Report(pairs=(("c", "a"),)))
    paired = (out / "table.md").read_text().split("## Paired differences")[1].split("## ")[0]
    assert re.findall(r"^\| (\w) \| (\w) \|", paired, re.MULTILINE) == [("c", "a")]


def test_table_goes_between_the_markers_of_a_readme(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Mine\n\n{tables.START}\nold | table\n{tables.END}\n\nAfter.\n")
    inputs = make(tmp_path, systems=SEEDED)
    run(tmp_path, inputs, readme=readme)
    text = readme.read_text()
    assert text.startswith("# Mine\n\n") and text.endswith(f"{tables.END}\n\nAfter.\n")
    assert "old | table" not in text and "| plain (3 seeds) |" in text and "seed 2" not in text
    run(tmp_path, inputs, readme=readme)
    assert readme.read_text() == text


@pytest.mark.parametrize(
    "text",
    ["nothing", tables.START, f"{tables.END}\n{tables.START}", (tables.START + tables.END) * 2],
)
def test_readme_without_its_markers_is_an_error_and_stays_as_it_was(tmp_path, text):
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(ValueError, match=r"README\.md needs one line <!-- snakecap:table -->"):
        run(tmp_path, make(tmp_path), readme=readme)
    assert readme.read_text() == text


def test_same_inputs_give_the_same_bytes(tmp_path):
    inputs = make(tmp_path)
    first = run(tmp_path / "a", inputs, figure=tmp_path / "a" / "out" / "figure.png")
    second = run(tmp_path / "b", inputs, figure=tmp_path / "b" / "out" / "figure.png")
    names = sorted(path.name for path in first.iterdir())
    assert names == ["curves.svg", "figure.png", "index.html", "table.csv", "table.md"]
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_page_holds_pictures_references_and_captions(tmp_path):
    inputs = make(tmp_path)
    data = embedded(run(tmp_path, inputs) / "index.html")
    test = [picture for picture in inputs.pictures if picture.split == "test"]
    assert [row["file"] for row in data["pictures"]] == [picture.file for picture in test]
    assert [tuple(row["references"]) for row in data["pictures"]] == [p.captions for p in test]
    results = json.loads(inputs.files["captions"][1].read_text())
    scores = json.loads(inputs.files["scores"][1].read_text())["per_image"]
    for row, said in zip(data["pictures"], results, strict=True):
        text, cider, log_prob = row["captions"][1]
        assert text == said["caption"]
        assert cider == pytest.approx(scores[str(row["id"])]["CIDEr"], abs=1e-4)
        assert log_prob == pytest.approx(said["log_prob"], abs=1e-3)


@pytest.mark.parametrize(("asked", "shown"), [(0, 12), (1, 1), (5, 5), (99, 12)])
def test_pictures_are_chosen_evenly(tmp_path, asked, shown):
    inputs = make(tmp_path)
    data = embedded(run(tmp_path, inputs, settings=Report(shown=asked)) / "index.html")
    assert len(data["pictures"]) == shown
    places = [row["id"] - 100 for row in data["pictures"]]
    assert places[0] == 0 and (shown == 1 or places[-1] == 11)
    gaps = {b - a for a, b in pairwise(places)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_page_reaches_no_network(tmp_path):
    page = (run(tmp_path, make(tmp_path)) / "index.html").read_text(encoding="ascii")
    addresses = set(re.findall(r"\b(?:https?:)?//[\w.-]+\.\w+[^\"' )]*", page))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.search(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=\"(?!data:)", page)


def test_images_and_histories_may_be_missing(tmp_path):
    inputs = make(tmp_path)
    out = run(tmp_path, inputs, images=None, controls=[], histories=[])
    data = embedded(out / "index.html")
    assert all("image" not in row for row in data["pictures"])
    assert "control" not in rows(out / "table.csv")[0]
    assert "not recorded" in (out / "curves.svg").read_text()
    run(tmp_path, inputs, images=None, figure=tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert len(set(image.convert("L").tobytes())) > 9, "names, and captions"


def test_figure_shows_four_pictures(tmp_path):
    out = run(tmp_path, make(tmp_path), figure=tmp_path / "out" / "figure.png")
    with Image.open(out / "figure.png") as image:
        assert image.format == "PNG" and image.width > image.height
        assert len(set(image.convert("L").tobytes())) > 99


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("captions", lambda rows: rows[0].update(image_id=7), "captions name picture 7, which"),
        (
            "captions",
            lambda rows: rows[0].pop("caption"),
            "captions.json is not a list of image_id",
        ),
        ("captions", lambda rows: {"caption": 1}, "captions.json is not a list of image_id"),
        ("scores", lambda table: table.pop("CIDEr") * 0, "scores.json is not scores with CIDEr"),
        ("histories", lambda _: [1], "histories.json is not a training history"),
    ],
)
def test_wrong_files_are_named(tmp_path, file, change, words):
    inputs = make(tmp_path)
    edit(inputs.files[file][1], change)
    with pytest.raises(ValueError, match=words):
        run(tmp_path, inputs)
    assert not (tmp_path / "out").exists()


def test_lists_must_be_parallel(tmp_path):
    inputs = make(tmp_path)
    with pytest.raises(ValueError, match="3 systems, but 2 captions"):
        run(tmp_path, inputs, captions=inputs.files["captions"][:2])
    with pytest.raises(ValueError, match="'plain' must be written as name/stage"):
        run(tmp_path, inputs, systems=["plain", "plain/finetune", "other/frozen"])
    with pytest.raises(ValueError, match="listed twice"):
        run(tmp_path, inputs, systems=["plain/frozen", "plain/frozen", "other/frozen"])
    with pytest.raises(ValueError, match=r"references\.json is not a COCO captions file"):
        edit(inputs.files["references"], lambda value: value.pop("annotations") and None)
        run(tmp_path, inputs)
