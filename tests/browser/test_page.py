"""The report's page in a real browser, opened from disk (check E5 for vis.json).

Needs Debian's `chromium`; SNAKECAP_NO_BROWSER=1 says that this machine has none.
"""

import functools
import http.server
import json
import os
import sys
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

sys.path.append(str(Path(__file__).parents[1]))

from report_inputs import make

from snakecap.config.settings import Report
from snakecap.formats import vis
from snakecap.server import viewer as opening
from snakecap.steps.report import report

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif("SNAKECAP_NO_BROWSER" in os.environ, reason="SNAKECAP_NO_BROWSER is set"),
]
CHROMIUM = os.environ.get("SNAKECAP_CHROMIUM", "/usr/bin/chromium")
SYSTEMS = ("plain/frozen", "plain/finetune", "other/frozen")
HOSTILE = {
    100: "<script>document.title='owned'</script>",
    101: "</script><script>document.title='owned'</script>",
    102: "<img src=x onerror=\"document.title='owned'\"> \"quotes\" & 'more' <!-- ",
    103: "a dog \U0001f415 says \u05e9\u05dc\u05d5\u05dd and \u0645\u0631\u062d\u0628\u0627",
    104: "line\nbreak\u2028separator\u0000zero {{script}} $& \\u003c",
    105: "",
    106: "\ud83d lone surrogate",
    107: "</script nothing=1",
    108: "<!-- <script ",
}


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    assert Path(CHROMIUM).exists(), (
        f"{CHROMIUM} is missing: apt-get install chromium, name one in SNAKECAP_CHROMIUM, or set "
        "SNAKECAP_NO_BROWSER=1 to leave these tests out"
    )
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def html(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    captions = {("plain/frozen", identity): text for identity, text in HOSTILE.items()}
    references = {identity: [text, "a plain reference"] for identity, text in HOSTILE.items()}
    inputs = make(folder, SYSTEMS, count=20, captions=captions, references=references)
    report(**inputs.arguments(folder, settings=Report(title="Two <systems> & more")))
    return folder / "index.html"


READS = ("truth", ".", "net")
CATEGORIES = ("person", "<img src=x onerror=\"document.title='owned'\">", "</script> & \u05e9")


@pytest.fixture(scope="module")
def layouts(tmp_path_factory) -> Path:
    """A report whose first and last systems read layouts; pictures of every proportion."""
    folder = tmp_path_factory.mktemp("layouts")
    captions = {("plain/frozen", identity): text for identity, text in HOSTILE.items()}
    inputs = make(folder, SYSTEMS, count=20, captions=captions, reads=READS, categories=CATEGORIES)
    report(**inputs.arguments(folder, settings=Report(title="Layouts")))
    return folder / "index.html"


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """Layouts without photos, one of them of 40 objects."""
    folder = tmp_path_factory.mktemp("alone")
    inputs = make(folder, SYSTEMS, count=4, reads=("truth", "truth", "truth"))
    path = inputs.files["layouts"][0]
    value = json.loads(path.read_text())
    boxes = [[0.1 * (at % 8), 0.17 * (at // 8), 0.14, 0.2] for at in range(40)]
    value["layouts"][0]["objects"] = [
        {"category": f"a long name {at % 7}", "box": box, "score": 1}
        for at, box in enumerate(boxes)
    ]
    path.write_text(json.dumps(value))
    captions = [
        [{**row, "attention": None} for row in json.loads(path.read_text())]
        for path in inputs.files["captions"]
    ]
    for path, rows in zip(inputs.files["captions"], captions, strict=True):
        path.write_text(json.dumps(rows))
    report(**inputs.arguments(folder, images=None))
    return folder / "index.html"


@pytest.fixture
def page(browser):
    """A page that fails the test on a console message, an error or a request to the network."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    problems: list[str] = []
    tab.on("console", lambda message: problems.append(message.text))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on(
        "request",
        lambda request: (
            request.url.startswith(("file:", "data:", "blob:", "http://127.0.0.1"))
            or problems.append(request.url)
        ),
    )
    tab.problems = problems
    yield tab
    context.close()
    assert problems == []


def visit(tab, path: Path, rest: str = "") -> None:
    tab.goto(path.as_uri() + rest)
    tab.wait_for_selector("#count:not(:empty)")


def files(tab) -> list[str]:
    return tab.locator("article h3").all_text_contents()


def texts(tab, card: int, selector: str) -> list[str]:
    return tab.locator("article").nth(card).locator(selector).all_text_contents()


def state(tab) -> dict[str, list[str]]:
    return parse_qs(urlsplit(tab.url).fragment)


def ciders(html: Path, system: int) -> list[float]:
    """Of every picture, by file, from the file that the page was made of."""
    scores = json.loads((html.parent / SYSTEMS[system] / "scores.json").read_text())
    return [row["CIDEr"] for row in scores["per_image"].values()]


def search(tab, text: str) -> None:
    tab.fill("#search", text)
    tab.wait_for_function(
        "text => new URLSearchParams(location.hash.slice(1)).get('q') === (text || null)", arg=text
    )


def test_shows_every_picture_with_image_captions_and_references(page, html):
    visit(page, html)
    assert page.title() == "Two <systems> & more"
    assert page.text_content("#count") == "20 pictures"
    assert files(page) == [f"photos/{at:03d}.jpg" for at in range(20)]
    assert texts(page, 10, ".system") == ["plainfrozen", "plainfinetune", "otherfrozen"]
    assert len(texts(page, 10, "dd")) == 3 and len(texts(page, 10, ".references li")) == 3
    assert texts(page, 10, ".score")[1] == f"{ciders(html, 1)[10]:.2f}"
    page.locator("article").nth(19).scroll_into_view_if_needed()
    page.wait_for_function(
        "() => [...document.querySelectorAll('article img')].every(image => image.naturalWidth)"
    )
    assert page.locator("article img").count() == 20
    assert page.locator("#curves svg").count() == 1
    assert page.locator(".scores tbody tr").count() == 3


def test_hostile_text_stays_text(page, html):
    visit(page, html)
    for at, text in enumerate(HOSTILE.values()):
        assert texts(page, at, "dd")[0] == text or (text == "" and texts(page, at, "dd em"))
        assert texts(page, at, ".references li")[0] == text
    assert page.title() == "Two <systems> & more"
    assert page.locator("article script, article dd img, article li img").count() == 0
    assert page.locator("body > script").count() == 3
    # A right-to-left caption sets its own direction.
    assert page.locator("article dd").first.get_attribute("dir") == "auto"


def test_policy_stops_a_script_that_got_in(page, html):
    visit(page, html)
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "document.title = 'owned'";
          document.body.append(script);
          const image = "<img src=data:, onerror='document.title=1'>";
          document.body.insertAdjacentHTML("beforeend", image);
        }"""
    )
    page.wait_for_timeout(100)
    assert page.title() == "Two <systems> & more"
    assert len([text for text in page.problems if "Executing inline" in text]) == 2
    page.problems.clear()


def test_search_filters_marks_and_is_undone(page, html):
    visit(page, html)
    search(page, "plain reference")
    assert page.text_content("#count") == "9 of 20 pictures"
    assert set(page.locator("article mark").all_text_contents()) == {"plain", "reference"}
    search(page, '"a plain" -quotes')
    assert page.text_content("#count") == "8 of 20 pictures"
    search(page, "photos/012")
    assert files(page) == ["photos/012.jpg"]
    search(page, "(.*[")
    assert files(page) == [] and page.is_visible("#empty")
    page.keyboard.press("Escape")
    assert page.text_content("#count") == "20 pictures" and page.input_value("#search") == ""


def test_sorts_by_score_difference_and_disagreement(page, html):
    visit(page, html)
    first, second = ciders(html, 0), ciders(html, 1)
    names = [f"photos/{at:03d}.jpg" for at in range(20)]

    def expected(value, down):
        order = sorted(range(20), key=lambda at: -value(at) if down else value(at))
        return [names[at] for at in order]

    assert not page.is_visible("#system")
    page.select_option("#sort", "score")
    page.select_option("#system", label="plain / finetune")
    assert files(page) == expected(lambda at: second[at], False)
    page.click("#order")
    assert files(page) == expected(lambda at: second[at], True)
    page.select_option("#sort", "difference")
    page.select_option("#system", label="plain / finetune")
    page.select_option("#other", label="plain / frozen")
    assert files(page) == expected(lambda at: second[at] - first[at], True)
    best = max(b - a for a, b in zip(first, second, strict=True))
    assert page.text_content(".badge") == f"{best:+.3f}"
    page.select_option("#sort", "spread")
    values = list(zip(*(ciders(html, at) for at in range(3)), strict=True))
    assert files(page) == expected(lambda at: max(values[at]) - min(values[at]), True)
    page.select_option("#sort", "file")
    page.click("#order")
    assert files(page) == names[::-1]


def test_systems_can_be_hidden(page, html):
    visit(page, html)
    page.click("#systems summary")
    page.click("#choices label >> nth=1")
    assert texts(page, 3, ".system") == ["plainfrozen", "otherfrozen"]
    assert state(page)["show"] == ["plain / frozen", "other / frozen"]
    page.reload()
    assert texts(page, 3, ".system") == ["plainfrozen", "otherfrozen"]
    page.click("#systems summary")
    page.click("#choices label >> nth=1")
    assert "show" not in state(page)
    page.click("h1")
    assert not page.is_visible("#choices")


def test_address_keeps_the_state(page, html):
    visit(page, html)
    search(page, "plain")
    page.select_option("#sort", "difference")
    page.select_option("#system", label="other / frozen")
    page.locator("article").nth(2).locator("img").click()
    assert page.is_visible("#large")
    found = files(page)
    address, title = page.url, page.text_content("#large-title")
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector("#large[open]")
    assert page.text_content("#large-title") == title and page.text_content("#place") == "3 / 9"
    assert files(page) == found and page.input_value("#search") == "plain"
    page.evaluate("location.hash = 'q=photos/001'")
    page.wait_for_function("() => document.querySelectorAll('article').length === 1")
    assert not page.is_visible("#large") and page.input_value("#search") == "photos/001"


def test_address_with_nonsense_is_harmless(page, html):
    visit(page, html, "#sort=nonsense&of=x&minus=%F0%9F&open=none&order=up&q=%")
    page.wait_for_selector("#count:not(:empty)")
    assert page.input_value("#sort") == "list"


def test_keyboard_alone_is_enough(page, html):
    def place():
        return page.evaluate("Number(document.activeElement.dataset.at ?? -1)")

    visit(page, html)
    page.keyboard.press("ArrowDown")
    assert place() == -1, "until a picture is chosen the arrows scroll"
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert place() == 1
    page.keyboard.press("k")
    page.keyboard.press("ArrowRight")
    assert place() == 1
    columns = page.evaluate(
        "getComputedStyle(document.querySelector('#gallery')).gridTemplateColumns.split(' ').length"
    )
    assert columns > 1
    page.keyboard.press("ArrowDown")
    assert place() == 1 + columns
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert page.text_content("#large-title") == "photos/001.jpg"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("j")
    assert page.text_content("#large-title") == "photos/003.jpg"
    assert state(page)["open"] == ["103"]
    page.keyboard.press("Escape")
    assert not page.is_visible("#large") and place() == 3 and "open" not in state(page)
    page.keyboard.press("End")
    assert place() == 19
    page.keyboard.press("j")
    assert place() == 19
    page.keyboard.press("Home")
    assert place() == 0
    page.keyboard.press("?")
    assert page.is_visible("#help")
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    assert not page.is_visible("#help") and place() == 0
    page.keyboard.press("/")
    page.keyboard.type("jk?/")
    assert page.input_value("#search") == "jk?/"
    page.keyboard.press("Escape")
    assert page.input_value("#search") == "" and page.text_content("#count") == "20 pictures"


@pytest.mark.parametrize("name", ["html", "layouts", "alone"])
def test_everything_has_a_name_for_those_who_do_not_see_it(page, request, name):
    visit(page, request.getfixturevalue(name))
    nameless = page.evaluate(
        """[...document.querySelectorAll(
          'button, input, select, img, [role=img], [role=group], dialog, [role=region]')]
        .filter(node => !(node.getAttribute('aria-label') || node.getAttribute('alt')
          || node.getAttribute('aria-labelledby') || node.textContent.trim()
          || node.closest('label')?.textContent.trim()))
        .map(node => node.outerHTML)"""
    )
    assert nameless == []
    assert page.evaluate("document.querySelectorAll('#gallery [tabindex=\"0\"]').length") == 1
    page.keyboard.press("j")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) != "none"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.closest('dialog').id") == "large"


@pytest.mark.parametrize("name", ["html", "layouts", "alone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_and_nothing_is_wider_than_a_phone(browser, request, name, scheme):
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    tab = context.new_page()
    visit(tab, request.getfixturevalue(name))
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    tab.keyboard.press("j")
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.querySelector('#large').scrollWidth") <= 360
    for place in ["h1", ".note", ".captions dd", ".references li", ".score", "#count"]:
        assert tab.evaluate(CONTRAST, place) >= 4.5, place
    context.close()


CONTRAST = """place => {
  const node = document.querySelector(place);
  const light = text => {
    const [r, g, b] = text.match(/[0-9.]+/g).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let back = node;
  const clear = n => getComputedStyle(n).backgroundColor === 'rgba(0, 0, 0, 0)';
  while (clear(back) || back.id === 'toolbar') back = back.parentElement;
  const [a, b] = [getComputedStyle(node).color, getComputedStyle(back).backgroundColor]
    .map(light).sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}"""


def test_seeds_are_folded_away_until_asked_for(page, tmp_path):
    systems = ("a_seed1/frozen", "a_seed2/frozen", "b/frozen")
    inputs = make(tmp_path, systems, count=3)
    report(**inputs.arguments(tmp_path))
    visit(page, tmp_path / "index.html")
    assert texts(page, 0, ".system") == ["a_seed1", "b"], "one stage: its name says nothing"
    assert page.locator(".scores tbody tr:visible").count() == 2
    page.check("#seeds")
    assert page.locator(".scores tbody tr:visible").count() == 4


def test_many_pictures_stay_fast(page, tmp_path):
    inputs = make(tmp_path, SYSTEMS, count=5000)
    report(**inputs.arguments(tmp_path, settings=Report(shown=0)))
    visit(page, tmp_path / "index.html")
    assert page.text_content("#count") == "5,000 pictures"
    assert page.locator("article").count() < 200, "cards are drawn as the reader scrolls"
    page.mouse.wheel(0, 40_000)
    page.wait_for_function("() => document.querySelectorAll('article').length > 48")
    search(page, "photos/4321.")
    assert files(page) == ["photos/4321.jpg"]
    search(page, "")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert page.text_content("#place") == "5,000 / 5,000".replace(",", "")


def test_a_page_in_a_frame_works_without_an_address(page, html, tmp_path):
    """As in Snakemake's report, where the page has no address to change."""
    (tmp_path / "frame.html").write_text("<iframe width=1200 height=800></iframe>")
    page.goto((tmp_path / "frame.html").as_uri())
    page.evaluate(
        "html => document.querySelector('iframe').srcdoc = html", html.read_text(encoding="ascii")
    )
    from playwright.sync_api import expect

    frame = page.frame_locator("iframe")
    frame.locator("#search").fill("plain reference")
    expect(frame.locator("#count")).to_have_text("9 of 20 pictures")


# Layouts


def known(html: Path, name: str) -> list[list[dict]]:
    """The objects of every picture, from the file that the page was made of."""
    value = json.loads((html.parent / "layouts" / f"{name}.json").read_text())
    return [row["objects"] for row in value["layouts"]]


def label(tab, at: int = 0) -> str:
    """What a picture's layout says of itself."""
    return (
        tab.locator("article")
        .nth(at)
        .locator(".frame")
        .evaluate("frame => frame.querySelector('.layout')?.getAttribute('aria-label') || ''")
    )


def shown_labels(tab, place: str = "#large-body") -> list[str]:
    return tab.locator(f"{place} .label:visible").all_text_contents()


PLACES = """scene => {
  const image = scene.querySelector("img").getBoundingClientRect();
  const { naturalWidth: w, naturalHeight: h } = scene.querySelector("img");
  const scale = Math.min(image.width / w, image.height / h); /* object-fit: contain */
  const left = image.x + (image.width - w * scale) / 2;
  const top = image.y + (image.height - h * scale) / 2;
  const found = {};
  for (const box of scene.querySelectorAll(".layout > rect")) {
    const { x, y, width, height } = box.getBoundingClientRect();
    const pixels = [x - left, y - top, width, height];
    found[box.dataset.object] = pixels.map((v, at) => v / scale / (at % 2 ? h : w));
  }
  return found;
}"""


def test_boxes_lie_on_the_photo(page, layouts):
    visit(page, layouts)
    page.locator("article").nth(10).scroll_into_view_if_needed()
    page.wait_for_function(
        "() => [...document.images].slice(0, 12).every(image => image.naturalWidth)"
    )
    for at in range(12):  # 4:3, 3:4, unknown and so square, in turns
        scene = page.locator("article").nth(at)
        found, objects = scene.evaluate(PLACES), known(layouts, "truth")[at]
        assert len(found) == len(objects)
        for number, one in enumerate(objects):
            assert found[str(number)] == pytest.approx(one["box"], abs=0.02)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    objects = known(layouts, "truth")[0]
    found = page.locator("#large-body").evaluate(PLACES)
    assert [found[str(at)] for at in range(len(objects))] == [
        pytest.approx(one["box"], abs=0.02) for one in objects
    ]


def test_crowded_layouts_label_the_largest_and_the_rest_when_pointed_at(page, alone):
    visit(page, alone)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    assert page.locator("#large-body .layout > rect").count() == 40
    boxes = [node.bounding_box() for node in page.locator("#large-body .label:visible rect").all()]
    assert 5 < len(boxes) < 40
    for at, one in enumerate(boxes):
        for other in boxes[:at]:
            assert (
                one["x"] >= other["x"] + other["width"]
                or other["x"] >= one["x"] + one["width"]
                or one["y"] >= other["y"] + other["height"]
                or other["y"] >= one["y"] + one["height"]
            )
    hidden = page.locator("#large-body .label:not(.free)").first.get_attribute("data-label")
    page.hover(f'#large-body [data-object="{hidden}"]')
    assert shown_labels(page) == [f"a long name {int(hidden) % 7}"]
    page.mouse.move(2, 2)
    assert len(shown_labels(page)) == len(boxes)


def test_layouts_without_photos_are_drawn_on_paper(page, alone):
    visit(page, alone)
    assert page.locator("article .layout.plain").count() == 4
    assert page.locator("article img").count() == 0 and not page.is_visible(".none")
    assert "40" not in label(page) and label(page).startswith("Layout truth: 6 a long name 0")
    assert label(page, 2) == "Layout truth: no objects"
    sizes = [
        box["width"] / box["height"]
        for box in (page.locator("article .layout").nth(at).bounding_box() for at in range(3))
    ]
    assert sizes == pytest.approx([4 / 3, 3 / 4, 1], rel=0.01)
    assert page.locator(".layouts select:visible option").all_text_contents() == ["truth", "none"]
    page.keyboard.press("l")
    assert page.locator(".layout").count() == 0
    assert page.locator("article .none").first.text_content() == "no image"


def test_layouts_are_switched_and_chosen(page, layouts):
    visit(page, layouts)
    choice = page.locator("#toolbar .layouts select")
    assert choice.locator("option").all_text_contents() == ["truth", "net", "none"]
    assert label(page, 1).startswith("Layout truth: 1 ")
    choice.select_option(label="net")
    assert label(page, 1).startswith("Layout net: 1 ") and state(page)["layout"] == ["net"]
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("l")
    assert page.locator(".layout").count() == 0 and choice.input_value() == "-1"
    assert page.text_content("#spoken") == "Layout: none"
    page.reload()
    page.wait_for_selector("article")
    assert page.locator(".layout").count() == 0, "the address keeps it"
    page.keyboard.press("l")
    assert label(page, 1).startswith("Layout truth"), "l brings back the first"
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.locator("#large .layouts select").select_option(label="net")
    page.evaluate("document.activeElement.blur()")
    assert page.locator("#large-body .layout").get_attribute("aria-label").startswith("Layout net")
    page.keyboard.press("l")
    assert page.locator(".layout").count() == 0 and page.locator(".objects button").count() == 0
    page.keyboard.press("l")
    assert label(page).startswith("Layout net") and page.locator(".objects button").count() == 1
    page.keyboard.press("?")
    assert "layouts on and off" in page.locator("#help").text_content()


@pytest.mark.parametrize(("words", "shown"), [("layout=", ""), ("layout=x", "Layout truth")])
def test_layout_of_the_address(page, layouts, words, shown):
    visit(page, layouts, f"#{words}")
    assert label(page).startswith(shown) and bool(label(page)) == bool(shown)


def attention(html: Path, system: int, at: int) -> list[list[int]]:
    rows = json.loads((html.parent / SYSTEMS[system] / "captions.json").read_text())
    return [[round(100 * share) for share in row] for row in rows[at]["attention"]]


def test_words_show_what_they_look_at(page, layouts):
    visit(page, layouts)
    page.keyboard.press("j")
    for _ in range(9):
        page.keyboard.press("j")
    page.keyboard.press("Enter")
    assert page.text_content("#large-title") == "photos/009.jpg"
    names = {
        name: [one["category"] for one in known(layouts, name)[9]] for name in ("truth", "net")
    }
    assert label(page, 9).startswith("Layout truth")
    groups = page.locator("#large-body .captions .words")
    assert groups.count() == 2, "plain/finetune reads no layout"
    for group, (name, system) in enumerate((("truth", 0), ("net", 2))):
        words = groups.nth(group).locator(".word")
        rows = attention(layouts, system, 9)
        assert words.count() == len(rows)
        for at, row in enumerate(rows):
            words.nth(at).hover()
            layout = page.locator("#large-body .layout")
            assert layout.get_attribute("aria-label").startswith(f"Layout {name}")
            expected = {f"{names[name][k]} {share} %" for k, share in enumerate(row) if share >= 5}
            assert set(shown_labels(page)) == expected
            edge = layout.bounding_box()["x"] + layout.bounding_box()["width"]
            for box in [n.bounding_box() for n in page.locator("#large-body .label:visible").all()]:
                assert box["x"] + box["width"] <= edge + 1
            widths = [
                layout.locator(f'[data-object="{k}"]').evaluate(
                    "box => parseFloat(getComputedStyle(box).strokeWidth)"
                )
                for k in range(len(row))
            ]
            assert sorted(range(len(row)), key=lambda k: widths[k]) == sorted(
                range(len(row)), key=lambda k: row[k]
            ) or len(set(row)) < len(row)
            assert page.locator("#large-body .frame").get_attribute("data-elsewhere") == (
                "elsewhere 25 %"
            )
    page.hover("#large-title")
    assert (
        page.locator("#large-body .layout").get_attribute("aria-label").startswith("Layout truth")
    )
    assert page.locator("#large-body .layout.asked").count() == 0


def test_words_are_reached_by_keyboard(page, layouts):
    visit(page, layouts, "#open=109")
    page.wait_for_selector("#large[open]")

    def word():
        return page.evaluate("document.activeElement.dataset.word ?? null")

    for _ in range(9):
        page.keyboard.press("Tab")
        if word() is not None:
            break
    assert word() == "0", "one stop for a caption"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert word() == "1" and page.text_content("#large-title") == "photos/009.jpg"
    row = attention(layouts, 0, 9)[1]
    title = page.evaluate("document.activeElement.title")
    assert title.startswith("person") or CATEGORIES[1] in title or CATEGORIES[2] in title
    assert f" {max(row)} %" in title and "elsewhere 25 %" in title
    assert len(shown_labels(page)) == sum(share >= 5 for share in row)
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    assert word() == "7"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.system") == "2" and word() == "0"
    page.keyboard.press("Shift+Tab")
    assert word() == "7", "it remembers the word"
    page.keyboard.press("j")
    assert page.text_content("#large-title") == "photos/010.jpg"
    assert page.evaluate("document.activeElement.id") == "large-title"


def test_categories_are_pointed_at(page, layouts):
    visit(page, layouts, "#open=103")
    page.wait_for_selector("#large[open]")
    chips = page.locator(".objects button")
    assert sorted(chips.all_text_contents()) == sorted(
        [f"{CATEGORIES[0]} \u00d7 2", CATEGORIES[1], CATEGORIES[2]]
    )
    colours = chips.locator(".dot").evaluate_all("dots => dots.map(dot => dot.style.background)")
    assert len(set(colours)) == 3
    chips.first.focus()
    opaque = page.locator("#large-body .layout > rect").evaluate_all(
        "boxes => boxes.filter(box => getComputedStyle(box).strokeOpacity === '1').length"
    )
    assert opaque == 2


def test_cards_show_attention_where_one_points(page, layouts):
    visit(page, layouts)
    scene = page.locator("article").nth(9)
    assert scene.locator(".words button").count() == 0, "Tab enters the gallery once"
    scene.locator(".words").nth(1).locator(".word").nth(2).hover()
    assert label(page, 9).startswith("Layout net")
    assert page.locator(".layout.asked").count() == 1
    page.hover("#count")
    assert label(page, 9).startswith("Layout truth") and not page.locator(".layout.asked").count()
    search(page, '"red circle"')
    assert page.locator("article dd mark").count() == len(
        [text for text in page.locator("article dd").all_text_contents() if "red circle" in text]
    ), "a mark may span words"


def test_hostile_categories_and_words_stay_text(page, layouts):
    visit(page, layouts)
    page.keyboard.press("j")
    for at in range(9):
        page.keyboard.press("Enter")
        dd = page.locator("#large-body dd").first.text_content()
        assert dd == (" ".join(list(HOSTILE.values())[at].split()) or "(empty)")
        for word in page.locator("#large-body .word").all()[:3]:
            word.hover()
        page.keyboard.press("Escape")
        page.keyboard.press("j")
    assert page.title() == "Layouts"
    assert page.locator("article script, .layout img, .objects img, article dd img").count() == 0
    assert CATEGORIES[1] in label(page, 0) + label(page, 1) + label(page, 3)


def test_pages_without_layouts_have_no_choice_of_them(page, html):
    visit(page, html)
    assert page.locator(".layouts:visible, .layout").count() == 0
    page.keyboard.press("l")
    assert "layout" not in state(page) and page.text_content("#spoken") == ""
    page.keyboard.press("?")
    assert page.locator("#help .layouts:visible").count() == 0


def test_vis_json_in_a_page_with_layouts(page, layouts, folder):
    visit(page, layouts)
    page.set_input_files("#file", str(folder / "vis.json"))
    page.wait_for_function("() => document.querySelectorAll('article').length === 3")
    page.keyboard.press("l")
    assert page.locator(".layout, .layouts:visible").count() == 0
    page.click("#back")
    assert label(page).startswith("Layout truth")
    page.problems.clear()  # imgs/ is not beside this page


# NeuralTalk2's vis.json

VIS = [
    {"image_id": 391895, "caption": "a man riding a <b>wave</b> on a surfboard"},
    {"image_id": "522418", "caption": "</script><script>document.title='owned'</script>"},
    {"image_id": 3, "caption": "a dog \U0001f415", "file_name": "dogs/3.jpg"},
]


@pytest.fixture
def folder(tmp_path) -> Path:
    for number, colour in enumerate(["red", "green", "blue"], start=1):
        Image.new("RGB", (30, 20), colour).save(tmp_path / f"{number}.jpg")
    rows = [{**row, "file_name": f"{number}.jpg"} for number, row in enumerate(VIS, start=1)]
    vis.write(tmp_path / "vis", rows, root=tmp_path, captions=False)
    (tmp_path / "vis" / "vis.json").write_text(json.dumps(VIS))
    return tmp_path / "vis"


def check_vis(tab, images=True):
    tab.wait_for_function("() => document.querySelectorAll('article').length === 3")
    assert tab.locator("article dd").all_text_contents() == [row["caption"] for row in VIS]
    assert tab.locator("article b, article script").count() == 0
    assert not tab.is_visible("#message")
    enabled = [
        option.get_attribute("value") for option in tab.locator("#sort option:enabled").all()
    ]
    assert enabled == ["list", "file"]
    if images:
        tab.wait_for_function(
            "() => [...document.images].filter(image => image.naturalWidth === 30).length === 3"
        )


def test_vis_json_opens_from_disk_as_a_page_of_its_own(page, folder):
    visit(page, opening.find(folder))
    check_vis(page)
    assert page.title() == "Captions of vis.json"


def test_vis_json_is_picked_and_put_back(page, html, folder):
    visit(page, html)
    images = [str(path) for path in sorted((folder / "imgs").iterdir())]
    page.set_input_files("#file", [str(folder / "vis.json"), *images])
    check_vis(page)
    assert "3 captions" in page.text_content("#source")
    page.click("#back")
    assert page.text_content("#count") == "20 pictures" and not page.is_visible("#source")


def test_vis_json_is_dropped(page, html):
    visit(page, html)
    data = page.evaluate_handle(
        """text => {
          const data = new DataTransfer();
          data.items.add(new File([text], "vis.json", {type: "application/json"}));
          return data;
        }""",
        json.dumps(VIS),
    )
    page.dispatch_event("body", "dragover", {"dataTransfer": data})
    assert page.is_visible("#drop")
    page.dispatch_event("body", "drop", {"dataTransfer": data})
    check_vis(page, images=False)
    assert not page.is_visible("#drop")
    page.locator("article .none").nth(2).wait_for()  # imgs/ is not beside this page
    assert all("ERR_FILE_NOT_FOUND" in text for text in page.problems)
    page.problems.clear()


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "[1]", '[{"image_id": 1}]', "null"])
def test_other_json_is_refused_and_the_report_stays(page, html, tmp_path, text):
    (tmp_path / "other.json").write_text(text)
    visit(page, html)
    page.set_input_files("#file", str(tmp_path / "other.json"))
    page.wait_for_selector("#message:not([hidden])")
    assert page.text_content("#message").startswith("other.json")
    assert page.text_content("#count") == "20 pictures"


def test_vis_json_beside_a_page_on_disk_says_what_to_do(page, html):
    visit(page, html, "?vis=vis.json")
    assert "drop the file here" in page.text_content("#message")


@pytest.fixture
def served(folder, html):
    """`folder` and the report's page, served as NeuralTalk2's README served its folder."""
    (folder / "index.html").write_bytes(html.read_bytes())

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


def test_vis_json_beside_a_served_page_is_read(page, served):
    page.goto(f"{served}?vis=vis.json")
    check_vis(page)


@pytest.mark.parametrize(
    ("address", "words"),
    [("missing.json", "404"), ("//localhost:1/vis.json", "not next to this page")],
)
def test_vis_json_that_cannot_be_read_says_why(page, served, address, words):
    page.goto(f"{served}?vis={address}")
    page.wait_for_selector("#message:not([hidden])")
    assert words in page.text_content("#message")
    assert all("404" in text for text in page.problems)  # the browser's own line
    page.problems.clear()
