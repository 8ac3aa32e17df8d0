"""The language model against hand-written equations, and NeuralTalk2's own invariants (A6, A13)."""

import math

import pytest
import torch
from torch import nn

from snakecap.models.decoders.lstm import LSTMDecoder, Opening
from snakecap.models.encoded import Encoded, Memory
from snakecap.objectives.cross_entropy import caption_loss
from snakecap.training.optimisers import Group, Numbers
from snakecap.training.optimisers import adagrad as update


def decoder(V=5, E=7, H=24, **options):
    torch.manual_seed(0)
    return LSTMDecoder(width=E, vocabulary_size=V, hidden_size=H, **options)


def picture(summary):
    """What the decoder looks at: summaries (B, D) alone."""
    return Memory(Encoded(summary))


def by_hand(model, summary, words):
    """Spec A6, gate by gate; zero initial state, picture first, START second."""
    weights = {name: p.detach() for name, p in model.recurrent.named_parameters()}
    h = c = torch.zeros(len(summary), model.recurrent.hidden_size)
    outputs = []
    starts = torch.zeros(len(words), 1, dtype=torch.long)
    inputs = [summary, *model.words(torch.cat([starts, words], 1)).unbind(1)]
    for x in inputs:
        a = x @ weights["weight_ih_l0"].T + weights["bias_ih_l0"]
        a = a + h @ weights["weight_hh_l0"].T + weights["bias_hh_l0"]
        i, f, g, o = a.chunk(4, 1)  # torch's order of the gates
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append((h @ model.output.weight.T + model.output.bias).log_softmax(-1))
    return torch.stack(outputs[1:], 1)  # the picture's own output is not used


def test_forward_matches_the_equations():
    model = decoder().eval()
    words = torch.tensor([[1, 2, 3], [5, 4, 0]])
    summary = torch.randn(2, 7)
    torch.testing.assert_close(model(picture(summary), words), by_hand(model, summary, words))


@pytest.mark.parametrize("layers", [1, 2])
def test_step_by_step_agrees_with_forward(layers):
    model = decoder(layers=layers).eval()
    words = torch.tensor([[1, 2, 3], [5, 4, 2]])
    pictures = picture(torch.randn(2, 7))
    whole = model(pictures, words)
    state = model.start(pictures)
    said = torch.cat([torch.zeros(2, 1, dtype=torch.long), words], 1)
    for t in range(4):
        logits, state = model.step(said[:, t], state, pictures)
        torch.testing.assert_close(logits.log_softmax(-1), whole[:, t])


def test_the_loss_asks_the_device_for_no_value():
    """Tensors on `meta` have no values: whatever asked for one would fail."""
    model = decoder().to("meta")
    pictures = picture(torch.randn(2, 7, device="meta"))
    loss = caption_loss(model, pictures, torch.tensor([[1, 2, 3], [5, 4, 0]]))
    loss.backward()
    assert loss.is_meta and all(weight.grad is not None for weight in model.parameters())
    with pytest.raises(RuntimeError, match="meta"):
        float(loss)


def test_the_picture_changes_every_prediction():
    model = decoder().eval()
    words = torch.tensor([[1, 2, 3]])
    one, other = (model(picture(torch.full((1, 7), value)), words) for value in (0.0, 1.0))
    assert bool(((one - other).abs().amax(-1) > 1e-6).all())


def test_loss_is_the_mean_over_words_and_end():
    model = decoder().eval()
    pictures = picture(torch.randn(3, 7))
    words = torch.tensor([[1, 2, 0, 0], [3, 0, 0, 0], [5, 4, 3, 2]])
    log_probs = model(pictures, words)
    total, count = 0.0, 0
    for row, caption in enumerate(words.tolist()):
        targets = [word for word in caption if word] + [0]
        total -= sum(log_probs[row, t, word].item() for t, word in enumerate(targets))
        count += len(targets)
    assert caption_loss(model, pictures, words).item() == pytest.approx(total / count, rel=1e-5)
    summed = caption_loss(model, pictures, words, reduction="sum").item()
    assert summed == pytest.approx(total, rel=1e-5)


def test_padding_gets_no_gradient():
    """M4: after END nothing is predicted, so words beyond it have no influence."""
    model = decoder().eval()
    embedded = {}

    def keep(module, inputs, output):
        output.retain_grad()
        embedded["words"] = output

    model.words.register_forward_hook(keep)
    words = torch.tensor([[1, 2, 0, 0], [5, 4, 3, 2]])
    caption_loss(model, picture(torch.randn(2, 7)), words).backward()
    size = embedded["words"].grad.abs().sum(-1)
    assert bool((size[0, :3] > 0).all()) and bool((size[0, 3:] == 0).all())
    assert bool((size[1] > 0).all())


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_persistent_features_are_part_of_every_input(cell):
    """D10: a network without them that reads their sum with what it read."""
    torch.manual_seed(0)
    model = LSTMDecoder(3, width=7, vocabulary_size=5, hidden_size=24, cell=cell, dropout=0.0)
    assert model.recurrent.input_size == 7 + 3
    seen = []
    model.recurrent.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    summary, constant = torch.randn(2, 7), torch.randn(2, 3)
    words = torch.tensor([[1, 2, 3], [5, 4, 0]])
    model(Memory(Encoded(summary, constant=constant)), words)
    assert torch.equal(seen[0][:, :, 7:], constant.unsqueeze(1).expand(2, 5, 3))
    assert torch.equal(seen[0][:, 1:, :7], model.words(torch.nn.functional.pad(words, (1, 0))))


@pytest.mark.parametrize("layers", [1, 3])
def test_a_grus_state_is_one_vector_a_layer_and_its_step_torchs(layers):
    model = decoder(cell="gru", layers=layers).eval()
    assert isinstance(model.recurrent, nn.GRU)
    memory, words = picture(torch.randn(2, 7)), torch.tensor([[1, 2, 3], [5, 4, 2]])
    (h,) = model.start(memory)
    assert h.shape == (2, layers, 24)
    for said in words.unbind(1):
        inputs = model.words(said).unsqueeze(1)
        top, after = model.recurrent(inputs, h.transpose(0, 1).contiguous())
        found, (h,) = model.advance(said, (h,), memory)
        torch.testing.assert_close(found, top[:, 0])
        torch.testing.assert_close(h, after.transpose(0, 1))


def test_padding_does_not_change_a_caption_in_a_longer_batch():
    model = decoder().eval()
    short = torch.tensor([[1, 2]])
    padded = torch.tensor([[1, 2, 0, 0], [5, 4, 3, 2]])
    pictures = picture(torch.randn(2, 7))
    alone = model(pictures.select(torch.tensor([0])), short)
    torch.testing.assert_close(model(pictures, padded)[:1, :3], alone)


def test_parameter_count_and_first_loss_are_neuraltalk2s():
    """M5 and M8: 3,360 parameters on the toy configuration, first loss near ln(V + 1)."""
    model = decoder(V=5, E=7, H=24, dropout=0.5)
    both_biases = sum(p.numel() for p in model.parameters())
    assert both_biases == 4 * (7 + 24) * 24 + 8 * 24 + 24 * 6 + 6 + 6 * 7 == 3360
    words = torch.randint(1, 6, (6, 7))
    loss = caption_loss(model.eval(), picture(torch.randn(6, 7)), words)
    assert loss.item() == pytest.approx(math.log(6), abs=0.1)


def test_it_overfits_a_toy_set():
    """M6, as NeuralTalk2's test: thirty Adagrad steps at 0.1 reach a loss under 0.2."""
    model = decoder(dropout=0.0)
    pictures = picture(torch.randn(6, 7))
    words = torch.randint(1, 6, (6, 7))
    group = Group(model.named_parameters(), update, Numbers(0.1))
    for _ in range(30):
        loss = caption_loss(model, pictures, words)
        loss.backward()
        group.step()
    assert loss.item() < 0.2


def test_gradients_by_finite_differences():
    """M7: with respect to the picture and the weights."""
    model = decoder(V=4, E=3, H=5, dropout=0.0).double()
    words = torch.tensor([[1, 2, 0], [4, 3, 1]])
    summary = torch.randn(2, 3, dtype=torch.double, requires_grad=True)
    names = [name for name, _ in model.named_parameters()]

    def loss(summary, *values):
        replaced = dict(zip(names, values, strict=True))
        call = _Loss(model)
        return torch.func.functional_call(
            call, {f"model.{k}": v for k, v in replaced.items()}, (summary, words)
        )

    values = [p.detach().clone().requires_grad_() for p in model.parameters()]
    assert torch.autograd.gradcheck(loss, (summary, *values), eps=1e-6, atol=1e-5)


class _Loss(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, summary, words):
        logits = self.model(picture(summary), words)
        return -(logits * torch.linspace(0, 1, logits.numel()).view_as(logits)).sum()


def test_dropout_is_on_the_output_only():
    """NeuralTalk2 drops the top output, not the words and not the picture."""
    model = decoder(dropout=0.5)
    hidden = model.hidden(picture(torch.randn(64, 7)), torch.ones(64, 3, dtype=torch.long))
    assert (hidden == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)
    seen = {}
    model.recurrent.register_forward_hook(lambda module, inputs, output: seen.update(x=inputs[0]))
    model.hidden(picture(torch.ones(2, 7)), torch.ones(2, 3, dtype=torch.long))
    assert torch.equal(seen["x"][:, 0], torch.ones(2, 7))


def test_between_layers_a_step_drops_as_often_as_torchs_lstm():
    """Whose own dropout no test can replace: by mean and spread over many captions."""
    model, number = decoder(layers=3, dropout=0.5), 20_000
    memory = picture(torch.randn(1, 7).expand(number, 7))
    start = torch.zeros(number, 1, dtype=torch.long)
    with torch.no_grad():
        hidden = model.logits(model.hidden(memory, start[:, :0]))[:, 0]
        state = model.start(memory)
        step, _ = model.step(start[:, 0], state, memory)
    torch.testing.assert_close(step.mean(0), hidden.mean(0), atol=0.005, rtol=0)
    torch.testing.assert_close(step.std(0), hidden.std(0), rtol=0.04, atol=0)


def test_tied_embeddings_share_one_matrix():
    model = decoder(E=24, tie_embeddings=True)
    assert model.output.weight is model.words.weight
    with pytest.raises(ValueError, match="hidden_size = width"):
        decoder(E=7, tie_embeddings=True)


def test_tied_word_vectors_are_scaled_where_they_are_read():
    """As an untied decoder whose input vectors are sqrt(D) times those of its output."""
    tied, untied = decoder(E=24, tie_embeddings=True).eval(), decoder(E=24).eval()
    state = dict(tied.state_dict())
    state["words.weight"] = tied.output.weight * 24**0.5
    untied.load_state_dict(state)
    pictures, words = picture(torch.randn(2, 24)), torch.tensor([[1, 2], [3, 0]])
    torch.testing.assert_close(tied(pictures, words), untied(pictures, words))


def test_the_picture_as_the_initial_state_by_hand():
    opening = Opening(3, 4, 2)
    summary = torch.randn(5, 3)
    h, c = opening(summary)
    assert h.shape == c.shape == (2, 5, 4)
    expected = torch.tanh(summary @ opening.h.weight.T + opening.h.bias)
    torch.testing.assert_close(h, expected.view(5, 2, 4).transpose(0, 1))
    plain = summary @ opening.c.weight.T + opening.c.bias
    torch.testing.assert_close(c, plain.view(5, 2, 4).transpose(0, 1))
