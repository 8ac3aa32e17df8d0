"""Captions in bfloat16 against those in float32, of models that have learnt theirs."""

import pytest
import torch

from snakecap import device, registry
from snakecap.models.captioner import Captioner
from snakecap.models.encoded import Encoded
from snakecap.search.beam import beam
from snakecap.training.optimisers import Group, Numbers, adam

CPU = torch.device("cpu")
PICTURES, WORDS, LENGTH, WIDTH = 32, 40, 6, 48


class Look(torch.nn.Module):
    def forward(self, inputs):
        return Encoded(inputs["summary"], inputs["regions"])


@pytest.fixture(scope="module", params=["lstm", "attention"])
def learnt(request):
    """A captioner that knows 32 captions, and its pictures."""
    torch.manual_seed(0)
    options = {"hidden_size": WIDTH, "width": WIDTH, "vocabulary_size": WORDS, "dropout": 0.0}
    captioner = Captioner([Look()], registry.load("decoder", request.param)(**options))
    summary, regions = torch.randn(PICTURES, WIDTH), torch.randn(PICTURES, 3, WIDTH)
    inputs = {"summary": summary, "regions": regions}
    words = torch.randint(1, WORDS + 1, (PICTURES, LENGTH))
    words[torch.arange(LENGTH) >= torch.randint(2, LENGTH, (PICTURES, 1))] = 0
    group = Group(captioner.named_parameters(), adam, Numbers(0.01))
    for _ in range(60):
        captioner(inputs, words, torch.arange(PICTURES))["caption"].backward()
        group.step()
    return captioner.eval(), inputs


@torch.no_grad()
def said(captioner, inputs, precision):
    with device.autocast(precision, CPU):
        step, state, pictures = captioner.start(inputs)
        found = beam(step, state, pictures=pictures, width=3, max_length=LENGTH)
    return [best[0] for best in found]


def test_a_learnt_model_says_the_same_alone_and_in_a_batch(learnt):
    captioner, inputs = learnt
    single = said(captioner, inputs, "float32")
    assert len({caption.words for caption in single}) > PICTURES // 2
    batched = said(captioner, inputs, "bfloat16")
    alone = [
        said(captioner, {name: value[n : n + 1] for name, value in inputs.items()}, "bfloat16")[0]
        for n in range(PICTURES)
    ]
    for others in (batched, alone):
        pairs = list(zip(single, others, strict=True))
        same = [pair for pair in pairs if pair[0].words == pair[1].words]
        assert len(same) > 0.9 * PICTURES
        for one, other in same:
            assert other.log_prob == pytest.approx(one.log_prob, abs=0.1)
    assert [caption.log_prob for caption in batched] != [caption.log_prob for caption in single]
