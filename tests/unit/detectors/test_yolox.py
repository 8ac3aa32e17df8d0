"""YOLOX on a network whose answers can be told by hand, and torchvision's list of networks."""

import numpy as np
import onnx
import pytest
import tiny_yolox
import torch
from onnx import TensorProto, numpy_helper

from snakecap.config import options
from snakecap.detectors.yolox import YOLOX
from snakecap.formats.pictures import Picture
from snakecap.objects.categories import COCO, NAMES

PICTURE = Picture(1, "1.jpg", "test", width=128, height=96)
BLUE, GREEN, RED = range(3)


def load(path, **changes):
    values = {"min_score": 0.5, "overlap": 0.65, "limit": 100, "names": tiny_yolox.NAMES}
    return YOLOX(file=path, place=torch.device("cpu"), **(values | changes))


def see(path, image, **changes):
    (found,) = load(path, **changes).detect([PICTURE], [image])
    return found


def blocks(*rows):
    """A black picture of 128 x 96 with blocks: left, top, side, colour of RGB."""
    image = np.zeros((3, 96, 128), np.uint8)
    for left, top, side, colour in rows:
        image[colour, top : top + side, left : left + side] = 255
    return image


@pytest.fixture
def network(tmp_path):
    tiny_yolox.save(tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


def test_a_cell_of_one_colour_is_found_where_it_is(network):
    """128 x 96 becomes 64 x 48 at the top left: a block of 16 pixels fills a cell of 8."""
    found = see(network, blocks((32, 16, 16, 0)))
    assert found.categories.tolist() == [RED]  # the third: the network reads BGR
    np.testing.assert_allclose(found.boxes, [[28, 12, 24, 24]], atol=1e-3)
    np.testing.assert_allclose(found.scores, [1], atol=1e-6)


def test_the_score_is_objectness_times_the_category(network):
    image = blocks((32, 16, 16, 0)) // 5 * 4
    found = see(network, image)
    np.testing.assert_allclose(found.scores, [0.8**2], atol=1e-4)


def test_boxes_come_by_grid_row_and_column_and_are_clipped(network):
    image = blocks((96, 0, 16, 0), (0, 0, 32, 1), (64, 80, 16, 2))
    found = see(network, image)
    assert found.categories.tolist() == [GREEN, GREEN, RED, GREEN, GREEN, BLUE, GREEN]
    assert found.boxes[0].tolist() == pytest.approx([0, 0, 20, 20], abs=1e-3)
    assert found.boxes[5].tolist() == pytest.approx([60, 76, 24, 20], abs=1e-3)
    assert found.boxes[6].tolist() == pytest.approx([0, 0, 40, 40], abs=1e-3)  # the next grid


def test_overlapping_boxes_of_a_category_go_and_others_stay(network):
    """At 24 pixels each, 16 apart, neighbours overlap by .2."""
    green, mixed = blocks((0, 0, 32, 1)), blocks((0, 0, 16, 1), (16, 0, 16, 0))
    assert len(see(network, green, overlap=0.26)) == 5
    assert len(see(network, green, overlap=0.21)) == 4  # the next grid's box overlaps them by .25
    assert len(see(network, green, overlap=0.19)) == 2  # a diagonal
    assert len(see(network, mixed, overlap=0.19)) == 2


def test_the_rest_of_the_square_is_grey(network):
    """Right of the picture, 114 of 255; cells at its edge reach into it, and see that grey."""
    tall = np.zeros((3, 128, 96), np.uint8)
    seen = load(network, min_score=0.15).detect([PICTURE], [tall])[0]
    np.testing.assert_allclose(seen.scores, (114 / 255) ** 2, atol=1e-6)
    assert len(seen) and (seen.boxes[:, 0] >= 88).all()


@pytest.mark.parametrize("seed", range(3))
def test_exports_with_decoding_inside_give_the_same(network, tmp_path, seed):
    tiny_yolox.save(tmp_path / "decoded.onnx", decoded=True)
    image = np.random.default_rng(seed).integers(0, 256, (3, 60, 90), np.uint8)
    raw, decoded = (
        see(path, image, min_score=0.25) for path in (network, tmp_path / "decoded.onnx")
    )
    assert load(tmp_path / "decoded.onnx").decoded and not load(network).decoded
    assert len(raw) > 10
    np.testing.assert_allclose(raw.boxes, decoded.boxes, atol=1e-3)
    np.testing.assert_array_equal(raw.categories, decoded.categories)


@pytest.mark.parametrize("shape", [{"batch": 1}, {"size": 128}, {"strides": (8, 16, 32, 64)}])
def test_other_exports(network, tmp_path, shape):
    """A fixed batch, another size, four grids: a block is found where it is."""
    tiny_yolox.save(tmp_path / "other.onnx", **shape)
    other = load(tmp_path / "other.onnx")
    assert other.single == ("batch" in shape) and other.size == shape.get("size", 64)
    image = blocks((32, 16, 16, 0))
    found = other.detect([PICTURE] * 2, [image, image])
    assert len(found) == 2
    for seen in found:
        best = seen.boxes[seen.scores.argmax()]
        np.testing.assert_allclose(best[:2] + best[2:] / 2, [40, 24], atol=4.01)


def test_a_box_too_large_for_numbers_is_the_picture(network, tmp_path):
    broken = edited(network, tmp_path, wide=np.float32([500]))
    found = see(broken, blocks((32, 16, 16, 0)))
    np.testing.assert_allclose(found.boxes, [[0, 0, 128, 96]])


def edited(network, folder, **arrays):
    """The network with other constants."""
    graph = onnx.load(network)
    for tensor in graph.graph.initializer:
        if tensor.name in arrays:
            tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
    onnx.save(graph, folder / "edited.onnx")
    return folder / "edited.onnx"


def test_numbers_that_are_none_are_refused(network, tmp_path):
    with pytest.raises(ValueError, match=r"edited\.onnx gives numbers that are not finite"):
        load(edited(network, tmp_path, wide=np.float32([np.nan])))


def test_categories_need_names(network):
    with pytest.raises(ValueError, match=r"knows 3 categories, and 80 have names.*`names`"):
        load(network, names=())
    with pytest.raises(ValueError, match="and 2 have names"):
        load(network, names=("a", "b"))


def test_names_are_cocos_spelling(network):
    assert load(network, names=("sofa", "cat", "tvmonitor")).categories == ("couch", "cat", "tv")


def test_a_category_has_one_place(network):
    with pytest.raises(ValueError, match="a category twice"):
        load(network, names=("couch", "cat", "sofa"))


def test_exports_in_half_precision(network, tmp_path):
    image = blocks((32, 16, 16, 0), (0, 0, 32, 1))
    tiny_yolox.save(tmp_path / "half.onnx", kind=TensorProto.FLOAT16)
    one, other = see(network, image), see(tmp_path / "half.onnx", image)
    assert len(one) and np.array_equal(one.boxes, other.boxes)
    tiny_yolox.save(tmp_path / "bytes.onnx", kind=TensorProto.UINT8)
    with pytest.raises(ValueError, match=r"bytes\.onnx reads a tensor\(uint8\): give an export"):
        load(tmp_path / "bytes.onnx")


@pytest.mark.parametrize(
    "shape", [[1, 3, 64, 32], ["b", 3, "h", "w"], [2, 3, 64, 64], [1, 1, 64, 64], [1, 3, 64]]
)
def test_networks_that_read_something_else_are_refused(tmp_path, shape):
    nodes = [tiny_yolox.node("Identity", "images", "output")]
    tiny_yolox.write(tmp_path / "other.onnx", nodes, {}, shape, [None] * len(shape))
    with pytest.raises(ValueError, match=r"other\.onnx reads .* YOLOX export reads"):
        load(tmp_path / "other.onnx")


def test_networks_that_give_something_else_are_refused(tmp_path):
    nodes = [tiny_yolox.node("ReduceMean", "images", "output", axes=[1], keepdims=0)]
    tiny_yolox.write(tmp_path / "other.onnx", nodes, {}, [1, 3, 64, 64])
    with pytest.raises(ValueError, match=r"gives \[1, 64, 64\]: not the boxes of a YOLOX"):
        load(tmp_path / "other.onnx")


def test_without_onnxruntimes_cuda_the_cpu_is_used(network, caplog):
    detector = YOLOX(
        file=network, place=torch.device("cuda"), min_score=0.5, overlap=0.5, limit=9,
        names=tiny_yolox.NAMES,
    )  # fmt: skip
    if "CUDAExecutionProvider" not in detector.session.get_providers():
        assert detector.device == "cpu" and "install onnxruntime-gpu" in caplog.text


# torchvision


def networks():
    from torchvision.models import detection, list_models

    return {name for name in list_models(module=detection) if "keypoint" not in name}


def test_every_network_of_torchvision_can_be_chosen():
    for name in networks():
        options.check("detector", "torchvision", {"name": name})
    with pytest.raises(ValueError, match="name"):
        options.check("detector", "torchvision", {"name": "keypointrcnn_resnet50_fpn"})


def test_torchvisions_own_weights_know_cocos_categories():
    """The names of all published weights are COCO's, at COCO's ids: local files are read so."""
    from torchvision.models import get_model_weights

    from snakecap.detectors.torchvision import LABELS

    assert [name for name in LABELS if name] == list(NAMES) and LABELS[90] == COCO[90]
    for name in networks():
        labels = get_model_weights(name).DEFAULT.meta["categories"]
        assert ["" if label in ("__background__", "N/A") else label for label in labels] == LABELS


def test_every_network_takes_its_thresholds(tmp_path):
    """Faster R-CNN keeps them in another place than the others."""
    from torchvision.models import get_model

    from snakecap.detectors.torchvision import TorchvisionDetector

    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    torch.manual_seed(1)  # its scores are near 1 / 91, not all of them above .01
    network = get_model(name, weights=None, weights_backbone=None)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    detector = TorchvisionDetector(
        file=tmp_path / "w.pth", min_score=0.01, overlap=0.9, limit=7, place=torch.device("cpu"),
        name=name,
    )  # fmt: skip
    image = np.random.default_rng(0).integers(0, 256, (3, 96, 128), np.uint8)
    (found,) = detector.detect([PICTURE], [image])
    assert len(found) == 7 and (found.scores >= 0.01).all()
    assert (np.diff(found.scores) <= 0).all()
    with pytest.raises(ValueError, match=r"ssdlite320.* from .*w\.pth do not fit"):
        TorchvisionDetector(
            file=tmp_path / "w.pth", min_score=0.01, overlap=0.9, limit=7,
            place=torch.device("cpu"), name="ssdlite320_mobilenet_v3_large",
        )  # fmt: skip
