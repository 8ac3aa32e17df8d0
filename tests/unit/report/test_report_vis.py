import json

import pytest

from snakecap.formats import vis
from snakecap.server import viewer as opening

RESULTS = [
    {"image_id": 7, "caption": "a dog", "file_name": 'it\'s a "$(dog)".png', "log_prob": -1.0},
    {"image_id": "x", "caption": "a <b>cat</b>", "file_name": "sub/cat.jpg"},
]


@pytest.fixture
def root(tmp_path):
    photos = tmp_path / "photos"
    (photos / "sub").mkdir(parents=True)
    for at, row in enumerate(RESULTS):
        (photos / row["file_name"]).write_bytes(b"picture %d" % at)
    return photos


@pytest.mark.parametrize("names", [False, True])  # check E4
def test_vis_json_lists_id_caption_and_name(tmp_path, root, names):
    vis.write(tmp_path / "vis", RESULTS, root=root, file_names=names)
    keys = ("image_id", "caption", "file_name") if names else ("image_id", "caption")
    expected = [{key: row[key] for key in keys} for row in RESULTS]
    assert json.loads((tmp_path / "vis" / "vis.json").read_text()) == expected


def test_pictures_are_copied_from_the_root_without_a_shell(tmp_path, root):  # check E7
    vis.write(tmp_path / "vis", RESULTS, root=root)
    copies = sorted((tmp_path / "vis" / "imgs").iterdir())
    assert [path.name for path in copies] == ["img1.jpg", "img2.jpg"]
    assert [path.read_bytes() for path in copies] == [b"picture 0", b"picture 1"]


def test_what_is_off_is_not_written(tmp_path, root):  # check E6
    vis.write(tmp_path / "a", RESULTS, captions=False, images=False)
    assert not (tmp_path / "a").exists()
    vis.write(tmp_path / "b", [{"image_id": 1, "caption": "x"}], images=False)
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["vis.json"]
    vis.write(tmp_path / "c", RESULTS, root=root, captions=False)
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["imgs"]


def test_what_is_missing_is_named(tmp_path, root):
    with pytest.raises(ValueError, match="entry 2 of the results has no file_name"):
        vis.write(tmp_path / "vis", [RESULTS[0], {"image_id": 1, "caption": "x"}], root=root)
    with pytest.raises(FileNotFoundError, match="cat"):
        vis.write(tmp_path / "vis", RESULTS[1:], root=tmp_path / "elsewhere")
    assert not (tmp_path / "vis" / "vis.json").exists()


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '[{"image_id": 1}]'])
def test_other_json_is_refused(tmp_path, text):
    (tmp_path / "vis.json").write_text(text)
    with pytest.raises(ValueError, match=r"vis\.json is not"):
        opening.find(tmp_path)


def test_view_prints_the_page_and_opens_it_only_on_a_screen(tmp_path, monkeypatch, capsys):
    page = tmp_path / "index.html"
    page.write_text("x")
    opened = []
    monkeypatch.setattr(opening.webbrowser, "open", opened.append)
    monkeypatch.setattr(opening, "screen", lambda: False)
    opening.view(page=tmp_path)
    assert capsys.readouterr().out.strip() == str(page.resolve()) and opened == []
    monkeypatch.setattr(opening, "screen", lambda: True)
    opening.view(page=page)
    assert opened == [page.resolve().as_uri()]


def test_view_of_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither index\.html nor vis\.json"):
        opening.view(page=tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        opening.view(page=tmp_path / "report.html")


def test_page_of_vis_json_is_written_beside_it(tmp_path, root):
    vis.write(tmp_path / "vis", RESULTS, root=root)
    html = opening.find(tmp_path / "vis")
    assert html == (tmp_path / "vis" / "captions.html").resolve()
    assert "imgs/img2.jpg" in html.read_text() and "<b>cat" not in html.read_text()
