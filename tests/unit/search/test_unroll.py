"""Captions that are said while a model learns: probabilities and gradients are the model's."""

import pytest
import torch
from search_oracle import greedy

from snakecap import registry
from snakecap.config import options
from snakecap.models.captioner import stepper
from snakecap.models.encoded import Encoded
from snakecap.objectives.cross_entropy import caption_loss
from snakecap.search.hypothesis import NONE
from snakecap.search.unroll import unroll


@pytest.mark.parametrize("name", registry.DECODERS)
def test_gradients_of_sampled_captions_are_those_of_teacher_forcing(name):
    """Captions that end leave the batch; what was said of them still counts."""
    torch.manual_seed(3)
    given = {"width": 8, "vocabulary_size": 5, "full_stop": 2}
    decoder = options.build("decoder", name, {"hidden_size": 8, "dropout": 0.0}, given)
    encoded = Encoded(torch.randn(3, 8, requires_grad=True), torch.randn(3, 4, 8))
    memory = decoder.prepare(encoded)
    generator = torch.Generator().manual_seed(1)

    def choose(logits):
        return torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)

    start = decoder.start(memory)
    shape = {"pictures": 3, "copies": 4, "max_length": 60, "constraints": NONE}
    said, log_probs = unroll(stepper(decoder, memory), start, choose, **shape)
    lengths = (said != 0).sum(2)
    assert lengths.min() < lengths.max() < 60  # all have an END, at different places
    read = [*decoder.parameters(), encoded.summary]
    owners = torch.arange(3).repeat_interleave(4)
    words = said.flatten(0, 1)
    again = decoder.prepare(encoded).select(owners)
    loss = caption_loss(decoder, again, words, reduction="sum")
    assert log_probs.sum().item() == pytest.approx(-loss.item(), rel=1e-5)
    ours = torch.autograd.grad(log_probs.sum(), read, allow_unused=True)
    theirs = torch.autograd.grad(-loss, read, allow_unused=True)
    for one, other in zip(ours, theirs, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_a_search_draws_no_gradient():
    decoder = options.build(
        "decoder", "lstm", {"hidden_size": 4}, {"width": 4, "vocabulary_size": 3}
    )
    memory = decoder.eval().prepare(Encoded(torch.randn(2, 4)))
    step, state = stepper(decoder, memory), decoder.start(memory)
    found = greedy(step, state, pictures=2, max_length=3)
    assert len(found) == 2 and all(isinstance(best[0].log_prob, float) for best in found)
