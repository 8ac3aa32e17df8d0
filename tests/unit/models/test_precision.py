"""Captions in bfloat16 against those in float32, of models that have learnt theirs."""

import pytest
import torch
from search_oracle import beam

from snakecap import device, registry
from snakecap.models.captioner import stepper
from snakecap.models.encoded import Encoded
from snakecap.objectives.cross_entropy import caption_loss
from snakecap.training.optimisers import Group, Numbers, adam

CPU = torch.device("cpu")
PICTURES, WORDS, LENGTH, WIDTH = 32, 40, 6, 48


@pytest.fixture(scope="module", params=registry.DECODERS)
def learnt(request):
    """A decoder that knows 32 captions, and their pictures."""
    torch.manual_seed(0)
    options = {"hidden_size": WIDTH, "width": WIDTH, "vocabulary_size": WORDS, "dropout": 0.0}
    if request.param == "transformer":
        options["layers"] = 2
    if request.param == "hierarchical":
        options |= {"full_stop": 3, "topic_size": WIDTH}
    decoder = registry.load("decoder", request.param)(**options)
    pictures = Encoded(torch.randn(PICTURES, WIDTH), torch.randn(PICTURES, 3, WIDTH))
    words = torch.randint(1, WORDS + 1, (PICTURES, LENGTH))
    words[torch.arange(LENGTH) >= torch.randint(2, LENGTH, (PICTURES, 1))] = 0
    group = Group(decoder.named_parameters(), adam, Numbers(0.01))
    for _ in range(60):
        caption_loss(decoder, decoder.prepare(pictures), words).backward()
        group.step()
    return decoder.eval(), pictures


@torch.no_grad()
def said(decoder, pictures, precision):
    with device.autocast(precision, CPU):
        memory = decoder.prepare(pictures)
        step, state = stepper(decoder, memory), decoder.start(memory)
        number = len(pictures.summary)
        found = beam(step, state, pictures=number, width=3, max_length=LENGTH)
    return [best[0] for best in found]


def test_a_learnt_model_says_the_same_alone_and_in_a_batch(learnt):
    decoder, pictures = learnt
    single = said(decoder, pictures, "float32")
    assert len({caption.words for caption in single}) > PICTURES // 2
    batched = said(decoder, pictures, "bfloat16")
    each = torch.arange(PICTURES).split(1)
    alone = [said(decoder, pictures.select(one), "bfloat16")[0] for one in each]
    for others in (batched, alone):
        pairs = list(zip(single, others, strict=True))
        same = [pair for pair in pairs if pair[0].words == pair[1].words]
        assert len(same) > 0.9 * PICTURES
        for one, other in same:
            assert other.log_prob == pytest.approx(one.log_prob, abs=0.1)
    assert [caption.log_prob for caption in batched] != [caption.log_prob for caption in single]
