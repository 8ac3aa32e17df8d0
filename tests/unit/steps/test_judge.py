"""The stage `judge`: average precision of each split, from files to a file."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from snakecap.config import settings
from snakecap.formats import detections
from snakecap.formats import pictures as records
from snakecap.formats.pictures import Collection, Picture
from snakecap.metrics.detection import average_precision
from snakecap.objects.boxes import Detections
from snakecap.objects.categories import NAMES, ordered
from snakecap.objects.object import Object
from snakecap.steps.detect import detect
from snakecap.steps.judge import judge

CATEGORIES = ("cat", "dog", "tv")


def random_picture(random, number, split):
    objects = tuple(
        Object(
            CATEGORIES[random.integers(3)],
            (*map(float, random.integers(0, 50, 2)), *map(float, random.integers(10, 50, 2))),
            bool(random.random() < 0.2),
        )
        for _ in range(random.integers(0, 5))
    )
    return Picture(number, f"{number}.jpg", split, (), objects, (), 100, 100)


def random_detections(random, picture, categories):
    """Near the objects, and elsewhere."""
    rows = [(seen.category, np.add(seen.box, random.uniform(-5, 5, 4))) for seen in picture.objects]
    rows += [(CATEGORIES[random.integers(3)], random.uniform(10, 50, 4)) for _ in range(2)]
    return Detections(
        np.float32([box for _, box in rows]),
        np.array([categories.index(name) for name, _ in rows]),
        random.random(len(rows)).astype(np.float32),
    )


class Files:
    """The files of a judgement in a folder."""

    def __init__(self, folder, pictures, found, categories=NAMES):
        self.pictures, self.detections = folder / "pictures.json", folder / "d.json"
        self.info, self.scores = folder / "d_info.json", folder / "scores" / "d.json"
        records.write(self.pictures, Collection(folder, tuple(pictures)))
        detections.write(self.detections, found.items(), categories)
        self.info.write_text(json.dumps({"categories": list(categories)}))

    def judge(self):
        judge(
            pictures=self.pictures, detections=self.detections, info=self.info, scores=self.scores
        )
        return json.loads(self.scores.read_text())


@pytest.fixture
def case():
    random = np.random.default_rng(0)
    splits = ["train"] * 6 + ["val"] * 5 + ["test"] * 7
    pictures = [random_picture(random, k, split) for k, split in enumerate(splits)]
    return pictures, {p.id: random_detections(random, p, NAMES) for p in pictures}


def test_each_split_is_judged_alone(tmp_path, case):
    pictures, found = case
    scores = Files(tmp_path, pictures, found).judge()
    assert list(scores) == ["train", "val", "test"]
    for split, row in scores.items():
        chosen = [picture for picture in pictures if picture.split == split]
        truth = {
            p.id: [(NAMES.index(o.category), o.box, o.crowd) for o in p.objects] for p in chosen
        }
        seen = {picture.id: found[picture.id] for picture in chosen}
        expected = average_precision(truth, seen, categories=80)
        assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-9)
        assert row["pictures"] == len(chosen)
        assert row["objects"] == sum(not o.crowd for p in chosen for o in p.objects)
        assert 0 < row["AP"] < row["AP50"] < 1


def test_the_truth_is_perfect(tmp_path, case):
    """Through `detect`, whose files `judge` reads."""
    records.write(tmp_path / "pictures.json", Collection(tmp_path, tuple(case[0])))
    files = {name: tmp_path / name for name in ("detections", "info", "rejected")}
    row = settings.Detector(part="truth")
    detect(pictures=tmp_path / "pictures.json", settings=row, device="cpu", **files)
    del files["rejected"]
    judge(pictures=tmp_path / "pictures.json", scores=tmp_path / "scores.json", **files)
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert [row["AP"] for row in scores.values()] == pytest.approx([1, 1, 1])


def test_pictures_without_objects_and_other_spellings(tmp_path):
    box = (10.0, 10.0, 20.0, 20.0)
    sofa = Object("sofa", box)
    pictures = [
        Picture(k, f"{k}.jpg", "val", (), objects) for k, objects in ((1, (sofa,)), (2, ()))
    ]
    seen = Detections(np.float32([box]), np.array([NAMES.index("couch")]), np.float32([0.5]))
    assert Files(tmp_path, pictures, {1: seen}).judge()["val"]["AP"] == pytest.approx(1)
    better = replace(seen, scores=np.float32([0.9]))
    assert Files(tmp_path, pictures, {1: seen, 2: better}).judge()["val"]["AP"] == pytest.approx(
        0.5
    )


def test_a_category_that_the_detector_does_not_know_is_missed(tmp_path):
    box = (10.0, 10.0, 20.0, 20.0)
    objects = (Object("cat", box), Object("unicorn", box))
    seen = Detections(np.float32([box]), np.array([NAMES.index("cat")]), np.float32([0.5]))
    files = Files(tmp_path, [Picture("a", "a.jpg", "test", (), objects)], {"a": seen})
    assert files.judge()["test"]["AP"] == pytest.approx(0.5)


def test_without_objects_there_is_nothing_to_say(tmp_path):
    crowd = Object("cat", (0.0, 0.0, 9.0, 9.0), crowd=True)
    pictures = [Picture(1, "1.jpg", "test"), Picture(2, "2.jpg", "val", (), (crowd,))]
    assert Files(tmp_path, pictures, {}).judge() == {}


def test_other_pictures_and_categories_are_refused(tmp_path, case):
    pictures, found = case
    with pytest.raises(ValueError, match=r"d\.json is of other pictures: 1 of its .* such as 99"):
        Files(tmp_path, pictures, {**found, 99: found[0]}).judge()
    names = ordered(["a", *CATEGORIES])
    files = Files(tmp_path, pictures, {0: Detections.none()}, names)
    box = {"image_id": 1, "category": "zebra", "bbox": [1, 2, 3, 4], "score": 0.5}
    files.detections.write_text(json.dumps([box]))
    with pytest.raises(ValueError, match=r"d\.json has the category 'zebra', and .*d_info\.json"):
        files.judge()


def test_judging_and_arranging_need_no_torch(tmp_path):
    """Light jobs start in a fraction of the seconds that torch takes; from files to files."""
    random = np.random.default_rng(0)
    pictures = [random_picture(random, number, "test") for number in range(4)]
    found = {one.id: random_detections(random, one, CATEGORIES) for one in pictures}
    Files(tmp_path, pictures, found, CATEGORIES)
    code = """
import sys
from pathlib import Path
from snakecap.steps.judge import judge
from snakecap.steps.layout import layout
files = {name: Path(path) for name, path in zip(sys.argv[1::2], sys.argv[2::2])}
judge(**files, scores=Path("scores.json"))
layout(**files, layout=Path("layout.h5"))
print("torch" in sys.modules)
"""
    words = ["pictures", "pictures.json", "detections", "d.json", "info", "d_info.json"]
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
    assert (tmp_path / "scores.json").is_file() and (tmp_path / "layout.h5").is_file()
