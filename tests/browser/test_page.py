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

from snakecap.files import vis
from snakecap.settings import Report
from snakecap.stages.report import report
from snakecap.viewer import open as opening

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


def test_everything_has_a_name_for_those_who_do_not_see_it(page, html):
    visit(page, html)
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, input, select, img, dialog, [role=region]')]
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_and_nothing_is_wider_than_a_phone(browser, html, scheme):
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    tab = context.new_page()
    visit(tab, html)
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
    assert texts(page, 0, ".system") == ["a_seed1frozen", "bfrozen"]
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
