"""Files of detections: COCO's results, and OBJ2TEXT's lines."""

import json
import math

import numpy as np
import pytest

from snakecap.formats import darknet_lines, detections
from snakecap.formats.darknet_lines import Line, decode_boxes, encode_boxes
from snakecap.formats.detections import Entry
from snakecap.objects.boxes import Detections, Frame
from snakecap.objects.categories import NAMES
from snakecap.objects.object import Object


def some(random, number, categories=80):
    boxes = random.uniform(0, 500, (number, 4)).astype(np.float32)
    scores = random.uniform(0, 1, number).astype(np.float32)
    return Detections(boxes, random.integers(0, categories, number), scores)


# COCO's results


@pytest.mark.parametrize("seed", range(3))
def test_what_was_written_is_read_bit_for_bit(tmp_path, seed):
    random = np.random.default_rng(seed)
    written = {key: some(random, number) for key, number in ((7, 3), ("a", 0), (3, 12), ("7b", 1))}
    path = tmp_path / "new" / "d.json"
    detections.write(path, written.items(), NAMES)
    found = detections.read(path)
    assert list(found) == [7, 3, "7b"]  # in order, without the empty one
    for key, rows in found.items():
        assert [row.category for row in rows] == [NAMES[c] for c in written[key].categories]
        boxes, scores = np.float32([row.box for row in rows]), np.float32([r.score for r in rows])
        np.testing.assert_array_equal(boxes, written[key].boxes)
        np.testing.assert_array_equal(scores, written[key].scores)


def test_it_is_cocos_format(tmp_path):
    """pycocotools reads it; ids are COCO's, numbers are short."""
    from pycocotools.coco import COCO

    seen = Detections(np.float32([[0.1, 2, 30.3, 4]]), np.array([79]), np.float32([0.7]))
    detections.write(tmp_path / "d.json", [(1, seen)], NAMES)
    (row,) = json.loads((tmp_path / "d.json").read_text())
    assert row == {
        "image_id": 1, "category_id": 90, "category": "toothbrush", "bbox": [0.1, 2.0, 30.3, 4.0],
        "score": 0.7,
    }  # fmt: skip
    truth = COCO()
    truth.dataset = {"images": [{"id": 1}], "annotations": [], "categories": [{"id": 90}]}
    truth.createIndex()
    assert len(truth.loadRes(str(tmp_path / "d.json")).anns) == 1


def test_other_categories_are_numbered_from_one(tmp_path):
    seen = Detections(np.ones((2, 4), np.float32), np.array([1, 0]), np.ones(2, np.float32))
    detections.write(tmp_path / "d.json", [("x", seen)], ("circle", "square"))
    rows = json.loads((tmp_path / "d.json").read_text())
    assert [(r["category_id"], r["category"]) for r in rows] == [(2, "square"), (1, "circle")]


def test_nothing_at_all_is_an_empty_list(tmp_path):
    detections.write(tmp_path / "d.json", [(1, Detections.none())], NAMES)
    assert (
        json.loads((tmp_path / "d.json").read_text())
        == []
        == list(detections.read(tmp_path / "d.json"))
    )


GOOD = {"image_id": 1, "category_id": 3, "category": "car", "bbox": [1, 2, 3, 4], "score": 0.5}


def broken(**changes):
    row = {**GOOD, **changes}
    return {key: value for key, value in row.items() if value is not ...}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (broken(bbox=[1, 2, math.nan, 4]), r"bbox\.2: .*finite number \(in nan\)"),
        (broken(bbox=[1, 2, math.inf, 4]), "finite"),
        (broken(bbox=[1, 2, 10**400, 4]), r"bbox\.2: .*valid number"),
        (broken(bbox=[1, 2, 3]), r"bbox\.3: Field required"),
        (broken(bbox=["1", 2, 3, 4]), r"bbox\.0: .*valid number"),
        (broken(bbox=None), "bbox: .*None"),
        (broken(bbox=...), "bbox: Field required"),
        (broken(score=...), "score: Field required"),
        (broken(score=math.nan), "score: .*finite number"),
        (broken(score=87), r"score: .*less than or equal to 1 \(in 87\)"),
        (broken(score=-0.1), "score: .*greater than or equal to 0"),
        (broken(score=True), "score: .*valid number"),
        (broken(image_id=1.5), r"image_id: an id is a whole number or text \(in 1\.5\)"),
        (broken(image_id=...), "image_id: Field required"),
        (broken(category_id="3"), "category_id: .*valid integer"),
        (broken(category=3), "category: .*valid string"),
        (broken(category="", category_id=...), "category: .*at least 1 character"),
        (broken(category_id=..., category=...), "no `category_id` and no `category`"),
        ("text", r"dictionary .*\(in text\)"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, row, reason):
    path = tmp_path / "d.json"
    path.write_text(json.dumps([GOOD, row]))
    with pytest.raises(ValueError, match=rf"d\.json .*: entry 2.*{reason}"):
        detections.entries(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [('{"annotations": []}', "in COCO's results format: .*valid list"), ("[1,", "not valid JSON")],
)
def test_other_files_are_refused(tmp_path, text, reason):
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(ValueError, match=rf"d\.json.*{reason}"):
        detections.entries(tmp_path / "d.json")


def test_others_entries_may_lack_names_but_ours_do_not(tmp_path):
    path = tmp_path / "d.json"
    path.write_text(json.dumps([broken(category=...)]))
    (entry,) = detections.entries(path)
    assert entry == Entry(1, (1, 2, 3, 4), 0.5, category_id=3)
    with pytest.raises(ValueError, match="entry 1 has no `category`"):
        detections.read(path)
    path.write_text(json.dumps([broken(category_id=...)]))
    assert detections.read(path) == {1: [Object("car", (1, 2, 3, 4), 0.5)]}


# OBJ2TEXT's lines


def test_the_example_of_the_specification():
    """Left 12, top 34, width 560, height 78 of a picture that fills the square."""
    code = np.array([12034560078])
    np.testing.assert_allclose(decode_boxes(code, 608, 608), [[12, 34, 560, 78]])
    assert encode_boxes(np.float32([[12, 34, 560, 78]]), 608, 608).tolist() == [12034560078]


def test_boxes_lie_in_the_letterbox():
    """640 x 480 becomes 608 x 456 with 76 pixels above and below."""
    code = encode_boxes(np.float32([[0, 0, 640, 240]]), 640, 480)
    assert code.tolist() == [0 * 10**9 + 76 * 10**6 + 607 * 10**3 + 228]
    np.testing.assert_allclose(decode_boxes(code, 640, 480), [[0, 0, 607 / 0.95, 240]], atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_codes_survive_the_way_to_the_picture_and_back(seed):
    random = np.random.default_rng(seed)
    width, height = (int(side) for side in random.integers(20, 4000, 2))
    first = random.integers(0, 607, (500, 2))
    last = np.minimum(607, first + random.integers(0, 607, (500, 2)))
    parts = np.concatenate([first, last - first], 1).astype(object)
    codes = np.array([l * 10**9 + t * 10**6 + w * 1000 + h for l, t, w, h in parts], np.int64)  # noqa: E741
    boxes = decode_boxes(codes, width, height)
    assert boxes.dtype == np.float32
    np.testing.assert_array_equal(encode_boxes(boxes, width, height), codes)


@pytest.mark.parametrize("seed", range(4))
def test_boxes_come_back_within_a_pixel_of_the_square(seed):
    random = np.random.default_rng(seed)
    width, height = (int(side) for side in random.integers(50, 2000, 2))
    first = random.uniform(0, 0.5, (200, 2)) * (width, height)
    boxes = np.concatenate([first, random.uniform(0, 0.49, (200, 2)) * (width, height)], 1)
    back = decode_boxes(encode_boxes(boxes.astype(np.float32), width, height), width, height)
    pixel = 1 / Frame.around(width, height, 608).scale
    assert np.abs(back - boxes).max() <= 1.05 * pixel


def test_boxes_outside_the_picture_are_cut_to_the_square():
    codes = encode_boxes(np.float32([[-5000, -5000, 10000, 10000]]), 640, 480)
    assert codes.tolist() == [607607]


def test_lines_are_read_and_written(tmp_path):
    codes = np.array([12034560078, 0, 607607])
    lines = [
        Line("/theirs/val2014/COCO_1.jpg", codes, np.array([0, 79, 16])),
        Line("ü.jpg", codes[:0], codes[:0]),
    ]
    path = tmp_path / "coco_detection_result"
    darknet_lines.write(path, lines)
    first, second = map(json.loads, path.read_text().splitlines())
    assert first == {
        "file_path": "/theirs/val2014/COCO_1.jpg", "bboxes": codes.tolist(),
        "full_categories": [1, 80, 17],
    }  # fmt: skip
    assert second == {"file_path": "ü.jpg", "bboxes": [], "full_categories": []}
    path.write_text("\ufeff" + path.read_text())  # some editors put a mark there
    for line, again in zip(lines, darknet_lines.read(path), strict=True):
        assert line.file == again.file
        np.testing.assert_array_equal(line.boxes, again.boxes)
        np.testing.assert_array_equal(line.categories, again.categories)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("hello", "not a line of darknet's detections"),
        ("[]", "not a line"),
        ('{"bboxes": [], "full_categories": []}', "file_path: Field required"),
        ('{"file_path": "a", "bboxes": [1], "full_categories": []}', "as many bboxes as full_cat"),
        ('{"file_path": "a", "bboxes": 3, "full_categories": []}', "bboxes: .*list"),
        ('{"file_path": "a", "bboxes": [NaN], "full_categories": [1]}', r"bboxes\.0: .*\(in nan\)"),
        ('{"file_path": "a", "bboxes": [1.5], "full_categories": [1]}', r"bboxes\.0: .*1\.5"),
        ('{"file_path": "a", "bboxes": [-1], "full_categories": [1]}', r"bboxes\.0: .*\(in -1\)"),
        ('{"file_path": "a", "bboxes": [1, 600000009000], "full_categories": [1, 1]}',
         r"bboxes\.1: a box is .* in 0\.\.607 \(in 600000009000\)"),
        ('{"file_path": "a", "bboxes": [600000600000], "full_categories": [1]}', "a box is"),
        ('{"file_path": "a", "bboxes": [1], "full_categories": [81]}',
         r"full_categories\.0: .*less than or equal to 80 \(in 81\)"),
        ('{"file_path": "a", "bboxes": [1], "full_categories": [0]}', "greater than or equal to 1"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named(tmp_path, line, reason):
    path = tmp_path / "lines"
    path.write_text('{"file_path": "a", "bboxes": [], "full_categories": []}\n\n' + line + "\n")
    with pytest.raises(ValueError, match=rf"lines:3.*{reason}"):
        darknet_lines.read(path)
