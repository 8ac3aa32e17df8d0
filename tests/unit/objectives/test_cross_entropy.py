"""Every objective gives losses that teach; cross-entropy is torch's own over the words and END."""

import pytest
import torch
from systems import packed
from torch.nn import functional as F

from snakecap import registry
from snakecap.config import options
from snakecap.inputs.batches import Batch, CaptionTargets
from snakecap.models.captioner import Captioner
from snakecap.models.decoders.attending import AttendingDecoder
from snakecap.models.encoders.cnn import CNNEncoder
from snakecap.models.encoders.cnn_grid import CNNGridEncoder
from snakecap.objectives.cross_entropy import CrossEntropy, neglect

WORDS = torch.tensor([[1, 2, 0], [3, 0, 0], [2, 2, 4]])
OWNERS = torch.tensor([0, 0, 1])


def model(part="lstm"):
    torch.manual_seed(0)
    given = {"width": 6, "vocabulary_size": 4, "full_stop": 2}
    decoder = options.build("decoder", part, {"hidden_size": 6, "dropout": 0.0}, given)
    return Captioner([CNNEncoder(width=6, size=5)], decoder, ["picture"])


def batch():
    inputs = {"picture": {"pooled": torch.randn(2, 5, generator=torch.Generator().manual_seed(1))}}
    return Batch(torch.tensor([7, 3]), inputs, CaptionTargets(WORDS, OWNERS))


@pytest.mark.parametrize("name", sorted(registry.OBJECTIVES.keys() - {"dense"}))  # of another task
def test_every_objective_gives_finite_losses_that_reach_all_parameters(name):
    captioner = model(options.constant("objective", name, "needs_decoder") or "lstm")
    references = packed([[[1, 2], [2]], [[2, 3]]] * 4, 3, words=4)
    available = {"model": captioner, "references": references, "epoch_length": 10, "mirror": None}
    losses = options.build("objective", name, {}, available)(batch(), 0)
    assert losses and all(value.shape == () and value.isfinite() for value in losses.values())
    sum(value for value in losses.values() if value.requires_grad).backward()
    assert all(parameter.grad is not None for parameter in captioner.parameters())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_torchs_over_words_and_end(smoothing):
    """Padding is not predicted; a caption is told its own picture, in the batch's order."""
    captioner, given = model(), batch()
    objective = options.build(
        "objective", "cross_entropy", {"label_smoothing": smoothing}, {"model": captioner}
    )
    found = objective(given, 5)["caption"]
    decoder = captioner.decoder
    rows, targets = [], []
    for words, owner in zip(WORDS, OWNERS, strict=True):
        alone = {"picture": {"pooled": given.inputs["picture"]["pooled"][owner : owner + 1]}}
        said = words[words != 0]
        logits = decoder.logits(decoder.hidden(captioner.prepare(alone), said.unsqueeze(0)))
        rows.append(logits[0])
        targets.append(F.pad(said, (0, 1)))
    wanted = F.cross_entropy(torch.cat(rows), torch.cat(targets), label_smoothing=smoothing)
    torch.testing.assert_close(found, wanted)


ATTENDING = [
    name
    for name in registry.DECODERS
    if issubclass(registry.load("decoder", name), AttendingDecoder)
]


def looking(name="soft_attention"):
    torch.manual_seed(0)
    given = {"width": 8, "vocabulary_size": 4}
    decoder = options.build("decoder", name, {"hidden_size": 6, "dropout": 0.0}, given)
    return Captioner([CNNGridEncoder(width=8, size=5)], decoder, ["picture"])


@pytest.mark.parametrize("name", ATTENDING)
def test_neglected_regions_cost_and_teach(name):
    """D25: (1 - sum over a caption's words and END)^2, by hand; cross-entropy stays as it is."""
    captioner, seen = looking(name), {"grid": torch.randn(2, 3, 5)}
    given = Batch(torch.tensor([7, 3]), {"picture": seen}, CaptionTargets(WORDS, OWNERS))
    losses = CrossEntropy(model=captioner, attention_weight=0.5)(given, 0)
    weights = captioner.decoder.weights(captioner.prepare(given.inputs).select(OWNERS), WORDS)
    each = [
        (1 - weights[row, : int((words != 0).sum()) + 1].sum(0)).square()
        for row, words in enumerate(WORDS)
    ]
    torch.testing.assert_close(losses["attention"], 0.5 * torch.stack(each).mean())
    torch.testing.assert_close(
        losses["caption"], CrossEntropy(model=captioner)(given, 0)["caption"]
    )
    losses["attention"].backward()
    assert any(p.grad is not None and bool((p.grad != 0).any()) for p in captioner.parameters())


def test_regions_that_do_not_exist_are_not_neglected():
    weights = torch.tensor([[[0.5, 0.0], [0.25, 0.0], [9.0, 9.0]], [[0.5, 0.5]] * 3])
    words = torch.tensor([[1, 0], [1, 1]])
    mask = torch.tensor([[True, False], [True, True]])
    expected = (0.25**2 + 0.5**2 + 0.5**2) / 3
    assert neglect(weights, words, mask).item() == pytest.approx(expected)
    assert neglect(weights[:, :, :0], words, mask[:, :0]).item() == 0


def test_a_decoder_without_attention_has_none_to_regularise():
    with pytest.raises(ValueError, match="attention_weight: the decoder looks at no regions"):
        CrossEntropy(model=model(), attention_weight=1.0)
