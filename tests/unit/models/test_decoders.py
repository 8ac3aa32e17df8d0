"""What every decoder in the registry must do; docs/adding.md promises it of a new one."""

import inspect
from dataclasses import replace
from typing import Literal, get_args, get_origin

import pytest
import torch
from torch import nn

from snakecap import registry
from snakecap.config import options
from snakecap.config.settings import Decoding
from snakecap.models.captioner import stepper
from snakecap.models.encoded import Encoded
from snakecap.objectives.cross_entropy import caption_loss
from snakecap.search import beam
from snakecap.training.optimisers import Group, Numbers
from snakecap.training.optimisers import adam as update

B, T, V, D, H, R, K = 3, 4, 6, 8, 8, 5, 3
SMALL = {"hidden_size": H, "layers": 1, "topic_size": 2 * H}


def variants():
    """Each decoder as it is by default, and with each other value of each choice it offers."""
    for name in registry.DECODERS:
        yield pytest.param((name, {}), id=name)
        for option, field in options.model("decoder", name).model_fields.items():
            values = (True, False) if field.annotation is bool else ()
            if get_origin(field.annotation) is Literal:
                values = get_args(field.annotation)
            for value in set(values) - {field.default}:
                yield pytest.param((name, {option: value}), id=f"{name}-{option}-{value}")
        if "constant_size" in inspect.signature(registry.load("decoder", name)).parameters:
            yield pytest.param((name, {"constant_size": K}), id=f"{name}-constant")


pytestmark = pytest.mark.parametrize("variant", list(variants()))


def build(variant):
    name, given = variant
    torch.manual_seed(0)
    known = options.model("decoder", name).model_fields
    chosen = {option: value for option, value in SMALL.items() if option in known}
    if "full_stop" in options.needs("decoder", name):
        chosen["full_stop"] = V  # a word like others, but that a sentence ends with it
    return registry.load("decoder", name)(width=D, vocabulary_size=V, **{**chosen, **given})


def pictures(variant, number=B, seed=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    summary = torch.randn(number, D, generator=generator).to(dtype)
    constant = torch.randn(number, K, generator=generator).to(dtype)
    regions = torch.randn(number, R, D, generator=generator).to(dtype)
    fed = constant if "constant_size" in variant[1] else None
    return Encoded(summary, regions, constant=fed)


def said(model, encoded, words):
    """Log-probabilities of every next word."""
    return model(model.prepare(encoded), words)


WORDS = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0], [1, 0, 0, 0]])


def unrolled(model, memory, words):
    """The same, a word at a time."""
    logits, state = [], model.start(memory)
    for said_last in torch.cat([words.new_zeros(len(words), 1), words], 1).unbind(1):
        one, state = model.step(said_last, state, memory)
        logits.append(one)
    return torch.stack(logits, 1).log_softmax(-1)


class Halved(nn.Module):
    """What a dropout of 0.5 could do: every other number is left out, the others are doubled."""

    def forward(self, values):
        mask = torch.arange(values.shape[-1]) % 2
        return values * mask * 2


def fixed(model):
    """A decoder in training mode whose dropouts draw nothing, but do something."""
    for parent in list(model.modules()):
        for name, module in list(parent.named_children()):
            if isinstance(module, nn.Dropout) and module.p > 0:
                between = name == "between"  # an LSTM's own can be predicted where all is dropped
                setattr(parent, name, nn.Dropout(1.0) if between else Halved())
            if isinstance(module, nn.RNNBase) and module.dropout:
                module.dropout = 1.0
    return model.train()


def test_shapes_and_probabilities(variant):
    model = build(variant).eval()
    log_probs = said(model, pictures(variant), WORDS)
    assert log_probs.shape == (B, T + 1, V + 1)
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(B, T + 1))


def test_what_settings_are_told_of_a_decoder_is_true(variant):
    """Whether it needs regions, which not all encoders give."""
    model, bare = build(variant).eval(), replace(pictures(variant), regions=None)
    if options.constant("decoder", variant[0], "reads_regions"):
        with pytest.raises(ValueError, match="regions"):
            model.hidden(model.prepare(bare), WORDS)
    else:
        assert len(model.hidden(model.prepare(bare), WORDS)) == B


def test_step_by_step_is_the_whole(variant):
    model = build(variant).eval()
    memory = model.prepare(pictures(variant))
    state = model.start(memory)
    assert all(len(part) == B for part in state)
    torch.testing.assert_close(unrolled(model, memory, WORDS), model(memory, WORDS))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("dropped", ["dropout", "input_dropout", "both"])
def test_step_by_step_is_the_whole_in_training_too(variant, layers, dropped):
    """Values and gradients, with every dropout at its place: the picture's, between layers, ..."""
    name, given = variant
    known = options.model("decoder", name).model_fields.keys()
    shares = {key: 0.5 * (dropped in (key, "both")) for key in ("dropout", "input_dropout")}
    chosen = {**given, "layers": layers, **shares}
    lacking = {"layers"} if layers > 1 else set()
    lacking |= {key for key, share in shares.items() if share and dropped != "both"}
    if lacking - known:
        pytest.skip(f"{name} has no {' or '.join(lacking - known)}")
    small = {key: value for key, value in chosen.items() if key in known | given.keys()}
    model = fixed(build((name, small))).double()
    values, gradients = [], []
    for say in (model, lambda *given: unrolled(model, *given)):
        model.zero_grad()
        values.append(say(model.prepare(pictures(variant, dtype=torch.double)), WORDS))
        values[-1].square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*gradients)
    whole = build((name, small)).eval()
    assert not torch.allclose(values[0].float(), said(whole, pictures(variant), WORDS)), (
        "nothing dropped"
    )


def test_no_word_sees_what_follows_it(variant):
    model = build(variant).eval()
    later = WORDS.clone()
    later[0, 2:] = torch.tensor([6, 6])
    one, other = said(model, pictures(variant), WORDS), said(model, pictures(variant), later)
    torch.testing.assert_close(one[0, :3], other[0, :3])
    assert not torch.allclose(one[0, 3], other[0, 3])


def test_captions_and_pictures_do_not_influence_each_other(variant):
    model = build(variant).eval()
    encoded = pictures(variant)
    alone = torch.tensor([1])
    short = WORDS[1:2, :2]
    together = said(model, encoded, WORDS)[1:2, :3]
    torch.testing.assert_close(said(model, encoded.select(alone), short), together)
    # What was prepared is selected as well as what is prepared of a selection.
    memory = model.prepare(encoded)
    torch.testing.assert_close(model(memory.select(alone), short), together)


def test_the_picture_matters(variant):
    model = build(variant).eval()
    one, other = (said(model, pictures(variant, seed=seed), WORDS) for seed in (1, 2))
    assert bool(((one - other).abs().amax(-1) > 1e-6).all())


def test_constant_numbers_reach_every_word(variant):
    if "constant_size" not in variant[1]:
        pytest.skip("has none")
    model, encoded = build(variant).eval(), pictures(variant)
    other = replace(encoded, constant=encoded.constant + 1)
    one, other = (said(model, some, WORDS) for some in (encoded, other))
    assert bool(((one - other).abs().amax(-1) > 1e-6).all())


def test_every_parameter_learns_and_eight_pictures_are_learnt(variant):
    model = build(variant)
    encoded = pictures(variant, 8)
    words = torch.randint(1, V + 1, (8, T), generator=torch.Generator().manual_seed(2))
    model.eval()  # without dropout, all of it can be learnt
    group = Group(model.named_parameters(), update, Numbers(0.03))
    for step in range(150):
        loss = caption_loss(model, model.prepare(encoded), words)
        loss.backward()
        if step == 0:
            assert all(p.grad is not None and bool((p.grad != 0).any()) for p in group.parameters)
        group.step()
    assert loss.item() < 0.1
    memory = model.prepare(encoded)
    decoding = Decoding(beam_width=3, max_length=6)
    found = beam.search(stepper(model, memory), model.start(memory), decoding, 8)
    assert [best[0].words for best in found] == [tuple(row) for row in words.tolist()]
