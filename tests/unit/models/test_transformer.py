"""The transformer against torch's own layers, and what it promises beside them."""

import pytest
import torch
from search_oracle import beam
from torch import nn

from snakecap.models.captioner import stepper
from snakecap.models.decoders.transformer import TransformerDecoder, sines
from snakecap.models.encoded import Encoded

B, T, V, D, R, A, F = 3, 4, 6, 8, 5, 2, 12
WORDS = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0], [1, 0, 0, 0]])
STARTED = nn.functional.pad(WORDS, (1, 0))
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]).bool()


def build(**options):
    torch.manual_seed(0)
    small = {"layers": 2, "heads": A, "hidden_size": F, **options}
    return TransformerDecoder(small.pop("constant_size", 0), width=D, vocabulary_size=V, **small)


def pictures(mask=MASK, regions=True):
    generator = torch.Generator().manual_seed(1)
    summary = torch.randn(B, D, generator=generator)
    seen = torch.randn(B, R, D, generator=generator)
    return Encoded(summary, seen, mask) if regions else Encoded(summary)


def copied(theirs, model, layer):
    """Torch's decoder layer with a layer's weights; its biases that ours lacks are zero already."""
    mine = model.layers[layer]
    pairs = {
        theirs.norm1: mine.first,
        theirs.norm2: mine.second,
        theirs.norm3: mine.third,
        theirs.linear1: mine.forward_part[0],
        theirs.linear2: mine.forward_part[3],
        theirs.self_attn.out_proj: mine.join,
        theirs.multihead_attn.out_proj: mine.join_seen,
    }
    for there, here in pairs.items():
        there.load_state_dict(here.state_dict())
    theirs.self_attn.in_proj_weight.data = mine.project.weight.data
    regions = model.regions.weight.chunk(len(model.layers))[layer]
    seen = torch.cat([mine.query.weight, regions])
    theirs.multihead_attn.in_proj_weight.data = seen.data
    return theirs


@pytest.mark.parametrize("mask", [None, MASK])
def test_its_layers_are_torchs(mask):
    model, encoded = build().eval(), pictures(mask)
    plain = {"dropout": 0.0, "batch_first": True, "norm_first": True}
    layers = [copied(nn.TransformerDecoderLayer(D, A, F, **plain), model, at) for at in (0, 1)]
    seen = torch.cat([encoded.regions, encoded.summary.unsqueeze(1)], 1)
    absent = None if mask is None else ~torch.cat([mask, torch.ones(B, 1).bool()], 1)
    tokens = model.words(STARTED) + sines(T + 1, D)
    causal = nn.Transformer.generate_square_subsequent_mask(T + 1)
    for layer in layers:
        hide = None if absent is None else torch.zeros(absent.shape).masked_fill(absent, -torch.inf)
        tokens = layer(tokens, seen, tgt_mask=causal, memory_key_padding_mask=hide)
    torch.testing.assert_close(model.hidden(model.prepare(encoded), WORDS), model.norm(tokens))


def test_positions_are_the_papers():
    table = sines(50, 6)
    for position in (0, 1, 49):
        for i in range(3):
            angle = torch.tensor(position / 10_000 ** (2 * i / 6))
            expected = torch.stack([angle.sin(), angle.cos()])
            torch.testing.assert_close(table[position, 2 * i : 2 * i + 2], expected)
    assert sines(3, 5).shape == (3, 5)


@pytest.mark.parametrize("encoder_layers", [0, 2])
def test_regions_that_do_not_exist_change_nothing_and_learn_nothing(encoder_layers):
    model, encoded = build(encoder_layers=encoder_layers).eval(), pictures()
    regions = (encoded.regions + 9 * ~MASK.unsqueeze(2)).requires_grad_()
    noisy = Encoded(encoded.summary, regions, MASK)
    said = model(model.prepare(noisy), WORDS)
    torch.testing.assert_close(said, model(model.prepare(encoded), WORDS))
    said.square().sum().backward()
    assert bool(regions.grad.isfinite().all()) and bool((regions.grad[~MASK] == 0).all())
    assert bool((regions.grad[MASK] != 0).any(1).all())


def test_a_summary_alone_is_one_region_and_so_is_a_picture_without_objects():
    model = build(encoder_layers=1).eval()
    bare = model(model.prepare(pictures(regions=False)), WORDS)
    empty = model(model.prepare(pictures(torch.zeros(B, R).bool())), WORDS)
    torch.testing.assert_close(bare, empty)
    assert model.weights(model.prepare(pictures(regions=False)), WORDS).shape == (B, T + 1, 0)


def test_regions_have_no_order():
    model, encoded = build(encoder_layers=2).eval(), pictures(None)
    turned = Encoded(encoded.summary, encoded.regions.flip(1))
    one, other = (model(model.prepare(some), WORDS) for some in (encoded, turned))
    torch.testing.assert_close(one, other)


def test_weights_are_those_of_existing_regions():
    model = build().eval()
    weights = model.weights(model.prepare(pictures()), WORDS)
    assert weights.shape == (B, T + 1, R)
    total = weights.sum(2)  # what is missing is the summary's
    assert bool((total[:2] > 0).all() & (total < 1).all()) and bool((weights[2] == 0).all())
    assert bool((weights[~MASK.unsqueeze(1).expand_as(weights)] == 0).all())


def test_weights_are_the_mean_of_torchs():
    model, encoded = build(layers=1).eval(), pictures(None)
    layer = model.layers[0]
    theirs = copied(nn.TransformerDecoderLayer(D, A, F, batch_first=True), model, 0).eval()
    memory = model.prepare(encoded)
    tokens = model.words(STARTED) + sines(T + 1, D)
    asked = layer.second(layer.say(tokens)[0])
    seen = torch.cat([encoded.regions, encoded.summary.unsqueeze(1)], 1)
    _, expected = theirs.multihead_attn(asked, seen, seen)
    torch.testing.assert_close(model.weights(memory, WORDS), expected[:, :, :R])


def test_beams_share_their_pictures_keys_and_score_as_the_whole_caption():
    model = build(encoder_layers=1).eval()
    memory = model.prepare(pictures())
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


def test_a_longer_caption_than_it_has_positions_for():
    model = build(longest=4).eval()
    memory = model.prepare(pictures())
    model.hidden(memory, WORDS)
    with pytest.raises(ValueError, match="longest"):
        model.hidden(memory, torch.cat([WORDS, WORDS], 1))


def test_what_it_needs():
    with pytest.raises(ValueError, match="heads"):
        build(heads=3)
    tied = build(tie_embeddings=True)
    assert tied.output.weight is tied.words.weight


def test_in_bfloat16_it_says_the_same():
    model = build(encoder_layers=1).eval()
    exact = model(model.prepare(pictures()), WORDS)
    with torch.autocast("cpu", torch.bfloat16):
        memory = model.prepare(pictures())
        short = model(memory, WORDS)
        state, steps = model.start(memory), []
        for words in STARTED.unbind(1):
            logits, state = model.step(words, state, memory)
            steps.append(logits)
    assert not torch.equal(short, exact)
    torch.testing.assert_close(short.float(), exact, atol=0.1, rtol=0)
    said = torch.stack(steps, 1).float().log_softmax(-1)
    torch.testing.assert_close(said, exact, atol=0.1, rtol=0)
