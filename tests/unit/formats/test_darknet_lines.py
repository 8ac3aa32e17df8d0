"""The stage `darknet-lines`: detections as OBJ2TEXT's own file, and back through its detector."""

import json

import numpy as np
import pytest

from snakecap import cli
from snakecap.config import settings as configuration
from snakecap.data import raw as raw_reader
from snakecap.formats import darknet_lines as files
from snakecap.formats import detections
from snakecap.formats import pictures as records
from snakecap.formats.pictures import Collection, Picture
from snakecap.objects.boxes import Detections
from snakecap.objects.categories import NAMES
from snakecap.steps.darknet_lines import darknet_lines
from snakecap.steps.detect import detect

DOG, TV = NAMES.index("dog"), NAMES.index("tv")
BOXES = np.float32([[10, 20, 200, 100], [300, 40, 250, 400]])
SIZES = {1: (640, 480), 2: (480, 640), 3: (640, 480)}


@pytest.fixture
def paths(tmp_path):
    return {
        "pictures": tmp_path / "pictures.json",
        "detections": tmp_path / "d.json",
        "lines": tmp_path / "coco_detection_result",
    }


def save(paths, categories=NAMES, sizes=SIZES, scores=(0.9, 0.3)):
    """Two objects in picture 1, the first of them in 2, none in 3."""
    chosen = tuple(
        Picture(k, f"val/{k}.jpg", "val", width=w, height=h) for k, (w, h) in sizes.items()
    )
    records.write(paths["pictures"], Collection(paths["pictures"].parent, chosen))
    kinds = np.array([categories.index("dog"), len(categories) - 1])
    both = Detections(BOXES, kinds, np.float32(scores))
    rows = [(1, both), (2, both.take(np.array([0])))]
    detections.write(paths["detections"], rows, categories)


def command(name, **options):
    return [name, *(word for key, value in options.items() for word in (f"--{key}", str(value)))]


def test_what_was_written_is_what_its_detector_reads(paths, tmp_path):
    save(paths)
    darknet_lines(**paths)
    first, *rest = files.read(paths["lines"])
    assert first.file == "val/1.jpg" and [row.file for row in rest] == ["val/2.jpg", "val/3.jpg"]
    assert first.categories.tolist() == [DOG, 79] and [len(row.boxes) for row in rest] == [1, 0]
    again = {name: tmp_path / name for name in ("detections", "info", "rejected")}
    row = configuration.Detector(part="darknet", file=str(paths["lines"]), min_score=0)
    detect(pictures=paths["pictures"], settings=row, device="cpu", **again)
    found = detections.read(again["detections"])
    assert [seen.category for seen in found[1]] == ["dog", "toothbrush"]
    pixel = 640 / 608
    for key, boxes in ((1, BOXES), (2, BOXES[:1])):
        np.testing.assert_allclose([seen.box for seen in found[key]], boxes, atol=2 * pixel)
    assert 3 not in found


def test_lines_and_captions_are_put_together_as_theirs(paths, tmp_path):
    """Specification B2 and O2: the fields of coco_yolo_objname_location.json."""
    chosen = [
        Picture(k, f"{name}/{k}.jpg", split, (f"said {k}",))
        for k, name, split in ((1, "train2014", "train"), (2, "val2014", "val"))
    ]
    records.write(paths["pictures"], Collection(tmp_path, tuple(chosen)))
    codes = np.arange(1, 101) * 1001001  # 100 boxes
    kinds = np.tile([DOG, TV], 50)
    seen = [files.Line("/theirs/2.jpg", codes[:3], kinds[:3]), files.Line("1.jpg", codes, kinds)]
    files.write(paths["lines"], seen)
    files_of = {"pictures": paths["pictures"], "lines": paths["lines"]}
    cli.main(command("raw", output=tmp_path / "out.json", **files_of))
    second, first = json.loads((tmp_path / "out.json").read_text())
    assert second == {
        "file_path": "val2014/2.jpg",
        "id": 2,
        "captions": ["said 2"],
        "bboxes": codes[:3].tolist(),
        "full_categories": [DOG + 1, TV + 1, DOG + 1],
        "categories": [DOG + 1, TV + 1],
    }
    assert len(first["bboxes"]) == 100 and len(first["full_categories"]) == 96, "as there"
    files.write(paths["lines"], seen[:1])
    with pytest.raises(SystemExit):
        cli.main(command("raw", output=tmp_path / "other.json", **files_of))
    again = raw_reader.read(tmp_path, annotations="out.json", by_path=True)
    assert [(one.id, one.split) for one in again.pictures] == [(2, "val"), (1, "train")]


def test_weak_detections_are_left_out(paths):
    save(paths)
    darknet_lines(**paths, threshold=0.5)
    assert [len(row.boxes) for row in files.read(paths["lines"])] == [1, 1, 0]
    darknet_lines(**paths, threshold=1.0)
    assert [len(row.boxes) for row in files.read(paths["lines"])] == [0, 0, 0]


def test_the_command(paths):
    save(paths)
    cli.main(["darknet-lines", *(f"--{name}={path}" for name, path in paths.items())])
    assert len(files.read(paths["lines"])) == 3


def test_sizes_may_come_from_the_detector(paths, tmp_path):
    save(paths)
    darknet_lines(**paths)
    expected = paths["lines"].read_text()
    save(paths, sizes=dict.fromkeys(SIZES, (0, 480)))  # half a size is none
    with pytest.raises(
        ValueError, match=r"val/1\.jpg: .*how large it is.*give the detector's --info"
    ):
        darknet_lines(**paths)
    info = tmp_path / "info.json"
    sizes = {str(key): size for key, size in SIZES.items()}
    info.write_text(json.dumps({"categories": NAMES, "sizes": sizes}))
    darknet_lines(**paths, info=info)
    assert paths["lines"].read_text() == expected


def test_other_categories_and_pictures_are_refused(paths):
    save(paths, categories=("dog", "dragon"))
    with pytest.raises(ValueError, match=r"d\.json has the category 'dragon': .*COCO's 80"):
        darknet_lines(**paths)
    save(paths, sizes={1: (640, 480)})
    with pytest.raises(ValueError, match=r"other pictures: 1 of its 2 image_ids .* such as 2"):
        darknet_lines(**paths)


def write_boxes(paths, *boxes, category="dog", score=0.5):
    save(paths)
    rows = [{"image_id": 3, "category": category, "bbox": box, "score": score} for box in boxes]
    paths["detections"].write_text(json.dumps(rows))


def test_boxes_without_a_size_are_left_out_and_counted(paths, caplog):
    caplog.set_level("INFO")
    odd = [[9, 9, 0, 5], [9, 9, -50, -50], [900, 9, 5, 5], [9e8, 9, 5, 5], [10, 10, 0.1, 50]]
    write_boxes(paths, *odd, [-10, -10, 60, 60])
    darknet_lines(**paths)
    (row,) = [row for row in files.read(paths["lines"]) if len(row.boxes)]
    (box,) = files.decode_boxes(row.boxes, 640, 480)
    np.testing.assert_allclose(box, [0, 0, 50, 50], atol=2)
    assert "5 boxes were left out" in caplog.text


def test_darknets_spelling_and_a_score_at_the_threshold(paths):
    write_boxes(paths, [10, 10, 50, 50], category="tvmonitor", score=0.24)
    darknet_lines(**paths)
    assert files.read(paths["lines"])[2].categories.tolist() == [TV]
    write_boxes(paths, [10, 10, 50, 50], score=0.2399)
    darknet_lines(**paths)
    assert len(files.read(paths["lines"])[2].boxes) == 0


def test_a_picture_without_objects_needs_no_size(paths):
    save(paths, sizes={**SIZES, 3: (0, 0)})
    darknet_lines(**paths)
    assert [len(row.boxes) for row in files.read(paths["lines"])] == [2, 1, 0]


@pytest.mark.parametrize(
    "facts",
    [
        {"sizes": []},
        {"sizes": None},
        {"sizes": {"1": [640]}},
        {"sizes": {"1": [-5, 7]}},
        {"sizes": {"1": ["a", "b"]}},
    ],
)
def test_a_wrong_info_is_named(paths, tmp_path, facts):
    save(paths)
    info = tmp_path / "info.json"
    info.write_text(json.dumps({"categories": [], **facts}))
    with pytest.raises(ValueError, match=r"info\.json is not a detector\'s info: sizes"):
        darknet_lines(**paths, info=info)


def test_what_is_written_is_checked(tmp_path):
    line = files.Line("a.jpg", np.array([607607001001]), np.array([0]))
    with pytest.raises(ValueError, match=r"lines:1 .*bboxes\.0: a box is .*607607001001"):
        files.write(tmp_path / "lines", [line])
    assert not (tmp_path / "lines").exists()
