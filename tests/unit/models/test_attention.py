"""Attention over regions (specification O12, O13): Luong's formula, and no weight on padding."""

import pytest
import torch
from search_oracle import beam

from snakecap.models.captioner import Captioner, stepper
from snakecap.models.decoders.attention import AttentionDecoder
from snakecap.models.encoded import Encoded, Memory
from snakecap.models.encoders.layout_lstm import LayoutLSTMEncoder
from snakecap.models.encoders.layout_set import LayoutSetEncoder

B, T, V, D, H, R = 3, 4, 6, 8, 10, 5
WORDS = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0], [1, 0, 0, 0]])


def build(**options):
    torch.manual_seed(0)
    return AttentionDecoder(width=D, vocabulary_size=V, hidden_size=H, **options).eval()


def pictures(mask=None):
    generator = torch.Generator().manual_seed(1)
    summary = torch.randn(B, D, generator=generator)
    return Memory(Encoded(summary, torch.randn(B, R, D, generator=generator), mask))


MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]).bool()


@pytest.mark.parametrize("heads", [1, 2, 8])
def test_it_is_luongs_general_attention(heads):
    """Word by word and region by region, in plain loops."""
    model, memory = build(heads=heads), pictures(MASK)
    states, regions = model.language.hidden(memory, WORDS), memory.encoded.regions
    size = D // heads
    for row in range(B):
        existing = MASK[row].nonzero()[:, 0].tolist()
        for t in range(T + 1):
            query = model.query.weight @ states[row, t]
            context = torch.zeros(D)
            for head in range(heads):
                part = slice(head * size, (head + 1) * size)
                scores = [regions[row, r, part] @ query[part] for r in existing]
                weights = torch.stack(scores).softmax(0) if scores else []
                for weight, r in zip(weights, existing, strict=True):
                    context[part] += weight * regions[row, r, part]
            expected = (model.combine.weight @ torch.cat([context, states[row, t]])).tanh()
            torch.testing.assert_close(model.hidden(memory, WORDS)[row, t], expected)


def test_weights_sum_to_one_over_existing_regions_only():
    model, memory = build(heads=2), pictures(MASK)
    weights = model.weights(memory, WORDS)
    assert weights.shape == (B, T + 1, R)
    torch.testing.assert_close(weights.sum(-1), MASK.any(1).float().unsqueeze(1).expand(-1, T + 1))
    assert bool((weights[~MASK.unsqueeze(1).expand_as(weights)] == 0).all())


def test_regions_that_do_not_exist_change_nothing_and_learn_nothing():
    model, memory = build(), pictures(MASK)
    encoded = memory.encoded
    noisy = Encoded(encoded.summary, encoded.regions + 9 * ~MASK.unsqueeze(2), MASK)
    torch.testing.assert_close(model(memory, WORDS), model(Memory(noisy), WORDS))
    regions = encoded.regions.clone().requires_grad_()
    model(Memory(Encoded(encoded.summary, regions, MASK)), WORDS).square().sum().backward()
    assert bool(regions.grad.isfinite().all()) and bool((regions.grad[~MASK] == 0).all())


def test_no_regions_at_all_are_no_error():
    """A batch of empty layouts: the words come from the summary, as beside other layouts."""
    model = build(heads=2)
    summary = pictures().encoded.summary
    nothing = Memory(Encoded(summary, torch.zeros(B, 0, D), torch.zeros(B, 0).bool()))
    absent = pictures(torch.zeros(B, R).bool())
    torch.testing.assert_close(model(nothing, WORDS), model(absent, WORDS))
    assert model.weights(nothing, WORDS).shape == (B, T + 1, 0)
    one, other = (
        beam(stepper(model, some), model.start(some), pictures=B, width=2, max_length=3)
        for some in (nothing, absent)
    )
    assert [row[0].words for row in one] == [row[0].words for row in other]


def test_no_mask_means_all():
    model = build()
    everything = torch.ones(B, R, dtype=torch.bool)
    torch.testing.assert_close(
        model(pictures(), WORDS), model(pictures(everything), WORDS), rtol=1e-6, atol=1e-6
    )


def test_a_beam_with_attention_scores_as_the_whole_caption():
    """The original refused; several captions of a picture share its regions."""
    model, memory = build(), pictures(MASK)
    found = beam(
        stepper(model, memory), model.start(memory), pictures=B, width=4, max_length=5, n_best=4
    )
    for row, several in enumerate(found):
        one = memory.select(torch.tensor([row]))
        for hypothesis in several:
            words = torch.tensor([hypothesis.words], dtype=torch.long)
            log_probs = model(one, words)[0].detach()
            targets = [*hypothesis.words, 0][: 5 if len(hypothesis.words) == 5 else None]
            total = sum(float(log_probs[t, word]) for t, word in enumerate(targets))
            assert hypothesis.log_prob == pytest.approx(total, abs=1e-4)


def test_what_it_needs():
    with pytest.raises(ValueError, match="heads"):
        build(heads=3)
    with pytest.raises(ValueError, match="regions"):
        build()(Memory(Encoded(torch.zeros(1, D))), WORDS[:1])
    tied = build(tie_embeddings=True)
    assert tied.language.output.weight is tied.language.words.weight


def layouts():
    ids = torch.tensor([[3, 1, 0], [2, 0, 0]])
    return {"objects": {"categories": ids, "boxes": torch.rand(2, 3, 4)}}


def test_a_captioner_says_which_objects_each_word_looks_at():
    """The slice of the objects, whatever other encoders see."""
    inputs = layouts()
    words = torch.tensor([[1, 2], [3, 0]])
    lstm, other = (
        LayoutLSTMEncoder(width=D, categories=4),
        LayoutSetEncoder(width=D, categories=4, heads=2),
    )
    for first, second in ((lstm, other), (other, lstm)):
        model = Captioner([first, second], build(), ["objects", "objects"]).eval()
        weights = model.attention(inputs, words)
        assert weights.shape == (2, 3, 3)
        every = model.decoder.weights(model.prepare(inputs), words)
        torch.testing.assert_close(weights, every[:, :, :3])
        assert bool((weights[1, :, 1:] == 0).all())


class Grid(torch.nn.Module):
    """Regions that are no objects."""

    def forward(self, inputs):
        number = len(inputs["categories"])
        regions = torch.randn(number, 4, D, generator=torch.Generator().manual_seed(3))
        return Encoded(regions.mean(1), regions)


def test_the_regions_of_a_picture_before_the_objects_are_not_theirs():
    inputs, words = layouts(), torch.tensor([[1, 2], [3, 0]])
    objects = LayoutLSTMEncoder(width=D, categories=4)
    model = Captioner([Grid(), objects], build(), ["objects", "objects"]).eval()
    every = model.decoder.weights(model.prepare(inputs), words)
    assert every.shape[2] == 4 + 3
    torch.testing.assert_close(model.attention(inputs, words), every[:, :, 4:])


def test_no_such_attention_is_none():
    inputs, words = layouts(), torch.tensor([[1], [2]])
    classes = LayoutLSTMEncoder(width=D, categories=4, location=False, distinct=True)
    assert Captioner([classes], build(), ["objects"]).eval().attention(inputs, words) is None
