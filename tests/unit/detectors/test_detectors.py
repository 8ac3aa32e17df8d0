"""What `detectors/detector.py` promises, for every detector of the registry."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_yolox
import torch
from safetensors.torch import save_file

from snakecap import registry
from snakecap.config import options, settings
from snakecap.formats import model as models
from snakecap.formats.pictures import Picture
from snakecap.inference.detector import build_detector, look
from snakecap.objects.categories import NAMES, ordered
from snakecap.objects.object import Object

SIZES = ((96, 64), (64, 80), (50, 50), (96, 64))
COLOURS = ("person", "dog", "car")


def picture(number, width, height):
    random = np.random.default_rng(number)
    rows = []
    for _ in range(3):
        x, y = random.integers(0, (width - 20, height - 20))
        rows.append(Object(COLOURS[random.integers(3)], (float(x), float(y), 16.5, 12.0)))
    crowd = Object("person", (0.0, 0.0, 20.0, 20.0), crowd=True)
    return Picture(number, f"some/{number}.jpg", "test", (), (*rows, crowd), (), width, height)


PICTURES = tuple(picture(number, *size) for number, size in enumerate(SIZES))
EMPTY = Picture(9, "some/9.jpg", "test", width=64, height=64)


def image(record):
    """Noise, and a block of one pure colour for each object."""
    random = np.random.default_rng(1)
    pixels = random.integers(0, 60, (3, record.height, record.width), np.uint8)
    for row in record.objects:
        x, y, width, height = map(int, row.box)
        colour = np.uint8([255 * (row.category == name) for name in COLOURS])
        pixels[:, y : y + height, x : x + width] = colour[:, None, None]
    return pixels


IMAGES = {record.id: image(record) for record in (*PICTURES, EMPTY)}


def yolov2(folder):
    from snakecap.detectors.darknet_network import Network
    from snakecap.formats.darknet import parse

    text = (Path(__file__).parent / "tiny_yolov2.cfg").read_text()
    torch.manual_seed(0)
    network = Network(parse(text))
    with torch.no_grad():
        for tensor in network.layers[-1].parameters():
            tensor.normal_(0, 0.5)
    header = {"cfg": text, "categories": COLOURS}
    models.write(folder / "model.safetensors", network.state_dict(), header)
    return {"part": "yolov2", "min_score": 0.3}, folder / "model.safetensors"


def yolox(folder):
    tiny_yolox.save(folder / "tiny.onnx")
    chosen = {"part": "yolox", "options": {"names": COLOURS}, "min_score": 0.2}
    return chosen, folder / "tiny.onnx"


def torchvision(folder):
    from torchvision.models import get_model

    torch.manual_seed(0)
    name = "ssdlite320_mobilenet_v3_large"
    network = get_model(name, weights=None, weights_backbone=None)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the statistics of one pass: else all pictures look alike
    with torch.no_grad():
        noise = torch.randn(4, 3, 160, 160)
        network.head(list(network.backbone(noise).values()))
        for parameter in network.head.classification_head.parameters():
            parameter.mul_(1.3)
    save_file(network.state_dict(), folder / "ssd.safetensors")
    chosen = {"part": "torchvision", "options": {"name": name}, "min_score": 0.3}
    return chosen, folder / "ssd.safetensors"


def truth(folder):
    return {"part": "truth"}, None


def results(folder):
    random = np.random.default_rng(0)
    rows = [
        {"image_id": record.id, "category_id": 18, "bbox": row.box, "score": random.random()}
        for record in PICTURES
        for row in record.objects
    ]
    (folder / "results.json").write_text(json.dumps(rows))
    return {"part": "results"}, folder / "results.json"


def darknet(folder):
    from snakecap.formats.darknet_lines import Line, encode_boxes, write

    lines = []
    for record in (*PICTURES, EMPTY):
        boxes = np.float32([row.box for row in record.objects]).reshape(-1, 4)
        codes = encode_boxes(boxes, record.width, record.height)
        lines.append(Line(f"/theirs/{record.id}.jpg", codes, np.arange(len(codes))))
    write(folder / "coco_detection_result", lines)
    return {"part": "darknet"}, folder / "coco_detection_result"


MAKERS = {f.__name__: f for f in (yolov2, yolox, torchvision, truth, results, darknet)}


class Case:
    """A detector, and a function from pictures to what it sees in them."""

    def __init__(self, name, folder):
        self.kept = {}
        chosen, self.file = MAKERS[name](folder)
        shown = None if self.file is None else str(self.file)
        self.row = settings.Detector.model_validate({**chosen, "file": shown})

    def build(self, **changes):
        """The detector, anew."""
        row = self.row.model_copy(update=changes)
        place = torch.device("cpu")
        return row, build_detector(row, file=self.file, categories=ordered(COLOURS), place=place)

    def built(self, **changes):
        """The detector, built once."""
        key = tuple(changes.items())
        self.kept[key] = self.kept.get(key) or self.build(**changes)
        return self.kept[key]

    def see(self, pictures, **changes):
        return looked(*self.built(**changes), pictures)


def looked(row, detector, pictures):
    images = [IMAGES[record.id] for record in pictures] if detector.reads_images else []
    return [one.objects for one in look(detector, pictures, images, row)]


@pytest.fixture(scope="module", params=sorted(registry.DETECTORS))
def case(request, tmp_path_factory):
    return Case(request.param, tmp_path_factory.mktemp(request.param))


def assert_same(some, others, tolerance=1e-3):
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one.categories, other.categories)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=tolerance)
        np.testing.assert_allclose(one.scores, other.scores, atol=tolerance / 10)


def test_what_it_gives_is_what_detections_are(case):
    _, detector = case.built()
    found = case.see(PICTURES)
    assert sum(map(len, found)) >= 5, "nothing to look at"
    assert len(set(detector.categories)) == len(detector.categories) > 0
    for record, seen in zip(PICTURES, found, strict=True):
        assert seen.boxes.shape == (len(seen), 4) and seen.scores.shape == (len(seen),)
        assert (seen.boxes.dtype, seen.categories.dtype, seen.scores.dtype) == (
            np.float32, np.int64, np.float32,
        )  # fmt: skip
        assert (seen.boxes >= 0).all() and (seen.boxes[:, 2:] > 0).all()
        far = seen.boxes[:, :2] + seen.boxes[:, 2:]
        assert (far <= np.float32([record.width, record.height]) + 1e-3).all()
        assert (seen.scores >= case.row.min_score).all() and (seen.scores <= 1).all()
        assert (seen.categories >= 0).all() and (seen.categories < len(detector.categories)).all()


def test_detectors_that_look_clip_their_own_boxes(case):
    row, detector = case.built()
    if detector.reads_images:
        images = [IMAGES[record.id] for record in PICTURES]
        assert not any(one.notes for one in look(detector, PICTURES, images, row))


def test_a_picture_does_not_depend_on_its_batch(case):
    together = case.see(PICTURES)
    assert_same(together, [case.see([record])[0] for record in PICTURES])
    assert_same(together[::-1], case.see(PICTURES[::-1]))


def test_twice_is_the_same_bits(case):
    again = looked(*case.build(), PICTURES)
    assert_same(case.see(PICTURES), again, tolerance=0)


def test_a_larger_threshold_only_takes_weaker_boxes_away(case):
    everything = case.see(PICTURES)
    scores = np.sort(np.concatenate([seen.scores for seen in everything]))
    middle = float(scores[len(scores) // 2 :].min() + 1e-6)
    strong = [seen.take(np.flatnonzero(seen.scores >= middle)) for seen in everything]
    assert_same(strong, case.see(PICTURES, min_score=middle))


def test_the_limit_keeps_the_best_in_the_same_order(case):
    for few, many in zip(case.see(PICTURES, limit=2), case.see(PICTURES), strict=True):
        best = np.sort(np.argsort(-many.scores, kind="stable")[:2])
        assert_same([few], [many.take(best)])


def test_a_picture_without_objects_is_valid(case):
    _, detector = case.built()
    (seen,) = case.see([EMPTY])
    assert seen.boxes.shape == (len(seen), 4)
    if not detector.reads_images:
        assert len(seen) == 0


def test_the_picture_counts_not_its_annotations(case):
    """A detector that looks sees the same without the record's objects; `truth` does not."""
    _, detector = case.built()
    bare = [replace(record, objects=()) for record in PICTURES]
    if detector.reads_images:
        assert_same(case.see(bare), case.see(PICTURES), tolerance=0)


def test_the_source_says_what_the_class_is(case):
    _, detector = case.built()
    for attribute in ("uses", "reads_images"):
        assert options.constant("detector", case.row.part, attribute) == getattr(
            detector, attribute
        )


def test_a_detector_that_needs_a_file_says_so(case):
    if case.file is not None and case.row.part != "torchvision":
        with pytest.raises(ValueError, match="reads a file"):
            build_detector(case.row, file=None, categories=NAMES, place=torch.device("cpu"))


def test_a_missing_file_is_named(case, tmp_path):
    if case.file is not None:
        path = tmp_path / f"absent{case.file.suffix}"
        with pytest.raises((FileNotFoundError, ValueError), match="absent"):
            build_detector(case.row, file=path, categories=NAMES, place=torch.device("cpu"))


def test_a_file_of_something_else_is_named(case, tmp_path):
    if case.file is not None:
        path = tmp_path / f"odd{case.file.suffix}"
        path.write_bytes(b"no such thing\n")
        with pytest.raises(ValueError, match="odd"):
            build_detector(case.row, file=path, categories=NAMES, place=torch.device("cpu"))
