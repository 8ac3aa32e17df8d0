"""Attention over regions (O12, O13, D25): each formula in loops, and no weight on padding."""

import pytest
import torch
from search_oracle import beam

from snakecap import registry
from snakecap.config import options
from snakecap.models.captioner import Captioner, stepper
from snakecap.models.encoded import Encoded, Memory
from snakecap.models.encoders.layout_lstm import LayoutLSTMEncoder
from snakecap.models.encoders.layout_set import LayoutSetEncoder

B, T, V, D, H, R = 3, 4, 6, 8, 10, 5
WORDS = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0], [1, 0, 0, 0]])


# The transformer, whose rows lack the summary's share, has tests of its own.
LOOKING = [name for name in registry.DECODERS if options.constant("decoder", name, "reads_regions")]
every = pytest.mark.parametrize("name", LOOKING)


def build(name="attention", **given):
    torch.manual_seed(0)
    return registry.load("decoder", name)(
        width=D, vocabulary_size=V, **{"hidden_size": H, **given}
    ).eval()


def pictures(mask=None):
    generator = torch.Generator().manual_seed(1)
    summary = torch.randn(B, D, generator=generator)
    return Encoded(summary, torch.randn(B, R, D, generator=generator), mask)


MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]).bool()


@pytest.mark.parametrize("heads", [1, 2, 8])
def test_it_is_luongs_general_attention(heads):
    """Word by word and region by region, in plain loops."""
    model, memory = build(heads=heads), Memory(pictures(MASK))
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


def looked(model, state, encoded, row, activation):
    """Additive attention of one state, region by region."""
    context, scores = torch.zeros(D), []
    existing = range(R) if encoded.mask is None else encoded.mask[row].nonzero()[:, 0].tolist()
    for r in existing:
        sums = model.attention.keys(encoded.regions[row, r]) + model.attention.query.weight @ state
        scores.append(model.attention.score.weight[0] @ activation(sums))
    weights = torch.stack(scores).softmax(0) if scores else []
    for weight, r in zip(weights, existing, strict=True):
        context += weight * encoded.regions[row, r]
    return context


def torchs(inputs, states, bias):
    """Torch's own LSTM cell, of blocks of input weights."""
    cell = torch.nn.LSTMCell(sum(block.shape[1] for block in inputs), H)
    cell.weight_ih.data, cell.weight_hh.data = torch.cat(inputs, 1).data, states.data
    cell.bias_ih.data, cell.bias_hh.data = bias.data, torch.zeros(4 * H)
    return cell


def test_spatial_attention_is_the_new_states():
    model, encoded = build("spatial_attention"), pictures(MASK)
    memory = model.prepare(encoded)
    states, hidden = model.language.hidden(memory, WORDS), model.hidden(memory, WORDS)
    for row in range(B):
        for t in range(T + 1):
            context = looked(model, states[row, t], encoded, row, torch.relu)
            torch.testing.assert_close(hidden[row, t], torch.cat([states[row, t], context]))


def test_soft_attention_looks_before_the_state_through_a_gate():
    model, encoded = build("soft_attention"), pictures(MASK)
    seen, own = model.recurrent.weight.split([D, H], 1)
    cell = torchs([model.read.weight, seen], own, model.read.bias)
    hidden = model.hidden(model.prepare(encoded), WORDS)
    for row in range(B):
        summary = encoded.summary[row]
        h, c = model.opening.h(summary).tanh(), model.opening.c(summary)
        for t, word in enumerate([0, *WORDS[row].tolist()]):
            context = looked(model, h, encoded, row, torch.relu) * model.gate(h).sigmoid()
            h, c = cell(torch.cat([model.words.weight[word], context]), (h, c))
            torch.testing.assert_close(hidden[row, t], h)


def test_updown_is_two_lstms():
    """Anderson et al., eq. 1 to 8."""
    model, encoded = build("updown"), pictures(MASK)
    other, own = model.looking.weight.split([H, H], 1)
    look = torchs([other, model.feed.weight, model.read.weight], own, model.read.bias)
    seen, own = model.speaking.weight.split([D + H, H], 1)
    say = torchs([seen], own, model.speaking.bias)
    hidden = model.hidden(model.prepare(encoded), WORDS)
    for row in range(B):
        one = two = (torch.zeros(H), torch.zeros(H))
        for t, word in enumerate([0, *WORDS[row].tolist()]):
            read = torch.cat([two[0], encoded.summary[row], model.words.weight[word]])
            one = look(read, one)
            context = looked(model, one[0], encoded, row, torch.tanh)
            two = say(torch.cat([context, one[0]]), two)
            torch.testing.assert_close(hidden[row, t], two[0])


@every
def test_weights_sum_to_one_over_existing_regions_only(name):
    model = build(name)
    weights = model.weights(model.prepare(pictures(MASK)), WORDS)
    assert weights.shape == (B, T + 1, R)
    torch.testing.assert_close(weights.sum(-1), MASK.any(1).float().unsqueeze(1).expand(-1, T + 1))
    assert bool((weights[~MASK.unsqueeze(1).expand_as(weights)] == 0).all())


@every
def test_regions_that_do_not_exist_change_nothing_and_learn_nothing(name):
    model, encoded = build(name), pictures(MASK)
    regions = (encoded.regions + 9 * ~MASK.unsqueeze(2)).requires_grad_()
    noisy = model(model.prepare(Encoded(encoded.summary, regions, MASK)), WORDS)
    torch.testing.assert_close(noisy, model(model.prepare(encoded), WORDS))
    noisy.square().sum().backward()
    assert bool(regions.grad.isfinite().all()) and bool((regions.grad[~MASK] == 0).all())


@every
def test_no_regions_at_all_are_no_error(name):
    """A batch of empty layouts: the words come from the summary, as beside other layouts."""
    model, summary = build(name), pictures().summary
    empty = Encoded(summary, torch.zeros(B, 0, D), torch.zeros(B, 0).bool())
    nothing, absent = (model.prepare(some) for some in (empty, pictures(torch.zeros(B, R).bool())))
    torch.testing.assert_close(model(nothing, WORDS), model(absent, WORDS))
    assert model.weights(nothing, WORDS).shape == (B, T + 1, 0)
    one, other = (
        beam(stepper(model, some), model.start(some), pictures=B, width=2, max_length=3)
        for some in (nothing, absent)
    )
    assert [row[0].words for row in one] == [row[0].words for row in other]


@every
def test_no_mask_means_all(name):
    model = build(name)
    one, other = (
        model(model.prepare(some), WORDS)
        for some in (pictures(), pictures(torch.ones(B, R, dtype=torch.bool)))
    )
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@every
def test_a_beam_with_attention_scores_as_the_whole_caption(name):
    """The original refused; several captions of a picture share its regions."""
    model = build(name)
    memory = model.prepare(pictures(MASK))
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
    tied = build(tie_embeddings=True)
    assert tied.language.output.weight is tied.language.words.weight


def layouts():
    ids = torch.tensor([[3, 1, 0], [2, 0, 0]])
    return {"objects": {"categories": ids, "boxes": torch.rand(2, 3, 4)}}


class Grid(torch.nn.Module):
    """Regions that are no objects."""

    def forward(self, inputs):
        number = len(inputs["categories"])
        regions = torch.randn(number, 4, D, generator=torch.Generator().manual_seed(3))
        return Encoded(regions.mean(1), regions)


@pytest.mark.parametrize("name", [*LOOKING, "transformer"])
def test_a_captioner_says_which_regions_of_which_encoder_each_word_looks_at(name):
    """A grid's, a layout's, and a set's, which has one more region than objects."""
    inputs, words = layouts(), torch.tensor([[1, 2], [3, 0]])
    encoders = [
        Grid(),
        LayoutLSTMEncoder(width=D, categories=4),
        LayoutSetEncoder(width=D, categories=4, heads=2),
    ]
    model = Captioner(encoders, build(name), ["objects"] * 3).eval()
    found = model.attention(inputs, words)
    assert [part.shape for part in found] == [(2, 3, 4), (2, 3, 3), (2, 3, 4)]
    every = model.decoder.weights(model.prepare(inputs), words)
    torch.testing.assert_close(torch.cat(found, 2), every)
    assert bool((found[1][1, :, 1:] == 0).all())  # that layout has one object


class Summary(Grid):
    def forward(self, inputs):
        return Encoded(super().forward(inputs).summary)


def test_an_encoder_without_regions_has_no_attention_and_a_plain_decoder_gives_none():
    inputs, words = layouts(), torch.tensor([[1], [2]])
    reads = ["objects", "objects"]
    nothing, grid = Captioner([Summary(), Grid()], build(), reads).eval().attention(inputs, words)
    assert nothing is None and grid.shape == (2, 2, 4)
    plain = Captioner([Summary(), Grid()], build("lstm"), reads).eval()
    assert plain.attention(inputs, words) == [None, None]
