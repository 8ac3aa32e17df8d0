"""Backbones: what is pooled, the grid, which layers train, the weights' files."""

import copy
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from snakecap import registry
from snakecap.config.settings import Backbone
from snakecap.models.backbones import tiny, weights
from snakecap.models.backbones.backbone import as_grid, set_mode, trainable
from snakecap.models.backbones.torchvision import Torchvision

# Name: pooled width, grid width, the side of a small picture, cells of its grid.
NETWORKS = {
    "alexnet": (4096, 256, 64, 1),
    "squeezenet1_0": (512, 512, 64, 9),
    "squeezenet1_1": (512, 512, 64, 9),
    "resnet18": (512, 512, 64, 4),
    "resnet50": (2048, 2048, 64, 4),
    "densenet121": (1024, 1024, 64, 4),
    "mobilenet_v2": (1280, 1280, 64, 4),
    "mobilenet_v3_small": (1024, 576, 64, 4),
    "efficientnet_b0": (1280, 1280, 64, 4),
    "convnext_tiny": (768, 768, 64, 4),
    "shufflenet_v2_x0_5": (1024, 1024, 64, 4),
    "inception_v3": (2048, 2048, 75, 1),
    "googlenet": (1024, 1024, 64, 4),
    "regnet_x_400mf": (400, 400, 64, 4),
    "mnasnet0_5": (1280, 1280, 64, 4),
    "vit_b_32": (768, 768, 224, 49),
    "swin_t": (768, 768, 64, 4),
    "maxvit_t": (512, 512, 224, 49),
}
# The last Linear sees the mean of the grid, by the networks' definitions.
MEANS = {"squeezenet1_0", "resnet18", "resnet50", "densenet121", "mobilenet_v2", "efficientnet_b0",
         "shufflenet_v2_x0_5", "inception_v3", "googlenet", "regnet_x_400mf", "mnasnet0_5",
         "swin_t"}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_every_family_has_vectors_and_a_grid(name):
    width, grid_width, side, cells = NETWORKS[name]
    backbone = Torchvision(name).eval()
    assert (backbone.width, backbone.grid_width) == (width, grid_width)
    with torch.no_grad():
        images = torch.randn(2, 3, side, side)
        output = backbone(images)
        assert output.pooled.shape == (2, width) and output.grid.shape == (2, cells, grid_width)
        assert output.scores is None
        if name in MEANS:
            torch.testing.assert_close(output.pooled, output.grid.mean(1), rtol=1e-4, atol=1e-5)
        alone = backbone(images[1:])
        torch.testing.assert_close(alone.pooled, output.pooled[1:], rtol=1e-3, atol=1e-4)
    row = Backbone(architecture=name)
    for layer, _ in backbone.net.named_modules():
        if layer:
            row.check_layer(layer)  # what settings say without importing torchvision
    with pytest.raises(ValueError, match=f"{name} has no layer 'layer99'"):
        row.check_layer("layer99")


def test_pooled_is_what_the_classifier_sees():
    from torchvision import models

    backbone = Torchvision("mobilenet_v3_small").eval()
    whole = models.mobilenet_v3_small(weights=None).eval()
    part = {k: v for k, v in whole.state_dict().items() if not k.startswith("classifier.3")}
    backbone.net.load_state_dict(part)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        logits = whole.classifier[3](backbone(images).pooled)
        torch.testing.assert_close(logits, whole(images))


def test_vgg16_is_neuraltalk2s_38_layers():
    """Spec M1: 4096 numbers after fc7's ReLU; drop6 is inside, drop7 is the encoder's option."""
    backbone = Torchvision("vgg16")
    layers = list(backbone.net.classifier)
    kinds = ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Identity", "Identity"]
    assert [type(layer).__name__ for layer in layers] == kinds
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == [0.5]
    assert sum(p.numel() for p in backbone.parameters()) == 134_260_544  # spec A5
    assert (backbone.width, backbone.grid_width) == (4096, 512)
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(backbone.eval()(images).pooled, backbone(images).pooled)
        assert (backbone(images).pooled >= 0).all()
        backbone.train()
        assert not torch.equal(backbone(images).pooled, backbone(images).pooled)


@pytest.mark.parametrize(("name", "pooled"), [("squeezenet1_0", 512), ("resnet18", 512)])
def test_class_scores_are_appended(name, pooled):
    backbone = Torchvision(name, class_scores=True).eval()
    assert backbone.width == pooled + 1000
    with torch.no_grad():
        images = torch.randn(2, 3, 64, 64)
        output = backbone(images)
        probabilities = backbone.net(images).softmax(1)
    assert output.pooled.shape == (2, pooled + 1000)
    torch.testing.assert_close(output.scores, probabilities)
    assert torch.equal(output.pooled[:, pooled:], output.scores)


def test_grid_cells_go_row_by_row():
    feature_map = torch.arange(12.0).view(1, 2, 2, 3)
    assert as_grid(feature_map)[0].tolist() == [[0, 6], [1, 7], [2, 8], [3, 9], [4, 10], [5, 11]]


def test_an_unknown_network_is_refused_with_close_names():
    with pytest.raises(ValueError, match=r"no classification network 'resnet51'.*resnet5"):
        Torchvision("resnet51")
    with pytest.raises(ValueError, match="no classification network"):
        Torchvision("fasterrcnn_resnet50_fpn")


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_independent(duplicate):
    backbone = Torchvision("squeezenet1_1").eval()
    twin = duplicate(backbone)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = backbone(images).pooled
        for parameter in backbone.parameters():
            parameter.zero_()
        assert torch.equal(twin(images).pooled, expected)


# Our own network.


@pytest.mark.parametrize("side", [8, 64, 96])
def test_tiny(side):
    backbone = tiny.Tiny().eval()
    with torch.no_grad():
        output = backbone(torch.randn(3, 3, side, side))
    assert output.pooled.shape == (3, backbone.width) and output.scores is None
    assert output.grid.shape[0] == 3 and output.grid.shape[2] == backbone.grid_width
    assert (output.pooled >= 0).all()


def test_tiny_is_built_by_name_and_has_no_classes():
    build = registry.load("backbone", "tiny")
    assert build("tiny", False).width == tiny.Tiny.width
    with pytest.raises(ValueError, match="no classes"):
        build("tiny", True)


def test_tiny_sees_how_many_and_where():
    """Trained for a few steps with a linear probe, it tells one from three and left from right."""
    torch.manual_seed(0)
    count = torch.arange(96) % 3
    side = torch.randint(2, (96,))
    images = torch.zeros(96, 3, 32, 32)
    for k in range(96):
        for row in range(int(count[k]) + 1):
            x = 4 + 16 * int(side[k]) + int(torch.randint(5, ()))
            images[k, :, 2 + 10 * row : 7 + 10 * row, x : x + 5] = 1
    backbone, probe = tiny.Tiny().train(), nn.Linear(tiny.Tiny.width, 5)
    parameters = [*backbone.parameters(), *probe.parameters()]
    correct = 0.0
    for _ in range(40):
        guess = probe(backbone(images).pooled)
        loss = nn.functional.cross_entropy(guess[:, :3], count)
        loss = loss + nn.functional.cross_entropy(guess[:, 3:], side)
        for parameter, slope in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.data -= 0.05 * slope / (slope.norm() + 1e-6)
        correct = float(
            ((guess[:, :3].argmax(1) == count) & (guess[:, 3:].argmax(1) == side)).float().mean()
        )
    assert correct > 0.9


# Which layers train.


def names_of(backbone: nn.Module, parameters: list[nn.Parameter]) -> list[str]:
    wanted = {id(parameter) for parameter in parameters}
    return [name for name, parameter in backbone.net.named_parameters() if id(parameter) in wanted]


def test_trainable_is_the_layer_and_all_after_it():
    backbone = Torchvision("resnet18")
    every = [name for name, _ in backbone.net.named_parameters()]
    assert names_of(backbone, trainable(backbone, "all")) == every
    from_layer3 = names_of(backbone, trainable(backbone, "layer3"))
    assert from_layer3 == [n for n in every if n.startswith(("layer3", "layer4"))]
    last = names_of(backbone, trainable(backbone, "layer4.1.bn2"))
    assert last == ["layer4.1.bn2.weight", "layer4.1.bn2.bias"]


def test_trainable_from_a_layer_without_parameters():
    backbone = Torchvision("squeezenet1_1")
    assert isinstance(backbone.net.features[5], nn.MaxPool2d)
    found = names_of(backbone, trainable(backbone, "features.5"))
    assert found[0] == "features.6.squeeze.weight" and found[-1] == "features.12.expand3x3.bias"


@pytest.mark.parametrize("name", ["layer9", "layer", "", "net.layer3"])
def test_an_unknown_layer_lists_the_names(name):
    with pytest.raises(ValueError, match=r"no layer .*all, conv1, bn1.*layer3, layer3\.0"):
        trainable(Torchvision("resnet18"), name)


def modes(backbone: nn.Module) -> dict[str, bool]:
    return {name: module.training for name, module in backbone.net.named_modules()}


def test_frozen_layers_stay_in_evaluation_mode():
    backbone = Torchvision("resnet18").train()
    set_mode(backbone, None)
    assert not any(modes(backbone).values())
    set_mode(backbone, "layer4", batch_norm=True)
    found = modes(backbone)
    assert found["layer4.0.bn1"] and found["layer4.1.conv2"]
    assert not any(
        mode for name, mode in found.items() if not name.startswith(("layer4", "avgpool", "fc"))
    )


@pytest.mark.parametrize("batch_norm", [False, True])
def test_batch_statistics_are_used_only_when_asked_for(batch_norm):
    backbone = Torchvision("resnet18")
    set_mode(backbone, "layer4", batch_norm=batch_norm)
    before = {k: v.clone() for k, v in backbone.net.state_dict().items() if "running" in k}
    backbone(torch.randn(4, 3, 64, 64))
    after = backbone.net.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert all(name.startswith("layer4") for name in changed)
    assert bool(changed) == batch_norm


def test_class_scores_are_not_dropped_while_training():
    backbone = Torchvision("squeezenet1_1", class_scores=True)
    set_mode(backbone, "all")
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(backbone(images).pooled, backbone(images).pooled)


def test_dropout_is_active_where_it_trains():
    backbone = Torchvision("alexnet")
    set_mode(backbone, "classifier")
    assert backbone.net.classifier[0].training and not backbone.net.features[0].training


def test_gradients_reach_the_chosen_layers_only():
    backbone = Torchvision("squeezenet1_1")
    backbone.requires_grad_(False)
    chosen = trainable(backbone, "features.12")
    for parameter in chosen:
        parameter.requires_grad_(True)
    backbone(torch.randn(1, 3, 64, 64)).pooled.sum().backward()
    with_gradient = [p for p in backbone.parameters() if p.grad is not None]
    assert {id(p) for p in with_gradient} == {id(p) for p in chosen}


# Weights.


@pytest.fixture(scope="module")
def published():
    """A state dict as torchvision publishes it, the classifier included."""
    from torchvision import models

    torch.manual_seed(1)
    return models.squeezenet1_1(weights=None).state_dict()


def saved(folder, state, suffix):
    path = folder / f"weights{suffix}"
    if suffix == ".npz":
        np.savez(path, **{name: value.numpy() for name, value in state.items()})
    elif suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors", ".npz"])
@pytest.mark.parametrize("class_scores", [False, True])
def test_every_file_format_gives_the_same_backbone(tmp_path, published, suffix, class_scores):
    backbone = Torchvision("squeezenet1_1", class_scores)
    weights.load_weights(backbone, "squeezenet1_1", str(saved(tmp_path, published, suffix)))
    for name, value in backbone.net.state_dict().items():
        assert torch.equal(value, published[name]), name


@pytest.mark.parametrize(
    "wrap", [lambda s: {"state_dict": s}, lambda s: {f"module.{k}": v for k, v in s.items()}]
)
def test_checkpoints_of_training_scripts_are_understood(tmp_path, published, wrap):
    backbone = Torchvision("squeezenet1_1")
    weights.load_weights(backbone, "squeezenet1_1", str(saved(tmp_path, wrap(published), ".pth")))
    name = "features.0.weight"
    assert torch.equal(backbone.net.state_dict()[name], published[name])


def test_weights_that_do_not_fit_are_listed(tmp_path, published):
    broken = dict(published)
    del broken["features.0.bias"]
    broken["features.3.squeeze.weight"] = torch.zeros(2, 2)
    broken["head.weight"] = torch.zeros(1)
    path = saved(tmp_path, broken, ".safetensors")
    backbone = Torchvision("squeezenet1_1")
    with pytest.raises(ValueError) as caught:
        weights.load_weights(backbone, "squeezenet1_1", str(path))
    text = str(caught.value)
    assert str(path) in text and "1 missing: features.0.bias" in text
    assert "1 unexpected: head.weight" in text
    assert "features.3.squeeze.weight (2, 2), not (16, 64, 1, 1)" in text


def test_auxiliary_heads_and_old_names_are_accepted(tmp_path):
    from torchvision import models

    whole = models.googlenet(weights=None, init_weights=False).state_dict()
    assert any(name.startswith("aux1.") for name in whole)
    backbone = Torchvision("googlenet")
    weights.load_weights(backbone, "googlenet", str(saved(tmp_path, whole, ".pth")))
    dense = models.densenet121(weights=None).state_dict()
    old = {}
    for name, value in dense.items():
        for kind in ("norm", "conv"):
            for number in "12":
                name = name.replace(f".{kind}{number}.", f".{kind}.{number}.")
        if not name.endswith("num_batches_tracked"):  # the first files had none
            old[name] = value
    assert any(".norm.1.weight" in name for name in old)
    backbone = Torchvision("densenet121")
    weights.load_weights(backbone, "densenet121", str(saved(tmp_path, old, ".pth")))
    name = "features.denseblock1.denselayer1.norm1.weight"
    assert torch.equal(backbone.net.state_dict()[name], dense[name])


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("none.pth", None, FileNotFoundError, "no weights at .*none.pth"),
        ("weights.caffemodel", b"x", ValueError, "weights are read from .safetensors, .npz"),
        ("broken.pth", b"not a file of torch", ValueError, "is not a state dict"),
        ("broken.npz", b"not a zip", ValueError, "is not a state dict"),
        ("broken.safetensors", b"x" * 20, ValueError, "is not a state dict"),
    ],
)
def test_bad_weight_files_are_named(tmp_path, name, content, error, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        weights.load_weights(tiny.Tiny(), "tiny", str(tmp_path / name))


class Harmful:
    def __reduce__(self):
        return (print, ("executed",))


def test_nothing_in_a_file_is_executed(tmp_path, capsys):
    torch.save({"state_dict": Harmful()}, tmp_path / "bad.pth")
    np.savez(tmp_path / "bad.npz", x=np.array([Harmful()], object))
    for name in ("bad.pth", "bad.npz"):
        with pytest.raises(ValueError, match="is not a state dict"):
            weights.load_weights(tiny.Tiny(), "tiny", str(tmp_path / name))
    assert "executed" not in capsys.readouterr().out


def test_random_weights_are_loud_and_always_the_same(caplog):
    torch.manual_seed(5)
    backbones = [tiny.Tiny() for _ in range(2)]
    assert weights.digest(backbones[0]) != weights.digest(backbones[1])
    before = torch.get_rng_state()
    for backbone in backbones:
        weights.load_weights(backbone, "tiny", "random")
    assert torch.equal(torch.get_rng_state(), before)  # no other random number moves
    assert weights.digest(backbones[0]) == weights.digest(backbones[1])
    assert "RANDOM weights" in caplog.text and caplog.records[0].levelname == "WARNING"


def test_the_digest_follows_every_weight():
    backbone = tiny.Tiny()
    digest = weights.digest(backbone)
    assert len(digest) == 64 and digest == weights.digest(copy.deepcopy(backbone))
    with torch.no_grad():
        next(backbone.parameters())[0, 0, 0, 0] += 1e-3
    assert weights.digest(backbone) != digest


def test_no_network_says_what_to_do(monkeypatch, tmp_path):
    """A closed port on this machine stands for no network."""
    from torchvision import models

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path), raising=False)
    weight = models.get_model_weights("squeezenet1_1").DEFAULT

    def refuse(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(type(weight), "get_state_dict", refuse)
    with pytest.raises(RuntimeError, match=r"cannot be fetched \(Network.*\).*squeezenet1_1-.*pth"):
        weights.load_weights(Torchvision("squeezenet1_1"), "squeezenet1_1", "torchvision")


def test_torchvisions_weights_come_from_the_torch_home(monkeypatch, tmp_path, published):
    from torchvision import models

    weight = models.get_model_weights("squeezenet1_1").DEFAULT
    monkeypatch.setattr(type(weight), "get_state_dict", lambda *_, **__: dict(published))
    backbone = Torchvision("squeezenet1_1")
    weights.load_weights(backbone, "squeezenet1_1", "torchvision")
    name = "features.12.expand3x3.bias"
    assert torch.equal(backbone.net.state_dict()[name], published[name])
