"""Scoring dense captions from files to files, with the real METEOR."""

import json
import logging

import numpy as np
import pytest

from snakecap.cli import main
from snakecap.formats import dense_scores, pictures, visual_genome
from snakecap.formats.pictures import Collection, Picture, Region
from snakecap.steps import score_dense as module
from snakecap.steps.score_dense import meteor, score_dense, table

BOXES = {1: [[10, 20, 100, 50], [300, 200, 60, 90]], 2: [[5, 5, 40, 40]], 3: []}
PHRASES = {1: ["a red ball", "the big dog"], 2: ["green grass"], 3: []}
REGION = {"x": 1, "y": 1, "width": 9, "height": 9, "phrase": "a"}
PLACES = ((1, "a red ball"), (50, "the big dog"))
SIZES = {1: (640, 480), 2: (100, 1000), 3: (50, 50)}


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def region_descriptions(folder, key="id"):
    names = ("x", "y", "width", "height", "phrase")
    rows = [
        {
            key: image,
            "regions": [
                dict(zip(names, (*box, phrase), strict=True)) | {"image_id": image}
                for box, phrase in zip(BOXES[image], PHRASES[image], strict=True)
            ],
        }
        for image in BOXES
    ]
    return write(folder / "region_descriptions.json", rows)


def image_data(folder, key="image_id"):
    rows = [{key: image, "width": w, "height": h, "url": ""} for image, (w, h) in SIZES.items()]
    return write(folder / "image_data.json", rows)


def records(folder):
    found = tuple(
        Picture(
            id=image,
            file=f"{image}.jpg",
            split="test" if image < 3 else "val",
            regions=tuple(
                Region(phrase, tuple(map(float, box)))
                for box, phrase in zip(BOXES[image], PHRASES[image], strict=True)
            ),
            width=SIZES[image][0],
            height=SIZES[image][1],
        )
        for image in BOXES
    )
    pictures.write(folder / "pictures.json", Collection(folder, found))
    return folder / "pictures.json"


def predicted(folder, boxes=None, **changes):
    rows = [
        {
            "image_id": image,
            "boxes": row,
            "scores": [0.9, 0.8][: len(row)],
            "captions": PHRASES[image],
        }
        | changes.get(str(image), {})
        for image, row in (boxes or BOXES).items()
    ]
    return write(folder / "predictions.json", rows)


def scored(folder, found, regions, **options):
    score_dense(predictions=found, regions=regions, scores=folder / "scores.json", **options)
    return dense_scores.read(folder / "scores.json")


@pytest.fixture
def exact(monkeypatch):
    """No Java where words do not matter."""

    def same(pairs):
        return np.array([float(caption in references) for caption, references in pairs])

    monkeypatch.setattr(module, "meteor", same)


# METEOR


def test_meteor_is_the_official_programs():
    """Values of meteor-1.5.jar, measured alone; of several references the best counts."""
    pairs = [
        ("a red ball", ("a blue ball",)),
        ("ball red a", ("a red ball",)),
        ("a red ball", ("a red ball",)),
        ("", ("a red ball",)),
        ("A Red Ball.", ("a blue ball", "a red ball.")),
        ("word " * 500, ("a red ball",)),
        ("a red ball", ("word " * 500 + "ball",)),
    ]
    values = meteor(pairs)
    np.testing.assert_allclose(values[:5], [0.228571, 0.4, 1, 0, 1], atol=1e-6)
    assert values[5] == 0
    assert 0 < values[6] < 0.1


@pytest.mark.parametrize("key", ["id", "image_id"])
def test_the_command_scores_a_file_alone(tmp_path, key, capsys):
    files = [str(predicted(tmp_path)), str(region_descriptions(tmp_path, key))]
    main(["score-dense", *files])
    words = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["mAP", "1.0000"] in words
    assert ["detmAP", "1.0000"] in words
    assert ["METEOR", ">", "0.25", *["1.0000"] * 5] in words
    assert ["any", "words", *["1.0000"] * 5] in words
    assert ["ranked", "by", "scores"] in words


def test_a_wrong_colour_lowers_the_ap_of_the_highest_bound(tmp_path):
    """Its METEOR of .228571 exceeds .2, not .25."""
    wrong = {"1": {"captions": ["a blue ball", "the big dog"]}}
    truth = write(
        tmp_path / "r.json",
        [{"id": 1, "regions": [REGION | {"phrase": phrase, "x": x} for x, phrase in PLACES]}],
    )
    boxes = {1: [[x, 1, 9, 9] for x, _ in PLACES]}
    found = scored(tmp_path, predicted(tmp_path, boxes, **wrong), truth)
    assert found.AP["0.7"]["0.2"] == 1
    assert found.AP["0.7"]["0.25"] == pytest.approx(0.51 / 2)  # a miss, then one hit of two
    assert found.exact == 1 / 2


# What is judged


@pytest.mark.usefixtures("exact")
def test_all_forms_and_frames_score_alike(tmp_path):
    """DenseCap's and GRiT's boxes are 720 / longer side as large, DenseCap's begin at 1."""
    truth, sizes = region_descriptions(tmp_path), image_data(tmp_path)
    plain = scored(tmp_path, predicted(tmp_path), truth)
    grit, densecap = [], []
    for image, row in BOXES.items():
        scale = 720 / max(SIZES[image])
        one = np.array(row, float).reshape(-1, 4)
        for box, phrase in zip(one, PHRASES[image], strict=True):
            grit.append({"image_id": image, "bbox": (box * scale).tolist(), "score": 0.5})
            grit[-1]["object_descriptions"] = phrase
        moved = one * scale + [1 - scale, 1 - scale, 0, 0]
        named = {"img_name": f"{image}.jpg", "boxes": moved.tolist(), "captions": PHRASES[image]}
        densecap.append({**named, "scores": [3.0, -3.0][: len(row)]})
    for content in (grit, {"results": densecap, "opt": {}}):
        found = scored(tmp_path, write(tmp_path / "p.json", content), truth, sizes=sizes)
        assert (found.mAP, found.detmAP, plain.mAP) == (1, 1, 1)
    found = scored(tmp_path, write(tmp_path / "p.json", grit), records(tmp_path))
    assert found.detmAP == 1  # sizes of pictures.json
    with pytest.raises(ValueError, match="give `--sizes"):
        scored(tmp_path, tmp_path / "p.json", truth)


@pytest.mark.usefixtures("exact")
def test_a_split_is_of_pictures_json_or_of_a_file_of_ids(tmp_path):
    few = predicted(tmp_path, {key: BOXES[key] for key in (1, 2)})
    assert scored(tmp_path, few, records(tmp_path), split="test").images == 2
    ids = write(tmp_path / "splits.json", {"test": [2, 1, 999], "val": []})
    found = scored(tmp_path, few, region_descriptions(tmp_path), split="test", ids=ids)
    assert (found.images, found.without_predictions) == (2, 0)
    with pytest.raises(ValueError, match="has no split 'test': `ids` is a file that has it"):
        scored(tmp_path, few, region_descriptions(tmp_path), split="test")


@pytest.mark.usefixtures("exact")
def test_images_without_predictions_count_unless_left_out(tmp_path, caplog):
    few, truth = predicted(tmp_path, {2: BOXES[2]}), region_descriptions(tmp_path)
    found = scored(tmp_path, few, truth)
    assert found.mAP == pytest.approx(0.34)  # one of three regions: levels 0 to .33
    assert found.without_predictions == 2
    assert "2 of 3 images have no predictions: their regions are missed" in caplog.text
    assert scored(tmp_path, few, truth, subset=True).mAP == 1


@pytest.mark.usefixtures("exact")
def test_given_boxes_are_ranked_by_their_captions(tmp_path):
    few = predicted(
        tmp_path, **{str(key): {"log_probs": [-1, -2][: len(BOXES[key])]} for key in BOXES}
    )
    found = scored(tmp_path, few, records(tmp_path), given=True)
    assert (found.METEOR, found.exact, found.ranking) == (1, 1, "log_probs")
    assert "METEOR" in table(found)


# Bad input


@pytest.mark.usefixtures("exact")
def test_predictions_of_other_images_are_refused(tmp_path):
    few = predicted(tmp_path, {1: BOXES[1]}, **{"1": {"image_id": 77}})
    with pytest.raises(ValueError, match=r"1 of its 1 are not among the 3 .*, such as 77") as error:
        scored(tmp_path, few, region_descriptions(tmp_path))
    assert "predictions.json" in str(error.value)


@pytest.mark.usefixtures("exact")
def test_boxes_in_another_frame_are_warned_of(tmp_path, caplog):
    found = predicted(
        tmp_path, {2: [[200, 20, 60, 90]], 1: [[600, 300, 41.5, 20], [0, -0.9, 5, 5]]}
    )
    scores = scored(tmp_path, found, records(tmp_path))
    assert "2 of 3 boxes leave their pictures" in caplog.text
    assert "--frame" in caplog.text
    assert "hardly a box is on a region" in caplog.text
    assert scores.mAP == 0
    caplog.clear()
    scored(tmp_path, predicted(tmp_path), records(tmp_path))
    assert "leave" not in caplog.text


@pytest.mark.usefixtures("exact")
def test_empty_boxes_and_thousands_of_them_are_counted(tmp_path, caplog):
    many = [[10, 20, 100, 50], [10, 20, 0, 50], [9, 9, -4, -4], *[[1, 1, 5, 5]] * 4997]
    change = {"1": {"scores": [0.9] * 5000, "captions": ["a red ball"] * 5000}}
    found = scored(tmp_path, predicted(tmp_path, {1: many}, **change), records(tmp_path))
    assert "2 of 5000 boxes have no size" in caplog.text
    assert found.predictions == 5000
    assert found.mAP == pytest.approx(0.34)


@pytest.mark.usefixtures("exact")
def test_regions_that_nobody_can_find_are_left_out(tmp_path, caplog):
    region = REGION | {"phrase": "a red ball"}
    rows = [{"id": 1, "regions": [region, region | {"phrase": " "}, region | {"width": 0}]}]
    truth = write(tmp_path / "r.json", rows)
    found = scored(
        tmp_path,
        predicted(tmp_path, {1: [[1, 1, 9, 9]]}, **{"1": {"captions": ["a red ball"]}}),
        truth,
    )
    assert (found.regions, found.mAP) == (1, 1)
    assert "r.json: 2 regions have no size or no words: left out" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "is not Visual Genome's region descriptions"),
        ([{"regions": []}], "entry 1.id"),
        (
            [{"id": 1, "regions": []}, {"image_id": "1", "regions": []}],
            "the image 1 more than once",
        ),
        ([{"id": 1, "regions": [REGION | {"x": float("nan")}]}], "entry 1.regions.0.x"),
        ([{"id": 1, "regions": [REGION | {"phrase": 3}]}], "entry 1.regions.0.phrase"),
        ([{"id": 1, "regions": []}], "no image has a region to find"),
    ],
)
@pytest.mark.usefixtures("exact")
def test_regions_are_refused_with_file_and_entry(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        scored(tmp_path, write(tmp_path / "p.json", []), write(tmp_path / "r.json", content))


def test_sizes_of_both_spellings_are_read(tmp_path):
    expected = {str(image): size for image, size in SIZES.items()}
    for key in ("id", "image_id"):
        assert visual_genome.sizes(image_data(tmp_path, key)) == expected


@pytest.mark.usefixtures("exact")
def test_it_says_nothing_where_nothing_is_odd(tmp_path, caplog, capsys):
    with caplog.at_level(logging.WARNING):
        scored(tmp_path, predicted(tmp_path), records(tmp_path))
    assert caplog.text == ""
    assert capsys.readouterr().out == ""
