"""The stage `detect`: every picture's own objects, also after a kill, and bad input named."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_yolox
import torch
from PIL import Image

from snakecap.config import settings as configuration
from snakecap.detectors.yolox import YOLOX
from snakecap.formats import darknet_lines, decode, detections, rejected
from snakecap.formats import images as images_h5
from snakecap.formats import pictures as records
from snakecap.formats.pictures import Collection, Picture
from snakecap.inference.detector import tidy
from snakecap.objects.boxes import Detections
from snakecap.objects.categories import NAMES
from snakecap.objects.object import Object
from snakecap.provenance import outputs
from snakecap.steps.detect import detect

SOURCE = Path(__file__).parents[3] / "src"
CAR = Object("car", (8.0, 8.0, 16.0, 16.0))


def save_picture(path, seed, size=(96, 64)):
    """Noise with a red and a blue block."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 60, (size[1], size[0], 3), np.uint8)
    for colour in (0, 2):
        x, y = random.integers(0, (size[0] - 30, size[1] - 30))
        pixels[y : y + 30, x : x + 30] = 255 * np.eye(3, dtype=np.uint8)[colour]
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(pixels).save(path)


def collection(root, number, *objects, size=(96, 64)):
    rows = [
        Picture(k, f"img/{k}.png", "test", (), objects, (), *size) for k in range(10, 10 + number)
    ]
    return Collection(root, tuple(rows))


@pytest.fixture
def photos(tmp_path):
    """Seven image files and their pictures.json."""
    for k in range(10, 17):
        save_picture(tmp_path / f"img/{k}.png", k)
    path = tmp_path / "pictures.json"
    records.write(path, collection(tmp_path, 7))
    return path


@pytest.fixture
def network(tmp_path):
    tiny_yolox.save(tmp_path / "tiny.onnx")
    options = {"names": tiny_yolox.NAMES}
    return row("yolox", tmp_path / "tiny.onnx", options=options, min_score=0.4, batch_size=2)


def row(part, file=None, **changes):
    shown = None if file is None else str(file)
    return configuration.Detector.model_validate({"part": part, "file": shown, **changes})


class Run:
    """Paths of a run's outputs, and what is in them."""

    def __init__(self, pictures, settings, name="d", **changes):
        folder = pictures.parent / "out"
        self.detections = folder / f"{name}.json"
        self.outputs = {
            "detections": self.detections,
            "info": folder / f"{name}_info.json",
            "rejected": folder / f"{name}_rejected.tsv",
        }
        detect(pictures=pictures, settings=settings, device="cpu", **self.outputs, **changes)
        self.found = detections.read(self.detections)
        self.info = json.loads(self.outputs["info"].read_text())
        self.rejected = rejected.read(self.outputs["rejected"])


def saved(tmp_path, pictures):
    records.write(tmp_path / "pictures.json", pictures)
    return tmp_path / "pictures.json"


# What is written


def test_every_picture_has_its_own_objects(photos, network):
    """The oracle: the detector alone, one picture at a time, without the stage."""
    run = Run(photos, network)
    alone = YOLOX(
        file=Path(network.file), place=torch.device("cpu"), min_score=0.4,
        overlap=network.overlap, limit=100, names=tiny_yolox.NAMES,
    )  # fmt: skip
    pictures = records.read(photos).pictures
    assert list(run.found) == [picture.id for picture in pictures]
    for picture in pictures:
        image = decode.load_whole(photos.parent / picture.file)
        (expected,) = alone.detect([picture], [image])
        rows = run.found[picture.id]
        assert [r.category for r in rows] == [tiny_yolox.NAMES[c] for c in expected.categories]
        assert len(rows) > 2
        np.testing.assert_allclose([r.box for r in rows], expected.boxes, atol=1e-3)
        np.testing.assert_allclose([r.score for r in rows], expected.scores, atol=1e-5)
    assert run.rejected == []


def test_the_info_says_what_looked_and_how_fast(photos, network):
    info = Run(photos, network).info
    assert (info["detector"], info["pictures"], info["device"]) == ("yolox", 7, "cpu")
    assert info["categories"] == list(tiny_yolox.NAMES) and info["sizes"] == {}
    assert info["throughput"] == pytest.approx(7 / info["seconds"])
    assert info["settings"]["min_score"] == 0.4 and info["objects"] > 14 and "code" in info


def test_truth_is_the_records_own_without_crowds(tmp_path):
    crowd = Object("person", (0.0, 0.0, 50.0, 50.0), crowd=True)
    dog = Object("dog", (1.5, 2.25, 30.0, 4.0))
    path = saved(tmp_path, collection(tmp_path / "no such folder", 2, dog, crowd, CAR))
    run = Run(path, row("truth"))
    for rows in run.found.values():
        assert [(r.category, r.box, r.score) for r in rows] == [
            ("dog", dog.box, 1), ("car", CAR.box, 1),
        ]  # fmt: skip
    assert list(run.found) == [10, 11] and run.info["categories"] == list(NAMES)


def test_other_categories_than_cocos_are_sorted(tmp_path):
    objects = [replace(CAR, category=name) for name in ("square", "circle", "square")]
    run = Run(saved(tmp_path, collection(tmp_path, 1, *objects)), row("truth"))
    assert run.info["categories"] == ["circle", "square"]
    written = json.loads(run.detections.read_text())
    assert [entry["category_id"] for entry in written] == [2, 1, 2]


def test_twice_is_the_same_bytes(photos, network):
    first, second = (Run(photos, network, name).detections.read_bytes() for name in "ab")
    assert first == second


def test_only_the_readable_pictures_of_images_h5(photos, network):
    """Of those that are there, some may be missing by now: the images file decides."""
    path = photos.parent / "images.h5"
    images_h5.create(path, ["img/11.png", "img/15.png"], 8, "squash", {})
    assert list(Run(photos, network, images=path).found) == [11, 15]


def test_unreadable_pictures_are_rejected_and_the_rest_goes_on(photos, network):
    whole = Run(photos, network).found
    (photos.parent / "img/12.png").write_bytes(b"not a picture")
    (photos.parent / "img/13.png").unlink()
    (photos.parent / "img/16.png").unlink()  # a batch of its own
    run = Run(photos, network)
    assert run.rejected == [
        ("img/12.png", "not an image of a known format"),
        ("img/13.png", "missing"),
        ("img/16.png", "missing"),
    ]
    assert run.found == {key: whole[key] for key in (10, 11, 14, 15)}
    assert run.info["pictures"] == 4


def test_nothing_readable_is_an_error(tmp_path, network):
    path = saved(tmp_path, collection(tmp_path, 3))
    with pytest.raises(
        ValueError, match=r"none of the 3 pictures is readable: img/10\.png: missing"
    ):
        Run(path, network)
    path = saved(tmp_path, collection(tmp_path / "none", 3))
    with pytest.raises(FileNotFoundError, match="none, the root in"):
        Run(path, network)


def test_boxes_are_in_the_records_pixels(photos, network):
    """Files of half the size that the records say, as after a resize of the data set."""
    plain = Run(photos, network)
    records.write(photos, collection(photos.parent, 7, size=(192, 128)))
    twice = Run(photos, network)
    for key, rows in plain.found.items():
        boxes = np.array([found.box for found in twice.found[key]])
        np.testing.assert_allclose(boxes, 2 * np.array([found.box for found in rows]), rtol=1e-5)


def test_sizes_that_the_records_lack_are_told(photos, network):
    plain = Run(photos, network)
    records.write(photos, collection(photos.parent, 7, size=(0, 0)))
    unknown = Run(photos, network)
    assert unknown.found == plain.found
    assert unknown.info["sizes"] == {str(key): [96, 64] for key in range(10, 17)}


# Killed and continued


def broken_off(monkeypatch, batch):
    """Let the detector end in a given batch; the ids of all that it will be given."""
    plain, seen = YOLOX.detect, []

    def failing(self, pictures, images):
        seen.append([picture.id for picture in pictures])
        if len(seen) == batch:
            raise KeyboardInterrupt
        return plain(self, pictures, images)

    monkeypatch.setattr(YOLOX, "detect", failing)
    return seen


@pytest.mark.parametrize(
    ("batch_size", "rest"),
    [(2, [[14, 15], [16]]), (3, [[13, 14, 15], [16]])],
    ids=["same", "other"],
)
def test_an_interrupted_run_goes_on_where_it_was(photos, network, monkeypatch, batch_size, rest):
    """With other batches too: after running out of memory they are smaller."""
    whole = Run(photos, network, "whole").detections.read_bytes()
    seen = broken_off(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        Run(photos, network)
    assert not (photos.parent / "out/d.json").exists()
    run = Run(photos, network.model_copy(update={"batch_size": batch_size}))
    assert seen == [[10, 11], [12, 13], [14, 15], *rest]
    assert run.detections.read_bytes() == whole
    looked_at = sum(map(len, rest))
    assert run.info["throughput"] == pytest.approx(looked_at / run.info["seconds"])
    left = [p.name for p in run.detections.parent.rglob("*") if p.is_file() and p.suffix != ".lock"]
    assert sorted(left) == sorted(
        f"{name}{end}"
        for name in ("d", "whole")
        for end in (".json", "_info.json", "_rejected.tsv")
    )


def test_a_photo_that_was_replaced_is_looked_at_again(photos, network, monkeypatch):
    seen = broken_off(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        Run(photos, network)
    save_picture(photos.parent / "img/11.png", 99)
    run = Run(photos, network)
    assert seen[3:] == [[10, 11], [12, 13], [14, 15], [16]]
    whole = Run(photos, network, "whole")
    assert run.detections.read_bytes() == whole.detections.read_bytes()


def test_photos_that_nobody_opens_may_change(tmp_path, monkeypatch):
    """The truth of records that say their sizes needs no photos at all."""
    keys = []
    folder = outputs.work_folder
    monkeypatch.setattr(outputs, "work_folder", lambda *key: keys.append(key) or folder(*key))
    path = saved(tmp_path, collection(tmp_path, 2, CAR))
    for seed in range(2):
        Run(path, row("truth"))
        save_picture(tmp_path / "img/10.png", seed)
    assert keys[0] == keys[1]


def test_other_settings_start_anew(photos, network, monkeypatch):
    seen = broken_off(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        Run(photos, network)
    Run(photos, network.model_copy(update={"min_score": 0.5}))
    assert seen[2] == [10, 11]


def test_kill_9_keeps_whole_batches(photos, network):
    whole = Run(photos, network, "whole").detections.read_bytes()
    output = photos.parent / "out/d.json"
    code = f"""
import time
from pathlib import Path
from snakecap.config import settings
from snakecap.formats.store import Store
from snakecap.steps.detect import detect
save = Store.save
def slow(self, pairs):
    save(self, pairs); print("saved", flush=True); time.sleep(0.3)
Store.save = slow
folder = Path({str(output.parent)!r})
detect(pictures=Path({str(photos)!r}), detections=folder / "d.json", info=folder / "d_info.json",
       rejected=folder / "d_rejected.tsv", device="cpu",
       settings=settings.Detector.model_validate({network.model_dump(mode="json")!r}))
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for _ in range(2):
        assert child.stdout.readline()
    child.kill()
    child.wait()
    child.stdout.close()
    assert not output.exists()
    run = Run(photos, network)
    assert output.read_bytes() == whole
    assert run.info["throughput"] * run.info["seconds"] == pytest.approx(3)  # of seven


# Boxes that no layout can use

PICTURE = Picture(5, "5.jpg", "test", width=100, height=50)
INSIDE = [10, 10, 20, 20]


def tidied(*boxes, scores=None, **changes):
    found = Detections(
        np.float32(boxes).reshape(-1, 4),
        np.arange(len(boxes)) % 3,
        np.float32(scores if scores is not None else np.ones(len(boxes))),
    )
    tidied = tidy(found, PICTURE, NAMES, row("truth", **changes))
    return tidied.objects, list(tidied.notes)


@pytest.mark.parametrize(
    ("box", "kept", "note"),
    [
        ([90, 40, 20, 20], [90, 40, 10, 10], "reaches outside the picture, 100 x 50: clipped"),
        ([-5, 10, 20, 20], [0, 10, 15, 20], "clipped"),
        ([-1e30, -1e30, 2e30, 2e30], [0, 0, 100, 50], "clipped"),
        ([90, 40, 10.9, 10], [90, 40, 10, 10], None),  # rounding
        ([0, 0, 100, 50], [0, 0, 100, 50], None),
        (
            [200, 10, 20, 20],
            None,
            "[200, 10, 20, 20]) is outside the picture, 100 x 50: dropped",
        ),
        ([10, -30, 20, 20], None, "outside"),
        ([10, 10, 0, 20], None, "has no size: dropped"),
        ([10, 10, 20, -3], None, "has no size"),
    ],
)
def test_boxes_are_clipped_or_dropped_and_counted(box, kept, note):
    found, notes = tidied(INSIDE, box, INSIDE)
    inside = [INSIDE] if kept is None else [INSIDE, kept]
    np.testing.assert_allclose(found.boxes, [*inside, INSIDE], rtol=1e-6)
    assert found.categories.tolist() == ([0, 2] if kept is None else [0, 1, 2])
    assert len(notes) == (note is not None)
    if note:
        assert notes[0].startswith("object 2 (bicycle, [") and note in notes[0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_stop_the_run(value):
    with pytest.raises(
        ValueError, match=r"picture 5 \(5\.jpg\): object 2 \(bicycle.*not in finite"
    ):
        tidied(INSIDE, [1, value, 3, 4])
    with pytest.raises(ValueError, match="object 1"):
        tidied(INSIDE, scores=[value])


def test_five_thousand_boxes_become_the_best_hundred():
    scores = np.random.default_rng(0).permutation(5000) / 5000
    found, notes = tidied(*[INSIDE] * 5000, scores=scores, min_score=0)
    assert notes == ["5000 objects: the 100 best are kept"]
    expected = [score for score in scores if score >= 0.98]  # in their order
    np.testing.assert_allclose(found.scores, expected, rtol=1e-6)


def test_weak_objects_are_no_fault():
    found, notes = tidied(INSIDE, [500, 1, 2, 3], INSIDE, scores=[0.9, 0.01, 0.049])
    assert len(found) == 1 and notes == []


def test_nothing_stays_nothing():
    found, notes = tidied()
    assert len(found) == 0 and found.boxes.shape == (0, 4) and notes == []


def test_faults_are_in_the_table(tmp_path):
    objects = [CAR, replace(CAR, box=(90.0, 10.0, 30.0, 10.0)), replace(CAR, box=(0, 0, 0, 5))]
    run = Run(saved(tmp_path, collection(tmp_path, 2, *objects)), row("truth"))
    assert run.rejected == [
        (file, note)
        for file in ("img/10.png", "img/11.png")
        for note in (
            "object 2 (car, [90, 10, 30, 10]) reaches outside the picture, 96 x 64: clipped",
            "object 3 (car, [0, 0, 0, 5]) has no size: dropped",
        )
    ]
    assert [found.box for found in run.found[10]] == [CAR.box, (90, 10, 6, 10)]


# Results of others


def results(path, *rows):
    entries = [{"bbox": [8, 8, 16, 16], "score": 0.5, "category_id": 3, **one} for one in rows]
    path.write_text(json.dumps(entries))
    return row("results", path)


@pytest.fixture
def pictures(tmp_path):
    return saved(tmp_path, collection(tmp_path, 2, CAR))


def test_results_are_matched_by_id(pictures, tmp_path):
    """In the file's order, with text or numbers as ids; the threshold is the row's."""
    chosen = results(
        tmp_path / "r.json",
        {"image_id": 11, "category_id": 18},
        {"image_id": "10"},
        {"image_id": 11, "category": "tvmonitor", "score": 0.05},
        {"image_id": 11, "score": 0.01},
    )
    found = Run(pictures, chosen).found
    assert [r.category for r in found[11]] == ["dog", "tv"]
    assert [r.category for r in found[10]] == ["car"]


def test_results_of_other_pictures_are_refused(pictures, tmp_path):
    chosen = results(tmp_path / "r.json", {"image_id": 391895}, {"image_id": 522418})
    message = (
        r"r\.json is of other pictures: its image_ids are 391895, 522418.*data set's are 10, 11"
    )
    with pytest.raises(ValueError, match=message):
        Run(pictures, chosen)


def test_single_entries_of_other_pictures_are_counted(pictures, tmp_path):
    chosen = results(tmp_path / "r.json", {"image_id": 99}, {"image_id": 10}, {"image_id": 99})
    run = Run(pictures, chosen)
    assert run.rejected == [("99", "image_id of 2 entries of r.json: no such picture")]
    assert list(run.found) == [10]


def in_splits(tmp_path, *splits):
    """A data set of two pictures a split: ids 10, 11, 12, ..."""
    plain = collection(tmp_path, 2 * len(splits), CAR)
    rows = [replace(one, split=splits[at // 2]) for at, one in enumerate(plain.pictures)]
    return saved(tmp_path, replace(plain, pictures=tuple(rows)))


def test_a_picture_without_an_entry_is_valid_and_a_split_without_any_is_not(tmp_path):
    path = in_splits(tmp_path, "train", "val", "test")
    chosen = results(tmp_path / "r.json", {"image_id": 13})
    message = (
        r"r\.json has no entry of any of the 2 pictures of the split train: .*"
        r"detections_\{split\}\.json.* empty_splits: \[train, test\]"
    )
    with pytest.raises(ValueError, match=message):
        Run(path, chosen)
    meant = chosen.model_copy(update={"options": {"empty_splits": ["train", "test"]}})
    assert list(Run(path, meant).found) == [13]
    nothing = results(tmp_path / "none.json")
    with pytest.raises(ValueError, match="2 pictures of the split train"):
        Run(path, nothing)
    everywhere = {"empty_splits": ["train", "val", "test"]}
    assert Run(path, nothing.model_copy(update={"options": everywhere})).found == {}


def test_one_file_a_split_is_as_one_file(tmp_path):
    """COCO's results files are usually of one split."""
    path = in_splits(tmp_path, "train", "val")
    rows = [{"image_id": key} for key in (10, 11, 13)]
    whole = Run(path, results(tmp_path / "all.json", *rows), "whole").detections.read_bytes()
    results(tmp_path / "r_train.json", *rows[:2])
    results(tmp_path / "r_val.json", *rows[2:])
    chosen = row("results", tmp_path / "r_{split}.json")
    assert Run(path, chosen).detections.read_bytes() == whole
    results(tmp_path / "r_val.json", {"image_id": 13, "category_id": 91})
    with pytest.raises(ValueError, match=r"r_val\.json: entry 1 has the unknown category_id 91"):
        Run(path, chosen)
    (tmp_path / "r_val.json").unlink()
    with pytest.raises(ValueError, match="of the split val: "):
        Run(path, chosen)
    (tmp_path / "r_train.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"r_\{split\}\.json with train, val, test, extra"):
        Run(path, chosen)


def test_categories_that_only_some_entries_name_are_blamed_on_the_names(pictures, tmp_path):
    """Entry 1 alone would be in order: its id is one of COCO's."""
    chosen = results(tmp_path / "r.json", {"image_id": 10}, {"image_id": 10, "category": "unicorn"})
    message = r"entry 2 has the category 'unicorn', .*r\.json: entry 1 has a category_id alone"
    with pytest.raises(ValueError, match=message):
        Run(pictures, chosen)


@pytest.mark.parametrize("part", ["results", "darknet", "yolox", "yolov2"])
def test_a_missing_file_is_named_with_its_detector(pictures, tmp_path, part):
    message = rf"the detector {part} reads .*no\.x, and there is no such file"
    with pytest.raises(FileNotFoundError, match=message):
        Run(pictures, row(part, tmp_path / "no.x"))


def test_unknown_categories_are_named(pictures, tmp_path):
    chosen = results(tmp_path / "r.json", {"image_id": 10}, {"image_id": 10, "category_id": 91})
    with pytest.raises(
        ValueError, match=r"r\.json: entry 2 has the unknown category_id 91; .*1 per"
    ):
        Run(pictures, chosen)


def test_a_file_may_bring_its_own_categories(pictures, tmp_path, caplog):
    chosen = results(tmp_path / "r.json", *({"image_id": 10, "category": name} for name in "ba"))
    run = Run(pictures, chosen)
    assert "misspelt" not in caplog.text, "all are others: that is meant"
    assert run.info["categories"] == ["a", "b"]
    assert [found.category for found in run.found[10]] == ["b", "a"]


def test_a_category_among_known_ones_that_is_not_known_is_told(pictures, tmp_path, caplog):
    rows = ({"image_id": 10, "category": name} for name in ("dog", "dgo"))
    Run(pictures, results(tmp_path / "r.json", *rows))
    assert "r.json: entry 2 has the category 'dgo', which is not one of the 80 known" in caplog.text


def test_categories_of_which_the_data_set_has_none_are_told(pictures, tmp_path, caplog):
    rows = [{"image_id": 10, "category": name} for name in ("Car", "Dog")]
    Run(pictures, results(tmp_path / "r.json", *rows))
    assert "none of the categories of the data set's own objects (car)" in caplog.text
    assert "it names Car, Dog" in caplog.text


def test_ids_mean_what_the_data_set_says(tmp_path):
    """Its own ids, though all of its names are COCO's, and of categories that no object has."""
    seen = [replace(CAR, category="cat"), replace(CAR, category="dog")]
    plain = collection(tmp_path, 1, *seen)
    own = {1: "dog", 2: "cat", 7: "tvmonitor"}
    path = saved(tmp_path, replace(plain, categories=own))
    rows = [{"image_id": 10, "category_id": number} for number in own]
    run = Run(path, results(tmp_path / "r.json", *rows))
    assert [row.category for row in run.found[10]] == ["dog", "cat", "tv"]
    written = json.loads(run.detections.read_text())
    assert [row["category_id"] for row in written] == [1, 2, 7], "pycocotools compares ids"
    with pytest.raises(ValueError, match=r"unknown category_id 3; known: 1 dog, 2 cat, 7 tv"):
        Run(path, results(tmp_path / "r.json", {"image_id": 10, "category_id": 3}))


def test_ids_that_nobody_explains_are_refused(tmp_path):
    objects = [replace(CAR, category=name) for name in ("square", "circle")]
    path = saved(tmp_path, collection(tmp_path, 1, *objects))
    chosen = results(tmp_path / "r.json", {"image_id": 10, "category_id": 2})
    with pytest.raises(
        ValueError, match=r"the unknown category_id 2; known: none; .*as `category`"
    ):
        Run(path, chosen)


def test_a_wrong_number_in_a_file_is_named(pictures, tmp_path):
    chosen = results(tmp_path / "r.json", {"image_id": 10, "bbox": [1, 2, math.nan, 4]})
    with pytest.raises(ValueError, match=r"r\.json .*: entry 1\.bbox"):
        Run(pictures, chosen)


# OBJ2TEXT's lines


def lines(path, *files):
    codes = darknet_lines.encode_boxes(np.float32([CAR.box]), 96, 64)
    darknet_lines.write(path, [darknet_lines.Line(f, codes, np.array([16])) for f in files])
    return row("darknet", path)


def test_lines_are_matched_by_name(pictures, tmp_path):
    chosen = lines(tmp_path / "lines", "/theirs/val/11.png", "/theirs/10.png", "/theirs/no.png")
    run = Run(pictures, chosen)
    assert list(run.found) == [10, 11] and run.rejected == []
    (found,) = run.found[10]
    assert (found.category, found.score) == ("dog", 1)
    np.testing.assert_allclose(found.box, CAR.box, atol=0.2)  # a pixel of the square


def test_lines_need_a_size(tmp_path, pictures):
    """From the image file when the record has none."""
    chosen = lines(tmp_path / "lines", "10.png", "11.png")
    sized = Run(pictures, chosen).found
    bare = saved(tmp_path, collection(tmp_path, 2, size=(0, 0)))
    with pytest.raises(ValueError, match=r"img/10\.png: neither pictures\.json nor the image file"):
        Run(bare, chosen)
    for k in (10, 11):
        save_picture(tmp_path / f"img/{k}.png", k)
    assert Run(bare, chosen).found == sized


def test_missing_and_ambiguous_lines_are_named(pictures, tmp_path):
    with pytest.raises(ValueError, match=r"one line for the picture '11\.png', not none"):
        Run(pictures, lines(tmp_path / "lines", "a/10.png"))
    with pytest.raises(ValueError, match=r"the picture '10\.png', not a/10\.png, b/10\.png"):
        Run(pictures, lines(tmp_path / "lines", "a/10.png", "b/10.png", "11.png"))
    same = [Picture(k, f"{k}/x.png", "test", width=9, height=9) for k in (1, 2)]
    path = saved(tmp_path, Collection(tmp_path, tuple(same)))
    with pytest.raises(ValueError, match=r"two pictures have the same: 1/x\.png and 2/x\.png"):
        Run(path, lines(tmp_path / "lines", "x.png"))


# Rows


def test_the_weights_of_training_come_before_the_rows_file(photos, network):
    elsewhere = network.model_copy(update={"file": "nowhere.onnx"})
    assert Run(photos, elsewhere, weights=Path(network.file)).found
    with pytest.raises(FileNotFoundError, match=r"nowhere\.onnx"):
        Run(photos, elsewhere)


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ({"part": "yolox"}, "reads a file: set `file`"),
        ({"part": "results"}, "reads a file"),
        ({"part": "yolox", "file": "x", "options": {"size": 3}}, "unknown option size"),
        ({"part": "torchvision", "options": {"name": "vgg16"}}, "name"),
        ({"part": "truth", "options": {"file": "x"}}, "unknown option file"),
        ({"part": "yolox", "file": "a_{split}"}, "yolox reads one file, not one a {split}"),
        ({"part": "yolo"}, "unknown detector 'yolo'"),
    ],
)
def test_wrong_rows_are_refused_before_any_job(chosen, reason):
    with pytest.raises(ValueError, match=reason):
        configuration.Detector.model_validate(chosen).check_file()
