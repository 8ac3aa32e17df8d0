"""From objects to layouts: order, threshold, frame (specification B1, B3, O3, O8); bad input."""

import json
import math
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakecap.formats import layouts as files
from snakecap.formats.layouts import read_json_layouts
from snakecap.objects.boxes import Frame, clip
from snakecap.objects.layout import Layout, Reading, arrange, encode
from snakecap.objects.object import Object

NAMES = ("person", "dog", "motorcycle")
READING = Reading(NAMES, threshold=0.0)
OBJECTS = (
    Object("dog", (0.5, 0.5, 0.2, 0.2), 0.9),
    Object("person", (0.1, 0.1, 0.5, 0.8), 0.3),
    Object("dog", (0.0, 0.6, 0.1, 0.1), 0.95),
)


def order(name, **options):
    return [OBJECTS.index(seen) for seen in arrange(OBJECTS, Reading(NAMES, name, **options))]


def test_orders():
    assert order("detector") == [0, 1, 2]
    assert order("score") == [2, 0, 1]
    assert order("size") == [1, 0, 2]
    assert order("left_to_right") == [2, 1, 0]


def test_weak_objects_are_left_out_and_the_first_of_the_others_kept():
    assert order("size", threshold=0.9) == [0, 2]
    assert order("size", threshold=0.0, limit=2) == [1, 0]
    assert order("detector", threshold=1.0) == []


BOXES = st.tuples(*[st.floats(0.01, 0.5) for _ in range(4)])


@given(st.lists(st.tuples(st.sampled_from(NAMES), BOXES, st.floats(0, 1)), max_size=8))
def test_an_order_is_a_stable_permutation(rows):
    objects = [Object(*row) for row in rows]
    for name in ("detector", "score", "size", "left_to_right"):
        found = arrange(objects, Reading(NAMES, name, threshold=0.0))
        assert sorted(found, key=repr) == sorted(objects, key=repr)
        assert arrange(found, Reading(NAMES, name, threshold=0.0)) == found


def test_numbers_of_a_layout():
    ids, boxes = encode(Layout(OBJECTS), READING)
    assert ids.tolist() == [2, 1, 2]
    np.testing.assert_allclose(boxes, [seen.box for seen in OBJECTS], rtol=1e-6)
    ids, boxes = encode(Layout(), READING)
    assert ids.shape == (0,) and boxes.shape == (0, 4)


def test_darknets_spelling_is_known():
    assert encode(Layout((Object("motorbike", (0, 0, 1, 1)),)), READING)[0].tolist() == [3]


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (500, 500), (64, 1000)])
def test_the_letterbox_is_the_detectors(size):
    """The square around the picture, as darknet's 608 pixels, and back."""
    reading = Reading(NAMES, threshold=0.0, frame="letterbox")
    _, boxes = encode(Layout(OBJECTS, *size), reading)
    frame = Frame.around(*size, 608)
    pixels = np.array([seen.box for seen in OBJECTS], np.float32) * np.array([*size, *size])
    expected = frame.into(pixels.astype(np.float32)) / 608
    np.testing.assert_allclose(boxes, expected, atol=1.5 / 608)  # darknet pads by whole pixels


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        (Object("unicorn", (0, 0, 1, 1)), "object 1 has the unknown category 'unicorn'"),
        (Object("dog", (0, 0, 0, 1)), "positive size"),
        (Object("dog", (0, 0, 1, -1)), "positive size"),
        (Object("dog", (0.5, 0, 0.6, 1)), "in 0..1"),
        (Object("dog", (-0.1, 0, 0.6, 1)), "in 0..1"),
        (Object("dog", (math.nan, 0, 0.6, 1)), "not finite"),
        (Object("dog", (0, 0, 0.6, 1), math.inf), "not finite"),
    ],
)
def test_a_wrong_object_is_named(seen, message):
    with pytest.raises(ValueError, match=message):
        encode(Layout((seen,)), READING)


def test_a_letterbox_needs_the_pictures_shape():
    with pytest.raises(ValueError, match="width and height"):
        encode(Layout(OBJECTS), Reading(NAMES, threshold=0.0, frame="letterbox"))


# Files.


@pytest.fixture
def written(tmp_path):
    layouts = [Layout(OBJECTS, 640, 480), Layout((), 300, 300), Layout(OBJECTS[:1], 480, 640)]
    keys = [(7, "a.jpg"), ("x", "b.jpg"), (9, "c.jpg")]
    path = tmp_path / "layouts" / "mine.h5"
    files.write(path, layouts, keys, READING, code="abc")
    return path, layouts


def test_arrays_come_back(written):
    path, layouts = written
    found = files.read(path)
    assert found.reading == READING and found.files == ("a.jpg", "b.jpg", "c.jpg")
    for row, layout in enumerate(layouts):
        ids, boxes = encode(layout, READING)
        assert found.ids[row].tolist() == ids.tolist() + [0] * (3 - len(ids))
        np.testing.assert_array_equal(found.boxes[row, : len(ids)], boxes)
    assert found.rows(["c.jpg", "a.jpg"]).tolist() == [2, 0]
    with pytest.raises(ValueError, match=r"no layout of 'd\.jpg'"):
        found.rows(["d.jpg"])


def test_the_json_is_what_a_person_can_give_back(written):
    path, layouts = written
    found = read_json_layouts(path.with_suffix(".json"))
    assert [(record.id, record.name) for record in found] == [
        (7, "a.jpg"),
        ("x", "b.jpg"),
        (9, "c.jpg"),
    ]
    assert [record.layout for record in found] == layouts
    head = json.loads(path.with_suffix(".json").read_text())
    assert (head["frame"], head["order"], head["code"]) == ("picture", "detector", "abc")


def test_obj2texts_own_arrays(written):
    """Specification O3: 32 distinct ids, 96 ids and boxes, padded with zeros, and bbox_resize."""
    path, layouts = written
    with h5py.File(path) as file:
        category, full, boxes = file["category"], file["full_category"], file["bbox"]
        assert (category.shape, category.dtype) == ((3, 32), np.uint32)
        assert (full.shape, full.dtype) == ((3, 96), np.uint32)
        assert (boxes.shape, boxes.dtype) == ((3, 96), np.uint64)
        assert category[0, :3].tolist() == [1, 2, 0] and full[0, :4].tolist() == [2, 1, 2, 0]
        assert not category[1].any() and not boxes[1].any()
        assert file["bbox_resize"][()].tolist() == boxes[()].tolist()
        # 640 x 480 fills 608 x 456, 76 from the top: 0.5 of it is 304 and 76 + 228.
        assert boxes[0, 0] == 304_304_121_091
    assert layouts[0].objects[0].box == (0.5, 0.5, 0.2, 0.2)


def test_many_objects_are_cut_to_the_originals_sizes(tmp_path):
    names = tuple(f"c{i}" for i in range(200))
    many = tuple(Object(f"c{i}", (0.1, 0.1, 0.2, 0.2)) for i in range(150))
    path = tmp_path / "many.h5"
    files.write(path, [Layout(many, 100, 100)], [(1, "a.jpg")], Reading(names, limit=150))
    with h5py.File(path) as file:
        assert file["full_category"][0].tolist() == list(range(1, 97))
        assert file["category"][0].tolist() == list(range(1, 33))
        assert file["ids"].shape == (1, 150)


def put(path, value):
    path.write_text(json.dumps(value))
    return path


def test_a_layout_by_hand(tmp_path):
    """Boxes in pixels or in 0..1; the file's name stands in for the picture's."""
    rows = [{"category": "dog", "box": [320, 240, 128, 96]}]
    path = put(tmp_path / "one.json", {"width": 640, "height": 480, "objects": rows})
    (record,) = read_json_layouts(path)
    assert (record.id, record.name) == (None, str(path))
    assert record.layout == Layout((Object("dog", (0.5, 0.5, 0.2, 0.2)),), 640, 480)
    rows = [{"category": "dog", "box": [0.5, 0.5, 0.2, 0.2], "score": 0.9}]
    (record,) = read_json_layouts(put(path, {"objects": rows}))
    assert record.layout == Layout(OBJECTS[:1])


def test_boxes_that_reach_outside_are_clipped_and_that_is_said(tmp_path, caplog):
    """By the function that clips a detector's boxes, in pixels as in 0..1."""
    boxes = [[600, 400, 100, 100], [-20, -10, 60, 30], [5, 5, 10, 10]]
    rows = [{"category": "dog", "box": box} for box in boxes]
    path = put(tmp_path / "one.json", {"width": 640, "height": 480, "objects": rows})
    (record,) = read_json_layouts(path)
    found = np.array([seen.box for seen in record.layout.objects]) * (640, 480, 640, 480)
    expected = clip(np.float32(boxes), 640, 480)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    encode(record.layout, READING)
    notes = [f"object {number} (dog) reaches outside the picture: clipped" for number in (1, 2)]
    assert caplog.messages == [f"{path}: layout 1: {note}" for note in notes]


def test_a_box_that_reaches_outside_by_a_little_is_not_in_pixels(tmp_path):
    rows = [{"category": "dog", "box": [-0.01, 0, 1.02, 1]}]
    path = put(tmp_path / "one.json", {"width": 640, "height": 480, "objects": rows})
    (record,) = read_json_layouts(path)
    assert record.layout.objects[0].box == pytest.approx((0, 0, 1, 1))


def test_layouts_of_a_list_have_names_of_their_own_and_their_photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("a.jpg", "list.json"):
        (tmp_path / "data" / name).touch()
    rows = [{"objects": []}, {"objects": [], "file": "a.jpg"}, {"objects": [], "id": 7}]
    path = put(Path("data/list.json"), [*rows, {"objects": [], "file": "b.jpg"}])
    found = read_json_layouts(path)
    assert [record.name for record in found] == ["data/list.json#1", "a.jpg", "7", "b.jpg"]
    assert [record.photo for record in found] == [None, Path("data/a.jpg"), None, None]
    (alone,) = read_json_layouts(put(Path("data/../data/list.json"), rows[0]))
    assert alone.photo is None and alone.name == "data/../data/list.json"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": 1.5}, "object 2 .* has the score 1.5: scores are in 0..1"),
        ({"score": -0.1}, "object 2 .* has the score -0.1"),
        ({"score": math.nan}, "object 2 .* not finite"),
        ({"box": [0.1, 0.1, -0.2, 0.3]}, "object 2 .*positive size"),
        ({"box": [0.1, 0.1, 0.2, 0]}, "object 2 .*positive size"),
        ({"box": [1.2, 0.1, 0.2, 0.2]}, r"object 2 .*in 0\.\.1 of the picture"),
        ({"box": [0.5, 0.5, 3, 0.2]}, r"object 2 .*in 0\.\.1 of the picture"),
        ({"box": [10, 20, 30, 40]}, "or in pixels with the picture's width and height"),
        ({"box": [0.1, math.inf, 0.2, 0.2]}, "not finite"),
    ],
)
def test_nonsense_is_refused_naming_file_and_entry(tmp_path, change, message):
    good = {"category": "dog", "box": [0.1, 0.1, 0.2, 0.2]}
    path = put(tmp_path / "wrong.json", [{"objects": []}, {"objects": [good, {**good, **change}]}])
    with pytest.raises(ValueError, match=rf"wrong\.json: layout 2: .*{message}"):
        read_json_layouts(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"layouts": [{"objects": []}, {}]}, r"layouts\.1\.objects: Field required"),
        ({"layouts": 3}, "layouts: .*valid list"),
        ([3], r"layouts\.0: "),
        (
            {"objects": [{"category": "dog", "box": [1, 2, 3]}]},
            r"box\.3: Field required",
        ),
        ({"objects": [{"box": [1, 2, 3, 4]}]}, r"objects\.0\.category: Field required"),
        ({"objects": [{"category": "dog", "box": ["1", 2, 3, 4]}]}, r"box\.0: .*valid number"),
        ({"objects": [{"category": "dog", "box": "1234"}]}, r"box: .*\(in 1234\)"),
        (
            {"objects": [{"category": ["dog"], "box": [0, 0, 1, 1]}]},
            r"category: .*\['dog'\]",
        ),
        ({"objects": [], "frame": "letterbox"}, "frame: .*'picture'.*letterbox"),
        ({"frame": "square", "layouts": [{"objects": []}]}, "frame: .*'picture'.*square"),
        ({"layouts": []}, "layouts: .*at least 1 item"),
        ([], "layouts: .*at least 1 item"),
        ({"objects": [{"category": "dog", "box": [10**400, 2, 3, 4]}]}, r"box\.0: .*valid number"),
        ({"objects": [{"category": "dog", "box": [0, 0, 1, 1]}, None]}, r"objects\.1: .*None"),
        ({"objects": [], "width": math.nan, "height": 3}, "width: .*finite number"),
        ({"objects": [], "width": 3, "height": -64}, "height: .*greater than or equal to 0"),
        ({"objects": [], "width": 1e300, "height": 3}, "width: .*less than or equal to 1000000"),
        ({"objects": [], "id": [1]}, "id: an id is a whole number or text"),
        ({"images": [], "annotations": []}, "docs/formats.md"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, value, message):
    path = put(tmp_path / "wrong.json", value)
    with pytest.raises(ValueError, match=message) as caught:
        read_json_layouts(path)
    assert "wrong.json" in str(caught.value)


def test_no_layouts_file_is_named(tmp_path):
    for path in (tmp_path / "none.h5", put(tmp_path / "text.h5", "text")):
        with pytest.raises(ValueError, match=path.name):
            files.read(path)
