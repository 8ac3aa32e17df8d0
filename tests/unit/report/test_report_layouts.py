import json
import math
import sys
from itertools import combinations
from pathlib import Path

import h5py
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

sys.path.append(str(Path(__file__).parents[2]))

from report_inputs import edit, embedded, make, run

from snakecap.formats.pictures import Picture
from snakecap.objects import categories
from snakecap.objects.object import Object
from snakecap.report import layouts
from snakecap.report.layouts import NamedLayouts

READS = ("truth", ".", "net")
PAPERS = {"light": (1, 1, 1), "dark": (0x17 / 255, 0x1B / 255, 0x21 / 255)}


def layout(*names: str, known: tuple[str, ...] = categories.NAMES) -> NamedLayouts:
    objects = tuple(Object(name, (0.1, 0.2, 0.3, 0.4)) for name in names)
    return NamedLayouts("truth", known, {"7": objects})


def rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))


def contrast(one, other) -> float:
    low, high = sorted((layouts.luminance(one), layouts.luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_luminance_is_that_of_the_standard():
    assert layouts.luminance((1, 1, 1)) == pytest.approx(1)
    assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)
    assert contrast(rgb("#777777"), (1, 1, 1)) == pytest.approx(4.48, abs=0.01)  # webaim.org


@pytest.mark.parametrize("paper", PAPERS)
def test_colours_are_seen_on_either_paper_and_their_ink_on_them(paper):
    for at in range(200):
        colour = layouts.colour(at)
        assert contrast(rgb(colour), PAPERS[paper]) > 2.9
        ink = {"#000": (0, 0, 0), "#fff": (1, 1, 1)}[layouts.ink(colour)]
        assert contrast(rgb(colour), ink) >= 4.5


def test_cocos_categories_have_colours_of_their_own():
    colours = layouts.colours([layout()])
    assert list(colours) == list(categories.NAMES)
    distances = [math.dist(rgb(a), rgb(b)) for a, b in combinations(colours.values(), 2)]
    assert min(distances) > 0.03 and sorted(distances)[len(distances) // 20] > 0.2


def test_a_category_keeps_its_colour_whatever_is_in_the_pictures():
    first = layouts.colours([layout("dog", "person")])
    second = layouts.colours([layout("kite"), layout("person", "gnu", known=("gnu", "person"))])
    assert all(second[name] == first[name] for name in first) and "gnu" in second
    assert layouts.colours([layout("unlisted", known=())])["unlisted"] == layouts.colour(0)


@given(
    width=st.integers(1, 4000),
    height=st.integers(1, 4000),
    box=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_boxes_of_a_centre_square_come_back(width, height, box):
    x, y, w, h = layouts.centred(box, width, height)
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    back = (
        (x * side + left) / width,
        (y * side + top) / height,
        w * side / width,
        h * side / height,
    )
    assert back == pytest.approx(box, abs=1e-9)
    whole = layouts.centred(
        (left / width, top / height, side / width, side / height), width, height
    )
    assert whole == pytest.approx((0, 0, 1, 1), abs=1e-9)


@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), max_size=6))
def test_attention_is_within_half_a_percent(rows):
    rows = [[value / max(1, sum(row)) for value in row] for row in rows]
    for row in rows:
        flat = layouts.attention(row)
        shares = dict(zip(flat[::2], flat[1::2], strict=True))
        elsewhere = shares.pop(layouts.ELSEWHERE, 0)
        assert all(abs(shares.get(at, 0) / 100 - value) <= 0.005001 for at, value in enumerate(row))
        assert 0 not in shares.values() and (elsewhere == 0 or elsewhere >= 3)
        assert abs(elsewhere / 100 - (1 - sum(row))) <= 0.03


@pytest.mark.parametrize("weight", [float("nan"), -0.1, 1.1, "1", None])
def test_attention_that_is_no_share_is_refused(weight, tmp_path):
    inputs = make(tmp_path, reads=READS)
    path = inputs.files["captions"][0]
    edit(path, lambda rows: rows[3].update(attention=[[0.5, weight]]))
    with pytest.raises(
        ValueError, match=rf"{path.name} is not .*: entry 4\.attention\.0\.1: .* \(in "
    ):
        run(tmp_path, inputs)


def test_a_picture_without_a_layout_has_none():
    records = [{}, {}]
    pictures = [Picture(7, "a.jpg", "test", width=20, height=10), Picture(8, "b.jpg", "test")]
    head = layouts.embed(records, [layout("dog")], pictures, whole=True)
    assert records[0] == {"layouts": [[[0, 100, 200, 300, 400, 100]]]}
    assert records[1] == {"layouts": [None]}
    assert head["layouts"] == ["truth"] and [name for name, *_ in head["categories"]] == ["dog"]
    assert layouts.embed(records, [], pictures, whole=True) == {}


# The stage


def test_page_holds_layouts_and_attention(tmp_path):
    inputs = make(tmp_path, reads=READS)
    data = embedded(run(tmp_path, inputs) / "index.html")
    assert data["layouts"] == ["truth", "net"]
    assert [row.get("layout") for row in data["systems"]] == [0, None, 1]
    names = [name for name, *_ in data["categories"]]
    for place, path in enumerate(inputs.files["layouts"]):
        for row, known in zip(
            data["pictures"], json.loads(path.read_text())["layouts"], strict=False
        ):
            assert [names[one[0]] for one in row["layouts"][place]] == [
                one["category"] for one in known["objects"]
            ]
            numbers = [[*one["box"], one["score"] / 10] for one in known["objects"]]
            assert [one[1:] for one in row["layouts"][place]] == [
                [round(1000 * value) for value in one] for one in numbers
            ]
            assert row["ratio"] == pytest.approx(
                (known["width"] or 1) / (known["height"] or 1), 1e-3
            )
    said = json.loads(inputs.files["captions"][2].read_text())
    for row, result in zip(data["pictures"], said, strict=True):
        text, _, _, more = row["captions"][2]
        attention = more["objects"]
        assert len(attention) == len(text.split(" ")) == len(result["attention"])
        for flat, weights in zip(attention, result["attention"], strict=True):
            shares = dict(zip(flat[::2], flat[1::2], strict=True))
            rest = 25 if weights else 100
            assert shares.pop(-1) == rest
            assert shares == {at: round(100 * v) for at, v in enumerate(weights) if round(100 * v)}
        assert len(row["captions"][1]) == 3


def test_layouts_alone_make_a_page_and_a_figure(tmp_path):
    out = run(
        tmp_path, make(tmp_path, reads=READS), images=None, figure=tmp_path / "out" / "figure.png"
    )
    data = embedded(out / "index.html")
    assert all("image" not in row and row["layouts"] for row in data["pictures"])
    with Image.open(out / "figure.png") as image:
        assert image.width > image.height
        colours = {f"#{bytes(rgb).hex()}" for _, rgb in image.convert("RGB").getcolors(1 << 24)}
    assert {colour for _, colour, _ in data["categories"]} & colours


def test_images_that_are_centre_squares_get_boxes_of_the_squares(tmp_path):
    inputs = make(tmp_path, reads=READS)
    with h5py.File(inputs.files["images"], "r+") as file:
        file.attrs["mode"] = "crop"
    data = embedded(run(tmp_path, inputs) / "index.html")
    known = json.loads(inputs.files["layouts"][0].read_text())["layouts"]
    for row, record in zip(data["pictures"], known, strict=False):
        boxes = [thing["box"] for thing in record["objects"]]
        if record["width"]:
            boxes = [layouts.centred(box, record["width"], record["height"]) for box in boxes]
        assert row["ratio"] == 1
        assert [one[1:5] for one in row["layouts"][0]] == [
            [round(1000 * edge) for edge in box] for box in boxes
        ]


def test_detectors_are_in_both_tables(tmp_path):
    inputs = make(tmp_path, reads=("truth", ".", "<b>|"), categories=("<i>", "dog"))
    out = run(tmp_path, inputs)
    text, html = (out / "table.md").read_text(), (out / "index.html").read_text()
    assert "| truth | test | 0.294 | 0.458 | 0.300 | 1,234 | 12.3 |" in text
    assert "| &lt;b>\\| | test | 0.294 | 0.458 | 0.300 | 1,234 | 13.3 |" in text
    assert '<th scope="row">&lt;b&gt;|</th><td>test</td><td>0.294</td>' in html
    assert "<b>" not in html and "<i>" not in html
    edit(inputs.files["detector_scores"][0], lambda table: table.pop("test") and None)
    assert "| truth | test |  |  |  |  | 12.3 |" in (run(tmp_path, inputs) / "table.md").read_text()
    bare = run(tmp_path, inputs, detectors=None, detector_scores=None)
    assert "Detectors" not in (bare / "table.md").read_text() + (bare / "index.html").read_text()


def test_a_large_report_stays_a_few_megabytes(tmp_path):
    systems = tuple(f"s{at}/train" for at in range(10))
    inputs = make(tmp_path, systems, count=200, reads=("truth",) * 10)
    page = run(tmp_path, inputs) / "index.html"
    assert len(embedded(page)["pictures"]) == 200
    assert page.stat().st_size < 3e6


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        (
            "layouts",
            lambda value: value.pop("categories") and None,
            "not a layouts file of snakecap",
        ),
        (
            "layouts",
            lambda value: value["layouts"][0]["objects"][0].update(box=[1, 2]),
            "layouts file",
        ),
        ("layouts", lambda _: [1], "not a layouts file of snakecap"),
        ("detectors", lambda _: [1], "is not about a detector"),
        (
            "detector_scores",
            lambda value: value["test"].pop("AP") * 0,
            "is not scores of a detector: test.AP",
        ),
        (
            "captions",
            lambda rows: rows[0]["attention"].pop() and None,
            "picture 100 needs a row for",
        ),
        (
            "captions",
            lambda rows: rows[0]["attention"][2].pop() and None,
            "a weight for each of the 1",
        ),
        (
            "captions",
            lambda rows: rows[0].update(attention="x"),
            "entry 1.attention: Input should be",
        ),
    ],
)
def test_wrong_layouts_are_named(tmp_path, file, change, words):
    inputs = make(tmp_path, reads=READS)
    edit(inputs.files[file][0], change)
    with pytest.raises(ValueError, match=words):
        run(tmp_path, inputs)
    assert not (tmp_path / "out").exists()


def test_what_systems_read_must_be_there(tmp_path):
    inputs = make(tmp_path, reads=READS)
    with pytest.raises(ValueError, match="other / frozen reads the layout net, which is not given"):
        run(tmp_path, inputs, layouts=inputs.files["layouts"][:1])
    with pytest.raises(ValueError, match="3 systems, but 2 reads"):
        run(tmp_path, inputs, reads=["truth", "."])
    with pytest.raises(ValueError, match="2 detectors, but 1 detector_scores"):
        run(tmp_path, inputs, detector_scores=inputs.files["detector_scores"][:1])
