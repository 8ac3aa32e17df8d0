"""Scheduled sampling: which words are read, how probable the true ones are, and the loss."""

import pytest
import torch
from systems import Pooled
from torch.nn import functional as F

from snakecap import registry
from snakecap.config import options
from snakecap.inputs.batches import Batch, CaptionTargets
from snakecap.models.captioner import Captioner
from snakecap.models.encoded import Encoded
from snakecap.objectives.cross_entropy import caption_loss
from snakecap.objectives.scheduled_sampling import ScheduledSampling, sigmoid

WORDS = torch.tensor([[1, 2, 0, 0], [3, 0, 0, 0], [2, 2, 4, 0], [4, 1, 1, 0]])


def objective(decoder="lstm", epoch_length=10, **given):
    torch.manual_seed(0)
    needs = {"width": 8, "vocabulary_size": 4, "full_stop": 2}
    chosen = options.check("decoder", decoder, {})
    if "dropout" in options.model("decoder", decoder).model_fields:
        chosen = {"dropout": 0.0}
    built = options.build("decoder", decoder, chosen, needs)
    return ScheduledSampling(
        model=Captioner([Pooled()], built, ["picture"]), epoch_length=epoch_length, **given
    )


def memory(one):
    made = torch.Generator().manual_seed(1)
    regions = torch.randn(4, 3, 8, generator=made)
    return one.model.decoder.prepare(Encoded(torch.randn(4, 8, generator=made), regions))


@pytest.mark.parametrize(
    ("k", "i", "p"),
    [(6500, 10_000, 0.9998), (6500, 50_000, 0.9985), (6500, 100_000, 0.9847),
     (2200, 10_000, 0.9982), (2200, 50_000, 0.7064), (2200, 100_000, 0.0026),
     (0, 77, 1.0), (1, 10**6, 0.0)],
)  # fmt: skip
def test_the_probability_of_the_true_word_is_deepcaptions(k, i, p):
    assert sigmoid(i, k, 0.3) == pytest.approx(p, abs=5e-5)
    assert objective(k=k).true_share(i) == sigmoid(i, k, 0.3)


def test_the_decay_by_epochs_is_self_criticals():
    one = objective(decay="epochs", start=2, every=3, rate=0.1, most=0.25)
    shares = [one.true_share(10 * epoch + 9) for epoch in range(14)]
    assert shares == pytest.approx([1.0] * 5 + [0.9] * 3 + [0.8] * 3 + [0.75] * 3)


@pytest.mark.parametrize("decoder", registry.DECODERS)
@pytest.mark.parametrize("mode", ["sampled", "additive", "additive_sampled"])
def test_with_true_words_alone_it_is_cross_entropy(mode, decoder):
    """For every decoder: its step is its whole caption's function."""
    one = objective(decoder, mode=mode)
    found, wanted = (
        one.loss(memory(one), WORDS, 1.0),
        caption_loss(one.model.decoder, memory(one), WORDS),
    )
    torch.testing.assert_close(found, wanted)
    parameters = [p for p in one.model.decoder.parameters() if p.requires_grad]
    for ours, theirs in zip(
        torch.autograd.grad(found, parameters, allow_unused=True),
        torch.autograd.grad(wanted, parameters, allow_unused=True),
        strict=True,
    ):
        if theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "p", "drawn"),
    [("sampled", 0.0, 0.0), ("additive", 0.3, 0.3), ("additive_sampled", 0.0, 0.0),
     ("additive", 0.0, 0.0), ("sampled", 1.0, 1.0)],
)  # fmt: skip
def test_what_is_read_is_a_mean_of_the_true_and_the_likeliest_word(mode, p, drawn):
    """Against torch's LSTM, one caption and step after the other."""
    one = objective(mode=mode)
    decoder, vectors = one.model.decoder, one.model.decoder.words.weight
    total, tokens = 0.0, 0
    for row, summary in enumerate(memory(one).encoded.summary):
        _, state = decoder.recurrent(summary[None, None])
        read = vectors[0]
        for word in [*WORDS[row][WORDS[row] != 0].tolist(), 0]:
            hidden, state = decoder.recurrent(read[None, None], state)
            logits = decoder.output(hidden[0, 0])
            total = total + F.cross_entropy(logits, torch.tensor(word))
            tokens += 1
            read = drawn * vectors[word] + (1 - drawn) * vectors[logits.argmax()]
    torch.testing.assert_close(one.loss(memory(one), WORDS, p), total / tokens)


@pytest.mark.parametrize(
    ("mode", "values"), [("sampled", {0.0, 1.0}), ("additive", {0.25}),
                         ("additive_sampled", {0.25, 1.0})],
)  # fmt: skip
def test_draws_are_the_batchs_or_each_words(mode, values):
    torch.manual_seed(2)
    batch, word = (objective(mode=mode, draw=draw) for draw in ("batch", "word"))
    shares = torch.cat([batch._shares(4000, 0.25).flatten() for _ in range(200)])
    assert len(shares) == 200 and set(shares.tolist()) == values
    shares = word._shares(4000, 0.25).flatten()
    assert set(shares.tolist()) == values
    if mode != "additive":
        assert (shares == 1).float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_the_loss_follows_from_the_model_and_the_draws_alone():
    one, found = objective(mode="sampled", draw="word", k=1000), []
    targets = CaptionTargets(WORDS, torch.arange(4))
    batch = Batch(torch.arange(4), {"picture": {"pooled": torch.ones(4, 8)}}, targets)
    for seed in (4, 4, 5):
        torch.manual_seed(seed)
        found.append(one(batch, 25_000)["caption"].item())
    assert found[0] == found[1] != found[2]


def test_the_decoder_reads_plain_words_again_afterwards():
    one = objective()
    before = one.model.decoder.words(WORDS)
    one.loss(memory(one), WORDS, 0.5)
    assert torch.equal(one.model.decoder.words(WORDS), before)
    assert not one.model.decoder.words._forward_hooks
