import json
import re
from itertools import combinations, pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from snakecap.report import curves, entries, figure, gallery, page, tables
from snakecap.report.differences import bootstrap, differences
from snakecap.report.entries import Entry, Said


def entry(name: str, stage: str = "frozen", ciders=(0.1, 0.2, 0.3), **changes) -> Entry:
    table = {str(at): float(value) for at, value in enumerate(ciders)}
    return Entry(name, stage, per_picture=table, scores={"CIDEr": 0.2}, **changes)


def texts(entries):
    detectors, captions = tables.detectors([], [], []), tables.diversity(entries)
    return tables.texts(tables.scores(entries), differences([]), detectors, captions)


def markdown(entries) -> str:
    """The README's table."""
    return page.render("table.md", whole=False, subtitle="", tables=texts(entries))


def pairs_of(found) -> list[tuple[str, str]]:
    return list(zip(found["from"], found["to"], strict=True))


def history(last: int, start: float = 3.0) -> dict:
    return {
        "iteration": last,
        "loss_history": {str(at): start - at / 1000 for at in range(10, last + 1, 10)},
        "val_loss_history": {str(last // 2): 2.5, str(last): 2.4},
        "val_lang_stats_history": {str(last): {"CIDEr": 0.3}},
        "seconds": 60,
    }


@pytest.mark.parametrize(
    ("system", "family", "seed"),
    [
        ("a", "a", None),
        ("a_seed3", "a", 3),
        ("a_seed", "a_seed", None),
        ("a_seedy1", "a_seedy1", None),
    ],
)
def test_seed_is_read_from_the_name(system, family, seed):
    assert (entry(system).family, entry(system).seed) == (family, seed)


# Differences


def test_paired_interval_is_the_normal_one_for_many_pictures():
    generator = np.random.default_rng(0)
    first = generator.normal(0.5, 1.0, 4000)
    second = first + generator.normal(0.03, 0.2, 4000)
    (found,) = differences([entry("a", ciders=first), entry("b", ciders=second)]).itertuples()
    half = 1.96 * np.std(second - first, ddof=1) / np.sqrt(4000)
    assert found.CIDEr == pytest.approx(float((second - first).mean()))
    expected = (found.CIDEr - half, found.CIDEr + half)
    assert (found.low, found.high) == pytest.approx(expected, abs=0.05 * half)


def test_paired_difference_is_exact_when_it_is_the_same_everywhere():
    (found,) = differences([entry("a", ciders=[0] * 50), entry("b", ciders=[0.25] * 50)]).values
    assert found.tolist() == ["a", "b", 0.25, 0.25, 0.25, 50]
    assert bootstrap(np.full(50, 0.25)) == (0.25, 0.25)


def test_stages_then_systems_are_compared():
    found = differences([entry("a"), entry("a", "fine"), entry("a", "more"), entry("b")])
    assert pairs_of(found) == [
        ("a / frozen", "a / fine"),
        ("a / fine", "a / more"),
        ("a / more", "b / frozen"),
    ]


def test_few_systems_are_compared_with_each_other():
    found = differences([entry(f"s{at}") for at in range(5)])
    assert pairs_of(found) == list(combinations([f"s{at}" for at in range(5)], 2))


def test_many_systems_are_compared_with_the_one_before_and_with_the_best():
    entries = [entry(f"s{at}", ciders=(at % 5, at % 5)) for at in range(8)]
    found = differences(entries)
    pairs = pairs_of(found)
    steps = list(pairwise(f"s{at}" for at in range(8)))
    # s3 and s5 are the best's neighbours already.
    assert pairs == steps + [(f"s{at}", "s4") for at in (0, 1, 2, 6, 7)]
    means = dict(zip(pairs, found["CIDEr"], strict=True))
    assert means["s0", "s1"] == 1 and means["s4", "s5"] == -4 and means["s0", "s4"] == 4


def test_many_systems_with_stages_are_compared_after_their_last():
    entries = [entry(f"s{at}", stage) for at in range(6) for stage in ("one", "two")]
    pairs = pairs_of(differences(entries))
    assert pairs[:6] == [(f"s{at} / one", f"s{at} / two") for at in range(6)]
    assert all(name.endswith("/ two") for pair in pairs[6:] for name in pair)
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)


def test_named_systems_are_compared_and_no_others():
    entries = [entry(f"s{at}", stage) for at in range(7) for stage in ("one", "two")]
    found = differences(entries, [("s5", "s1"), ("s0", "not_compared"), ("s2", "s3")])
    pairs = pairs_of(found)
    assert pairs[7:] == [("s5 / two", "s1 / two"), ("s2 / two", "s3 / two")]
    assert differences([entry("a"), entry("b")], [("a", "x")]).empty, "no others in their place"


def test_seeds_enter_with_their_mean_over_pictures_they_share():
    runs = [entry("a_seed1", ciders=(0, 1)), entry("a_seed2", ciders=(1, 2, 9))]
    (found,) = differences([*runs, entry("b", ciders=(1, 2, 3))]).itertuples()
    assert (found.CIDEr, found.pictures) == (pytest.approx(0.5), 2)


def test_nothing_in_common_is_no_difference():
    other = Entry("b", "frozen", per_picture={"x": 1.0})
    assert differences([entry("a"), other]).empty


# Table


def test_a_means_interval_is_of_the_pictures_means():
    generator = np.random.default_rng(1)
    runs = generator.gamma(1.0, 0.8, (3, 500))
    seeded = [entry(f"a_seed{at}", ciders=row) for at, row in enumerate(runs)]
    mean = tables.scores(seeded).iloc[0]
    pictures = runs.mean(0)
    half = 1.96 * pictures.std(ddof=1) / np.sqrt(500)
    expected = (pictures.mean() - half, pictures.mean() + half)
    assert mean["row"] == "mean"
    assert (mean["CIDEr_low"], mean["CIDEr_high"]) == pytest.approx(expected, abs=half / 8)
    assert re.search(r"0\.200 ± 0\.000 \[\d\.\d{3}, \d\.\d{3}\]", markdown(seeded))


def test_stages_have_a_column_when_they_differ():
    def head(*stages):
        entries = [Entry(f"s{at}", stage, scores={"CIDEr": 0.2}) for at, stage in enumerate(stages)]
        text, html = markdown(entries), page.render("tables.html", tables=texts(entries))
        assert ('<td class="text">' in html) == ("| stage |" in text.splitlines()[0])
        return text.splitlines()[0]

    assert head("train", "train") == "| system | CIDEr |"
    assert head("frozen", "tuned") == "| system | stage | CIDEr |"


def test_columns_follow_what_is_there():
    entries = [Entry("a", "s", scores={"SPICE": 0.1, "CIDEr": 0.2, "Bleu_1": 0.3})]
    assert tables.numbers(tables.scores(entries)) == ["Bleu_1", "CIDEr", "SPICE"]
    assert "**" not in markdown(entries).split("\n\n")[0]  # one row is not the best of any


def test_names_cannot_break_the_markdown():
    names = [("a|b<c>", "s\nt"), ("other", "t")]
    text = markdown([Entry(*name, scores={"CIDEr": 0.2}) for name in names])
    assert "| a\\|b&lt;c> | s t | **0.200** |" in text


# Curves


def test_stages_are_drawn_end_to_end():
    first, second = entry("a", history=history(100)), entry("a", "fine", history=history(60))
    (line,) = curves.lines([first, second])
    assert line.ends == [(100, "frozen"), (160, "fine")]
    assert [at for at, _ in line.validation] == [50, 100, 130, 160]
    assert [at for at, _ in line.loss] == [*range(10, 101, 10), *range(110, 161, 10)]


@pytest.mark.parametrize("length", [1, 20, 33, 60])
def test_the_legend_stays_within_the_drawing(length, monkeypatch):
    """Measured by matplotlib itself."""
    from matplotlib.figure import Figure

    kept = []
    save = Figure.savefig

    def look(self, *args, **options):
        save(self, *args, **options)
        kept.append((self.legends[0].get_window_extent(), self.bbox))

    monkeypatch.setattr(Figure, "savefig", look)
    names = [chr(97 + at) * length for at in range(9)]
    curves.draw([Entry(name, "frozen", history=history(20)) for name in names])
    ((legend, whole),) = kept
    assert legend.x0 >= whole.x0 and legend.x1 <= whole.x1


@pytest.mark.parametrize("count", [1, 2, 10, 12])
def test_curves_are_one_standalone_svg(count):
    entries = [entry(f"system {at} $x_1$ <&>", history=history(100)) for at in range(count)]
    svg = curves.draw(entries)
    root = ElementTree.fromstring(svg)
    texts = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {f"system {at} $x_1$ <&>" for at in range(count)} <= set(texts)
    assert "currentColor" in svg and curves.INK not in svg and "metadata" not in svg
    assert svg == curves.draw(entries)
    used = {colour for colour in curves.COLOURS if colour in svg}
    assert len(used) == min(count, len(curves.COLOURS))


def test_values_that_are_not_numbers_are_left_out():
    broken = {"iteration": 30, "loss_history": {"10": float("nan"), "20": 2.0, "30": None}}
    (line,) = curves.lines([entry("a", history=broken)])
    assert line.loss == [(20, 2.0)]
    ElementTree.fromstring(curves.draw([entry("a", history=broken)]))


def test_stage_without_any_value_still_moves_the_next():
    empty = {"iteration": 40, "val_lang_stats_history": {"40": {}}}
    (line,) = curves.lines([entry("a", history=empty), entry("a", "b", history=history(20))])
    assert line.ends == [(40, "frozen"), (60, "b")] and line.cider == [(60, 0.3)]


# Page


@given(st.text(st.characters(), max_size=60))
def test_embedded_data_is_ascii_and_comes_back(text):
    data = page.embedded({"caption": text})
    assert data.isascii() and not re.search("[<>&\n]", data)
    assert json.loads(data) == {"caption": text}


def test_numbers_without_a_json_word_are_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        page.embedded({"cider": float("nan")})


def test_text_that_looks_like_the_template_stays_text():
    html = page.build(title="{{script}} <b>", subtitle="{{data}}", data={"pictures": ["{{style}}"]})
    assert "<h1>{{script}} &lt;b&gt;</h1>" in html and "<p>{{data}}</p>" in html
    assert html.count('"use strict"') == 1


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(0, 0, (60, 60)), (500, 500, (60, 60)), (400, 200, (60, 30)), (3, 4000, (1, 60))],
)
def test_squashed_pictures_get_their_proportions_back(width, height, size):
    assert gallery.stretch(Image.new("RGB", (60, 60)), width, height).size == size


# Figure


def test_figure_grows_with_its_captions():
    image = Image.new("RGB", (40, 30), "red")
    short = figure.draw([figure.Panel(image, [("a", "#123456", "a dog")])] * 2)
    long = figure.draw([figure.Panel(image, [("a", "#123456", "a dog " * 200)])] * 2)
    assert short.width == long.width and short.height < long.height < 3 * short.height
    assert (255, 0, 0) in {colour for _, colour in short.getcolors(1 << 24)}


def test_figure_cuts_long_names_and_draws_labels_apart():
    font = figure.font("DejaVuSans-Bold.ttf", 11)
    cut = figure._cut("objname_location_" * 9, font)
    assert cut.endswith("…") and font.getlength(cut) <= (figure.SIDE - 14) * figure.SCALE
    assert figure._cut("objname", font) == "objname"


def test_figure_draws_boxes_in_place_and_one_label_where_two_would_overlap():
    def outline(colour, *box):
        return figure.Outline("dog", colour, "#ffffff", box)

    image = Image.new("RGB", (500, 400), "white")
    figure._outline(
        image, [outline("#00aa00", 0.1, 0.1, 0.7, 0.7), outline("#aa0000", 0.1, 0.1, 0.8, 0.8)]
    )
    assert image.getpixel((449, 200)) == (170, 0, 0) and image.getpixel((399, 200)) == (0, 170, 0)
    assert image.getpixel((50, 200)) == (0, 170, 0) and image.getpixel((49, 200)) == (255,) * 3
    label = [image.getpixel((x, 44)) for x in range(53, 73)]
    assert (170, 0, 0) in label and (0, 170, 0) not in label, "the largest has it"


def test_wrapped_lines_fit_and_keep_the_words():
    font = figure.font("DejaVuSans.ttf", 13)
    text = "two small dogs chase a red ball over the wet grass of a large park"
    lines = figure._wrap(text, font, 120, most=99)
    assert " ".join(lines) == text and len(lines) > 2
    assert all(font.getlength(line) <= 120 * figure.SCALE for line in lines)
    assert len(figure._wrap(text, font, 120, most=2)) == 2


def test_a_metric_of_any_name_is_shown():
    """The number of pictures stands beside the scores, and is none."""
    table = {"CIDEr": 1.0, "word_precision": 0.5, "pictures": 4, "code": "x", "per_image": {}}
    assert entries.Scored(**table).metrics() == {"CIDEr": 1.0, "word_precision": 0.5}


def test_what_captions_are_like_is_a_mean_over_seeds():
    def entry(seed, *said):
        captions = {
            str(at): Said(at, text, -3.0, n_best=[{"caption": text}, {"caption": "a bird"}])
            for at, text in enumerate(said)
        }
        return Entry(f"one_seed{seed}", "last", captions=captions)

    runs = [entry(1, "A cat.", "a cat"), entry(2, "a dog", "two birds fly")]
    (row,) = tables.diversity(runs, ["a cat", "nothing"]).to_dict("records")
    assert row["system"] == "one" and row["words"] == 2.25
    assert row["distinct"] == 0.75 and row["vocabulary"] == 3.5 and row["new"] == 0.5
    assert row["perplexity"] == pytest.approx((np.exp(1) + np.exp(6 / 7)) / 2)
    assert row["Div_1"] == pytest.approx(((3 / 4) + (3 / 4 + 1) / 2) / 2)
