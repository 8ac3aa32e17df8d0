"""Files of dense predictions: ours, DenseCap's, GRiT's, COCO's, and what is wrong with others."""

import json

import numpy as np
import pytest

from snakecap.formats import dense, dense_scores
from snakecap.formats.dense import Described
from snakecap.formats.dense_scores import DenseScores

ONE = {"image_id": 7, "boxes": [[1, 2, 3, 4]], "scores": [0.5], "captions": ["a cat"]}


def some(key, number, seed=0, **more):
    random = np.random.default_rng(seed)
    boxes = random.uniform(-5, 700, (number, 4)).astype(np.float32).astype(np.float64)
    scores = np.sort(random.uniform(size=number).astype(np.float32))[::-1].astype(np.float64)
    captions = tuple(f"caption {k} <b>&\u2028\N{GRINNING FACE}" for k in range(number))
    return Described(key, boxes, scores, captions, **more)


def alike(one, other):
    for name in ("boxes", "scores", "logits", "log_probs"):
        values, others = getattr(one, name), getattr(other, name)
        assert (values is None) == (others is None)
        if values is not None:  # models compute float32
            np.testing.assert_array_equal(np.float32(values), np.float32(others))
    for name in ("image_id", "captions", "file_name", "width", "height"):
        assert getattr(one, name) == getattr(other, name)


def file_of(tmp_path, content):
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("frame", ["original", 720])
def test_what_was_written_is_read_bit_for_bit(tmp_path, frame):
    written = [
        some(0, 3, logits=np.array([3.0, 0, -1]), log_probs=-np.arange(3.0), file_name="0.jpg"),
        some("a", 0),
        some(12, 5000, width=640, height=480),
    ]
    dense.write(tmp_path / "new" / "d.json", iter(written), frame=frame, code="abc")
    found = dense.read(tmp_path / "new" / "d.json")
    assert (found.frame, found.origin) == (frame, 0)
    for one, other in zip(written, found.results, strict=True):
        alike(one, other)


def test_the_file_says_frame_origin_and_order(tmp_path):
    dense.write(tmp_path / "d.json", [some(7, 1)], order="as given", model="m")
    content = json.loads((tmp_path / "d.json").read_text())
    assert content["frame"] == "original"
    assert "begins at 0, 0" in content["boxes"]
    assert (content["order"], content["model"]) == ("as given", "m")
    dense.write(tmp_path / "e.json", [])
    assert dense.read(tmp_path / "e.json").results == ()


def test_nothing_is_left_of_a_file_whose_results_fail(tmp_path):
    def results():
        yield some(1, 1)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        dense.write(tmp_path / "d.json", results())
    assert [*tmp_path.iterdir()] == []


# Others' forms


def test_a_list_is_in_original_pixels(tmp_path):
    found = dense.read(file_of(tmp_path, [ONE, {**ONE, "image_id": "b", "more": 1}]))
    assert found.frame == "original"
    assert [one.image_id for one in found.results] == [7, "b"]
    assert found.results[0].boxes.tolist() == [[1, 2, 3, 4]]


def test_cocos_results_are_gathered_by_image(tmp_path):
    rows = [
        {"image_id": key, "bbox": [k, 2, 3, 4], "score": k / 4, "caption": str(k), "category_id": 1}
        for k, key in enumerate([3, 5, 3])
    ]
    found = dense.read(file_of(tmp_path, rows))
    assert found.frame == "original"
    assert [one.image_id for one in found.results] == [3, 5]
    assert found.results[0].captions == ("0", "2")
    assert found.results[0].boxes[:, 0].tolist() == [0, 2]
    assert found.results[0].scores.tolist() == [0, 0.5]


def test_grits_boxes_are_of_pictures_whose_longer_side_is_720(tmp_path):
    row = {"image_id": 3, "bbox": [72, 0, 360, 720], "score": 0.5, "logit": 0.1}
    found = dense.read(file_of(tmp_path, [row | {"object_descriptions": "a cat"}]))
    assert found.frame == 720
    (one,) = dense.in_original(found, {"3": (500, 1000)})
    assert one.boxes.tolist() == [[100, 0, 500, 1000]]
    assert one.captions == ("a cat",)


def test_densecaps_boxes_begin_at_1_and_its_scores_are_logits(tmp_path):
    """Its preprocess.py makes x = s (x - 1) + 1, w = s w of a box of Visual Genome."""
    scale = 720 / 1024
    boxes = [[scale * (100 - 1) + 1, scale * (50 - 1) + 1, scale * 200, scale * 100]]
    row = {"img_name": "12.jpg", "boxes": boxes, "scores": [2.0], "captions": ["a <b>"]}
    found = dense.read(file_of(tmp_path, {"results": [row], "opt": {"max_images": 5}}))
    (one,) = dense.in_original(found, {"12": (1024, 768)})
    np.testing.assert_allclose(one.boxes, [[100, 50, 200, 100]])
    assert (one.image_id, one.file_name) == (12, "12.jpg")
    assert one.logits.tolist() == [2.0]
    assert one.scores.tolist() == [pytest.approx(1 / (1 + np.exp(-2)))]


def test_densecaps_own_size_of_images_counts(tmp_path):
    row = {"img_name": "a.b.png", "boxes": [[1, 1, 480, 360]], "scores": [-800], "captions": ["x"]}
    found = dense.read(file_of(tmp_path, {"results": [row], "opt": {"image_size": 480}}))
    assert found.frame == 480
    (one,) = dense.in_original(found, {"a.b": (960, 720)})
    assert one.boxes[0, 2:].tolist() == [960, 720]
    assert one.scores.tolist() == [0]


def test_the_frame_can_be_given(tmp_path):
    path = file_of(tmp_path, [ONE])
    (one,) = dense.in_original(dense.read(path, 720), {"7": (360, 100)})
    assert one.boxes.tolist() == [[0.5, 1, 1.5, 2]]
    path = file_of(tmp_path, [{"image_id": 3, "bbox": [1, 2, 3, 4], "score": 1, "caption": "a"}])
    assert dense.read(path, "original").frame == "original"


def test_a_size_that_is_needed_and_not_known_is_asked_for(tmp_path):
    found = dense.read(file_of(tmp_path, [ONE]), 720)
    with pytest.raises(ValueError, match=r"image 7 are in pixels .* 720.*--sizes image_data.json"):
        dense.in_original(found, {})
    sized = dense.read(file_of(tmp_path, [ONE | {"width": 1440, "height": 10}]), 720)
    assert dense.in_original(sized, {})[0].boxes.tolist() == [[2, 4, 6, 8]]


# What is wrong

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (3, "is not dense predictions"),
        ({"a": []}, "is not dense predictions"),
        ({"results": [ONE]}, "neither a `frame` nor an `img_name`"),
        ({"results": [3]}, "neither a `frame` nor an `img_name`"),
        ({"results": [ONE], "frame": 0}, "`frame` is wrong"),
        ({"results": [ONE], "frame": "corner"}, "`frame` is wrong"),
        ([3], "entry 1: "),
        ([ONE, {**ONE, "image_id": 1.5}], "entry 2.image_id: an id is"),
        ([ONE, ONE], "more than one result of image 7"),
        ([ONE, ONE | {"image_id": "7"}], "more than one result of image 7"),
        ([ONE | {"boxes": [[1, 2, 3]]}], "entry 1.boxes: a list of .x, y, width, height."),
        ([ONE | {"boxes": [1, 2, 3, 4]}], "entry 1.boxes: a list of .x, y, width, height."),
        ([ONE | {"boxes": [[1, 2, 3, NAN]]}], "entry 1.boxes: number 4 of these is nan"),
        ([ONE | {"boxes": [[1, -INFINITE, 3, 4]]}], "entry 1.boxes: number 2 of these is -inf"),
        ([ONE | {"boxes": [[1, 2, 3, "4"]]}], "entry 1.boxes: these are not all numbers"),
        ([ONE | {"boxes": [[1, 2, 3, None]]}], "entry 1.boxes: these are not all numbers"),
        ([ONE | {"scores": [NAN]}], "entry 1.scores: number 1 of these is nan"),
        ([ONE | {"scores": [0.5, 0.5]}], "entry 1: 1 boxes have 2 scores"),
        ([ONE | {"captions": []}], "entry 1: 1 boxes have 0 captions"),
        ([ONE | {"captions": [3]}], "entry 1.captions.0: Input should be a valid string"),
        ([ONE | {"logits": [1, 2]}], "entry 1: 1 boxes have 2 logits"),
        ([{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 1}], "entry 1 has no `caption`"),
        ([{"image_id": 1, "bbox": [1, 2], "score": 1, "caption": ""}], "entry 1.boxes: a list"),
    ],
)
def test_what_is_wrong_is_said_with_its_file_and_place(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as error:
        dense.read(file_of(tmp_path, content))
    assert "predictions.json" in str(error.value)


def test_scores_come_back(tmp_path):
    both = {"0.3": {"0": 1 / 3, "0.05": 0.1}}
    scores = DenseScores(0.1, 0.2, 0.3, 0.4, both, {"0.3": 1 / 7}, "scores", 3, 1, 9, 8, 20)
    dense_scores.write(tmp_path / "s.json", scores, code="abc")
    assert dense_scores.read(tmp_path / "s.json") == scores
    assert "METEOR" not in json.loads((tmp_path / "s.json").read_text())
    with pytest.raises(ValueError, match=r"s.json is not a scores.json of dense predictions"):
        (tmp_path / "s.json").write_text("{}")
        dense_scores.read(tmp_path / "s.json")
