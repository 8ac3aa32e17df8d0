"""YOLOv2: network, boxes, loss and anchors, against darknet's formulas in plain loops."""

import darknet_oracle as oracle
import numpy as np
import pytest
import torch

from snakecap.config.settings import Detector
from snakecap.detectors import untrained
from snakecap.detectors.darknet_network import MaxPool, Network, Reorg, Shape
from snakecap.detectors.untrained import cluster, overlaps
from snakecap.detectors.yolov2 import YOLOv2, decode
from snakecap.formats import model as models
from snakecap.formats import pictures as records_json
from snakecap.formats.darknet import parse
from snakecap.formats.pictures import Collection, Picture
from snakecap.objectives.yolov2 import Scales, iou, last_of_each, region_loss, unmatched
from snakecap.objects.boxes import Frame, clip
from snakecap.objects.categories import NAMES
from snakecap.provenance import outputs
from snakecap.steps.detect import detect

TEMPLATES = [oracle.PASSAGE, oracle.TINY]
ANCHORS = {
    oracle.PASSAGE: [(0.57273, 0.677385), (1.87446, 2.06253)],
    oracle.TINY: [(1.5, 1.2), (3, 4.5)],
}
ROW = {"min_score": 0.24, "overlap": 0.4, "limit": 10**6, "place": torch.device("cpu")}


def darknet_files(folder, template, classes, seed=0):
    """A ``.cfg``, its ``.weights`` and the names; the arrays too."""
    layers = oracle.random_weights(template, classes, seed)
    (folder / "a.cfg").write_text(oracle.text(template, classes))
    (folder / "a.weights").write_bytes(oracle.weights_file(layers))
    (folder / "a.names").write_text("\n".join(f"thing {k}" for k in range(classes)))
    return layers


def darknets(folder, **options):
    files = {"cfg": str(folder / "a.cfg"), "names": str(folder / "a.names")}
    return YOLOv2(**{"file": folder / "a.weights", **ROW, **files, **options})


def photos(sizes, seed=0):
    random = np.random.default_rng(seed)
    # Blocks, not noise: letterboxed noise is grey.
    return [
        np.kron(random.integers(0, 256, (3, h // 8 + 1, w // 8 + 1)), np.ones((8, 8)))[
            :, :h, :w
        ].astype(np.uint8)
        for w, h in sizes
    ]


def records(number):
    return [Picture(k, f"{k}.jpg", "test") for k in range(number)]


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_network_is_what_plain_code_computes(template, tmp_path):
    layers = darknet_files(tmp_path, template, 3)
    network = darknets(tmp_path).network
    x = torch.rand(2, 3, network.size, network.size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        raw = network(x)
        expected = oracle.forward(template, layers, x)
    assert raw.shape == (2, 2, 8, *expected.shape[2:])
    torch.testing.assert_close(raw.flatten(1, 2), expected, rtol=1e-4, atol=1e-4)


def test_one_negative_variance_of_a_network_is_refused(tmp_path):
    layers = darknet_files(tmp_path, oracle.TINY, 3)
    layers[1][3][2] = -0.1  # biases, scales, means, variances, weights
    (tmp_path / "a.weights").write_bytes(oracle.weights_file(layers))
    with pytest.raises(ValueError, match=r"a\.weights: layer 2's variances holds a negative"):
        darknets(tmp_path)


@pytest.mark.parametrize(("channels", "side", "stride"), [(4, 4, 2), (8, 6, 2), (18, 6, 3)])
def test_reorg_moves_memory_as_darknet_does(channels, side, stride):
    x = torch.rand(2, channels, side, side)
    section = parse(f"[reorg]\nstride={stride}")[0]
    assert torch.equal(Reorg(section, [Shape(channels, 1)])(x), oracle.reorg(x, stride))


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (2, 1), (3, 1), (3, 2), (4, 2), (3, 3)])
def test_pooling_as_darknets_loop(size, stride):
    """maxpool_layer.c: size - 1 pixels of padding, half of them, rounded down, at the left."""
    x = torch.randn(1, 2, 6, 6)
    layer = MaxPool(parse(f"[maxpool]\nsize={size}\nstride={stride}")[0], [Shape(2, 1)])
    side = (6 - 1) // stride + 1
    offset = -((size - 1) // 2)
    expected = torch.full((1, 2, side, side), -torch.inf)
    for i in range(side):
        for j in range(side):
            for n in range(size):
                for m in range(size):
                    row, column = offset + i * stride + n, offset + j * stride + m
                    if 0 <= row < 6 and 0 <= column < 6:
                        there = expected[..., i, j]
                        expected[..., i, j] = torch.maximum(there, x[..., row, column])
    assert torch.equal(layer(x), expected)


@pytest.mark.parametrize("template", TEMPLATES)
def test_boxes_in_darknets_order(template):
    anchors = ANCHORS[template]
    raw = torch.randn(1, 2, 8, 4, 4)
    boxes = decode(raw, torch.tensor(anchors)).flatten(1, 3)[0]
    expected = oracle.predictions(raw[0].flatten(0, 1), anchors, 3)
    for ours, ((x, y, w, h), _, _) in zip(boxes.tolist(), expected, strict=True):
        assert ours == pytest.approx([x - w / 2, y - h / 2, w, h], abs=1e-5)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_detector_is_what_plain_code_finds(template, tmp_path):
    layers = darknet_files(tmp_path, template, 3, seed=2)
    detector = darknets(tmp_path)
    side = detector.network.size
    images = photos([(side, side), (2 * side, side), (side, 2 * side)])
    found = detector.detect(records(3), images)
    assert sum(map(len, found)) > 20
    for image, seen in zip(images, found, strict=True):
        height, width = image.shape[1:]
        assert np.all(clip(seen.boxes, width, height) == seen.boxes)
        assert np.all(seen.boxes[:, 2:] > 0) and np.all(seen.scores >= 0.24)
        if width != height:
            continue  # the letterbox has its own tests
        raw = oracle.forward(template, layers, torch.from_numpy(image)[None].float() / 255)[0]
        expected = oracle.detections(raw, ANCHORS[template], 3, 0.24, 0.4)
        assert seen.categories.tolist() == [category for _, category, _, _ in expected]
        for box, score, (_, _, theirs, (x, y, w, h)) in zip(
            seen.boxes, seen.scores, expected, strict=True
        ):
            assert score == pytest.approx(theirs, abs=1e-4)
            ends = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]).clip(0, 1) * side
            assert box == pytest.approx([*ends[:2], *(ends[2:] - ends[:2])], abs=1e-2)


def test_boxes_of_a_letterboxed_picture_are_its_own_pixels(tmp_path):
    """A picture between grey bars, and the square that it becomes: the same boxes, moved."""
    darknet_files(tmp_path, oracle.PASSAGE, 3, seed=2)
    detector = darknets(tmp_path)
    image = photos([(64, 32)])[0]
    square = np.full((3, 64, 64), 128, np.uint8)
    square[:, 16:48] = image
    wide, whole = detector.detect(records(2), [image, square])
    frame = Frame.around(64, 32, 64)
    moved = clip(frame.out(whole.boxes), 64, 32)
    inside = np.flatnonzero((moved[:, 2:] > 0).all(1))
    assert len(inside) > 0
    assert np.array_equal(wide.scores, whole.scores[inside])
    assert wide.boxes == pytest.approx(moved[inside], abs=1e-3)


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_is_seen_does_not_depend_on_the_batch(template, tmp_path):
    darknet_files(tmp_path, template, 3)
    detector = darknets(tmp_path, min_score=0.05)
    images = photos([(64, 64), (40, 90), (90, 30), (33, 33), (64, 48), (20, 20), (65, 64)] * 3)
    singly = [detector.detect(records(1), [image])[0] for image in images]
    order = np.random.default_rng(3).permutation(len(images))
    for size in (2, 5, len(images)):
        for start in range(0, len(images), size):
            rows = order[start : start + size]
            found = detector.detect(records(len(rows)), [images[row] for row in rows])
            for row, seen in zip(rows, found, strict=True):
                assert np.array_equal(seen.boxes, singly[row].boxes)
                assert np.array_equal(seen.scores, singly[row].scores)
                assert np.array_equal(seen.categories, singly[row].categories)
    assert detector.detect([], []) == []


def test_the_limit_keeps_the_best_in_the_detectors_order(tmp_path):
    darknet_files(tmp_path, oracle.PASSAGE, 3)
    image = photos([(64, 64)])
    everything = darknets(tmp_path, min_score=0.0, overlap=1.0)
    whole = everything.detect(records(1), image)[0]
    few = darknets(tmp_path, min_score=0.0, overlap=1.0, limit=7).detect(records(1), image)[0]
    places = np.sort(np.argsort(-whole.scores, kind="stable")[:7])
    assert np.array_equal(few.scores, whole.scores[places])
    assert np.array_equal(few.boxes, whole.boxes[places])


def test_eighty_categories_are_cocos(tmp_path):
    darknet_files(tmp_path, oracle.TINY, 80)
    assert darknets(tmp_path, names=None).categories == NAMES


def test_another_size_is_another_grid(tmp_path):
    darknet_files(tmp_path, oracle.PASSAGE, 3)
    detector = darknets(tmp_path, size=96, min_score=0.0, overlap=1.0)
    image = photos([(96, 96)])
    everywhere = detector.network(torch.from_numpy(image[0])[None].float() / 255)
    assert everywhere.shape[-2:] == (24, 24)
    assert len(detector.detect(records(1), image)[0]) <= 2 * 24 * 24
    with pytest.raises(ValueError, match="size=98 is not a multiple of its stride, 4"):
        darknets(tmp_path, size=98)


BROKEN = [
    ("[reorg]", "[shortcut]", r"a.cfg:54: \[shortcut\] is not a layer of YOLOv2; known: conv"),
    ("activation=leaky", "activation=mish", r"a.cfg:9: .*activation=mish is not supported"),
    ("stride=1\npad=1", "groups=2\npad=1", r"a.cfg:9: .*groups=2 is not supported, only 1"),
    ("layers=-3", "layers=9", r"a.cfg:43: \[route\] layers=9 are not layers before it"),
    ("layers=-3", "layers=", r"a.cfg:43: \[route\] layers= are not layers before it"),
    ("layers=-1,-4", "layers=-1,-6", r"a.cfg:57: \[route\] joins layers of different sizes"),
    ("[reorg]\nstride=2", "[reorg]\nstride=3", r"a.cfg:54: \[reorg\] stride=3 does not divide"),
    ("num=2", "num=3", r"a.cfg:67: \[region\] num=3 needs 6 positive anchors, not 4"),
    ("0.57273,", "-1,", r"a.cfg:67: \[region\] num=2 needs 4 positive anchors"),
    ("classes=3", "classes=4", r"reads 18 channels, the layer before it has 16"),
    ("softmax=1", "softmax=0", r"a.cfg:67: .*softmax=0 is not supported"),
    ("coords=4", "coords=4\ntree=9k.tree", r"a tree of categories"),
    ("width=64", "width=66", r"a.cfg:2: \[net\] width=66 and height=64 must be equal"),
    ("[region]", "[yolo]", r"opens with \[net\] and ends with \[region\]"),
    ("0.57273,", "nan,", r"a.cfg:67: .*anchors: .*finite number \(in nan\)"),
    ("layers=-3", "layers=-2.5", r"a.cfg:43: \[route\] layers=-2.5 are not layers before it"),
    ("layers=-3", "layers=inf", r"a.cfg:43: .*layers: .*finite number"),
    ("filters=4", "filters=four", r"a.cfg:9: .*filters: .*\(in four\)"),
]


@pytest.mark.parametrize(("right", "wrong", "message"), BROKEN)
def test_a_cfg_that_is_another_network_is_refused_at_its_line(right, wrong, message, tmp_path):
    darknet_files(tmp_path, oracle.PASSAGE, 3)
    text = (tmp_path / "a.cfg").read_text()
    assert right in text
    (tmp_path / "a.cfg").write_text(text.replace(right, wrong, 1))
    with pytest.raises(ValueError, match=message):
        darknets(tmp_path)


def test_an_empty_cfg_is_refused(tmp_path):
    darknet_files(tmp_path, oracle.PASSAGE, 3)
    (tmp_path / "a.cfg").write_text("")
    with pytest.raises(ValueError, match=r"a\.cfg has no \[section\]"):
        darknets(tmp_path)
    (tmp_path / "a.cfg").write_text("[net]\n[region]\n")
    with pytest.raises(ValueError, match=r"a\.cfg:1: .*opens with \[net\]"):
        darknets(tmp_path)


def test_files_that_do_not_fit_each_other_are_refused(tmp_path):
    darknet_files(tmp_path, oracle.PASSAGE, 3)
    with pytest.raises(ValueError, match="set the option `cfg`"):
        darknets(tmp_path, cfg=None)
    with pytest.raises(ValueError, match=r"COCO has 80 names, .*a.cfg 3 categories"):
        darknets(tmp_path, names=None)
    with pytest.raises(FileNotFoundError, match=r"b.names"):
        darknets(tmp_path, names=str(tmp_path / "b.names"))
    (tmp_path / "a.cfg").write_text(oracle.text(oracle.TINY, 3))
    with pytest.raises(ValueError, match=r"bytes behind its header, the network"):
        darknets(tmp_path)


PLAN = {"cfg": None, "size": 64, "width": 4, "depth": 3}
SHAPES = np.random.default_rng(0).uniform(0.1, 0.6, (40, 2))


def sections(**plan):
    return untrained.sections(**{**PLAN, **plan})


def side(**plan):
    return Network(sections(**plan)).size


def our_model(folder):
    cfg = untrained.cfg_for(sections(), 2, 3, SHAPES)
    torch.manual_seed(1)
    network = untrained.build(cfg)
    path = folder / "model.safetensors"
    models.write(path, network.state_dict(), {"cfg": cfg, "categories": ["a", "b", "c"]})
    return path, network.eval()


def test_our_own_model_is_all_it_takes(tmp_path):
    path, network = our_model(tmp_path)
    detector = YOLOv2(file=path, **ROW)
    assert detector.categories == ("a", "b", "c")
    assert (detector.network.size, detector.network.stride) == (64, 8)
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(detector.network(x), network(x))
    assert torch.equal(detector.network.anchors, network.anchors)


def test_a_model_of_something_else_is_refused(tmp_path):
    path, network = our_model(tmp_path)
    models.write(path, network.state_dict(), {"vocabulary": {}})
    with pytest.raises(ValueError, match="is not a detector of snakecap"):
        YOLOv2(file=path, **ROW)
    other = untrained.cfg_for(sections(width=8), 2, 3, SHAPES)
    models.write(path, network.state_dict(), {"cfg": other, "categories": ["a", "b", "c"]})
    with pytest.raises(ValueError, match=r"the weights of .*model.safetensors do not fit"):
        YOLOv2(file=path, **ROW)
    with pytest.raises(FileNotFoundError, match="no model at"):
        YOLOv2(file=tmp_path / "nothing.safetensors", **ROW)


@pytest.mark.parametrize("cfg", [None, oracle.PASSAGE, oracle.TINY])
def test_a_fresh_network_sees_its_anchors_in_the_middle_of_their_cells(cfg, tmp_path):
    if cfg:
        (tmp_path / "a.cfg").write_text(oracle.text(cfg, 7))
    plan = sections(cfg=str(tmp_path / "a.cfg") if cfg else None)
    assert Network(plan).size == 64
    network = untrained.build(untrained.cfg_for(plan, 2, 3, SHAPES))
    assert (network.size, network.categories, len(network.anchors)) == (64, 3, 2)
    expected = cluster(SHAPES, 2) * 64 / network.stride
    assert network.anchors.numpy() == pytest.approx(expected, abs=1e-4)
    with torch.no_grad():
        raw = network(torch.rand(8, 3, 64, 64))
    assert raw[:, :, :4].square().mean().sqrt() < 0.5


def test_a_network_to_train_fits_its_size(tmp_path):
    with pytest.raises(ValueError, match="size=60 is not a multiple of its stride, 8"):
        sections(size=60)
    assert side(size=None) == 416
    for depth, expected in ((1, 416), (5, 416), (6, 448)):
        assert side(size=None, depth=depth, width=1) == expected
    assert side(depth=6, width=1) == 64
    with pytest.raises(FileNotFoundError):
        sections(cfg=str(tmp_path / "a.cfg"))


def truths(*rows):
    """(picture, centre x, centre y, width, height, category) as the loss takes them."""
    table = torch.tensor([row[:5] for row in rows], dtype=torch.float64).reshape(-1, 5)
    corner = table[:, 1:3] - table[:, 3:] / 2
    boxes = torch.cat([corner, table[:, 3:]], 1)
    categories = torch.tensor([row[5] for row in rows], dtype=torch.int64)
    return table[:, 0].long(), boxes, categories


OBJECTS = {
    "none": [],
    "one": [(0, 0.3, 0.6, 0.5, 0.4, 2)],
    "several": [
        (0, 0.3, 0.6, 0.5, 0.4, 2),
        (0, 0.8, 0.1, 0.2, 0.15, 0),
        (0, 0.5, 0.5, 0.9, 0.9, 1),
        (1, 0.11, 0.9, 0.2, 0.2, 1),
    ],
    "one predictor": [(1, 0.3, 0.6, 0.5, 0.4, 2), (1, 0.31, 0.61, 0.5, 0.41, 0)],
    "not in order": [(1, 0.3, 0.6, 0.5, 0.4, 2), (0, 0.7, 0.6, 0.3, 0.4, 1)],
}


@pytest.mark.parametrize("rescore", [0.0, 1.0])
@pytest.mark.parametrize("objects", OBJECTS.values(), ids=OBJECTS)
def test_the_gradients_are_darknets(objects, rescore):
    anchors = [(0.6, 0.7), (1.9, 2.1)]
    raw = torch.randn(2, 2, 8, 4, 4, generator=torch.Generator().manual_seed(5)).double()
    # One predictor already sees the first object well: it is not punished for saying so.
    raw[:, 1, :4, 2, 2] = torch.tensor([-1.4, -0.4, 0.05, -0.2])
    raw.requires_grad_()
    scales = Scales(3.0, 0.7, 1.3, 0.9, 0.6, rescore)
    tensor = torch.tensor(anchors, dtype=torch.float64)
    losses = region_loss(raw, decode(raw, tensor), tensor, truths(*objects), scales)
    torch.stack(list(losses.values())).sum().backward()
    for number in (0, 1):
        mine = [(row[1:5], row[5]) for row in objects if row[0] == number]
        expected = oracle.deltas(
            raw[number].detach().flatten(0, 1),
            anchors,
            3,
            mine,
            rescore=bool(rescore),
            scales=(3.0, 0.7, 1.3, 0.9),
        )
        # A batch's loss is the mean over its two pictures.
        ours = -2 * raw.grad[number].flatten(0, 1).numpy()
        assert ours == pytest.approx(expected, abs=1e-6)


def test_an_object_at_the_very_edge_belongs_to_the_last_cell():
    anchors = torch.tensor([[1.0, 1.0]])
    raw = torch.zeros(1, 1, 6, 4, 4, requires_grad=True)
    edge = torch.tensor([[0.9999999, 0.9999999, 2e-7, 2e-7]])
    given = (torch.tensor([0]), edge, torch.tensor([0]))
    losses = region_loss(raw, decode(raw, anchors), anchors, given)
    sum(losses.values()).backward()
    assert torch.isfinite(raw.grad).all() and raw.grad[0, 0, 2, 3, 3] != 0


def test_the_later_of_two_objects_counts():
    assert last_of_each(torch.tensor([3, 1, 3, 0, 1]), 5).tolist() == [2, 3, 4]
    assert last_of_each(torch.tensor([], dtype=torch.int64), 5).tolist() == []


def test_overlaps_are_counted_within_a_picture():
    boxes = torch.rand(3, 10, 4)
    owners, others = torch.tensor([2, 0, 2, 0, 0]), torch.rand(5, 4)
    found = unmatched(boxes, (owners, others, owners), 0.3)
    for picture in range(3):
        for k in range(10):
            mine = [
                iou(boxes[picture, k], b)
                for b, o in zip(others, owners, strict=True)
                if o == picture
            ]
            assert found[picture, k] == float(max(mine, default=torch.tensor(0.0)) <= 0.3)


def test_clusters_are_found_by_iou():
    """Small boxes differ more by IoU than large ones that are as far apart in pixels."""
    random = np.random.default_rng(0)
    centres = np.array([[4.0, 4.0], [8.0, 8.0], [4.0, 16.0], [90.0, 30.0], [60.0, 120.0]])
    shapes = np.repeat(centres, 50, 0) * random.uniform(0.95, 1.05, (250, 2))
    found = cluster(shapes[random.permutation(250)], 5)
    assert found == pytest.approx(centres, rel=0.03)
    assert cluster(shapes[::-1], 5) == pytest.approx(cluster(shapes, 5))


def test_anchors_are_a_fixed_point_and_better_than_a_grid_of_guesses():
    shapes = np.random.default_rng(1).lognormal(3, 0.8, (400, 2))
    found = cluster(shapes, 5)
    nearest = overlaps(shapes, found).argmax(1)
    for k in range(5):
        assert found[k] == pytest.approx(shapes[nearest == k].mean(0))
    assert np.all(np.diff(found.prod(1)) >= 0)
    guesses = np.quantile(shapes, [0.1, 0.3, 0.5, 0.7, 0.9], axis=0)
    assert overlaps(shapes, found).max(1).mean() > overlaps(shapes, guesses).max(1).mean()
    brute = np.array([[_iou(a, b) for b in found] for a in shapes[:20]])
    assert overlaps(shapes[:20], found) == pytest.approx(brute)


def _iou(a, b):
    return oracle.box_iou((0, 0, *a), (0, 0, *b))


def test_fewer_boxes_than_anchors():
    found = cluster(np.array([[2.0, 3.0], [2.0, 3.0]]), 4)
    assert found.tolist() == [[2.0, 3.0]] * 4
    with pytest.raises(ValueError, match="at least one box"):
        cluster(np.zeros((0, 2)), 3)


def official(layers):
    """A ``.cfg`` of darknet's usual layers: filters and size, ``pool``, or a section."""
    lines = ["[net]", "width=416", "height=416"]
    for layer in layers:
        if isinstance(layer, str):
            lines += layer.split(";")
            continue
        lines += ["[convolutional]", "batch_normalize=1", f"filters={layer[0]}"]
        lines += [f"size={layer[1]}", "stride=1", "pad=1", "activation=leaky"]
    lines += ["[convolutional]", "size=1", "stride=1", "pad=1", "filters=425", "activation=linear"]
    return "\n".join([*lines, "[region]", "anchors=1,1,2,2,3,3,4,4,5,5", "classes=80", "num=5"])


POOL = "[maxpool];size=2;stride=2"
TINY = [
    *[layer for k in range(5) for layer in ((16 << k, 3), POOL)],
    (512, 3),
    "[maxpool];size=2;stride=1",
    (1024, 3),
    (512, 3),
]
FULL = [
    *((32, 3), POOL, (64, 3), POOL, (128, 3), (64, 1), (128, 3), POOL),
    *((256, 3), (128, 1), (256, 3), POOL, (512, 3), (256, 1), (512, 3), (256, 1), (512, 3), POOL),
    *((1024, 3), (512, 1), (1024, 3), (512, 1), (1024, 3), (1024, 3), (1024, 3)),
    *("[route];layers=-9", (64, 1), "[reorg];stride=2", "[route];layers=-1,-4", (1024, 3)),
]


@pytest.mark.parametrize(("layers", "numbers"), [(TINY, 44_948_600 - 20), (FULL, 203_934_260 - 16)])
def test_the_official_networks_take_as_many_numbers_as_the_official_files_hold(layers, numbers):
    """yolov2-tiny.weights and yolov2.weights, as darkflow's issues 802 and 900 give their sizes."""
    with torch.device("meta"):
        network = Network(parse(official(layers)))
    assert network.stride == 32
    assert 4 * sum(tensor.numel() for tensor in network.arrays().values()) == numbers


@pytest.mark.parametrize("changed", ["a.cfg", "a.names"])
def test_a_killed_search_does_not_go_on_with_another_network(tmp_path, monkeypatch, changed):
    darknet_files(tmp_path, oracle.PASSAGE, 3)
    files = {"cfg": str(tmp_path / "a.cfg"), "names": str(tmp_path / "a.names")}
    row = {"part": "yolov2", "file": str(tmp_path / "a.weights"), "options": files}
    path = tmp_path / "pictures.json"
    records_json.write(path, Collection(tmp_path, (Picture(1, "1.png", "test"),)))
    keys = []

    def folder(_, *key):
        keys.append(key)
        raise KeyboardInterrupt

    monkeypatch.setattr(outputs, "work_folder", folder)
    made = {name: tmp_path / name for name in ("detections", "info", "rejected")}
    for text in (b"", b"", b"\n"):
        with (tmp_path / changed).open("ab") as file:
            file.write(text)
        with pytest.raises(KeyboardInterrupt):
            detect(pictures=path, settings=Detector.model_validate(row), **made)
    assert keys[0] == keys[1] != keys[2]
