"""A paragraph's loss is Krause et al.'s, sentence by sentence; only the stop head ends it."""

import pytest
import torch
from torch.nn import functional as F

from snakecap.config.settings import Decoding
from snakecap.inputs.batches import Batch, CaptionTargets
from snakecap.models.captioner import Captioner, stepper
from snakecap.models.decoders.hierarchical import Coupling, HierarchicalDecoder
from snakecap.models.encoded import Encoded, Memory
from snakecap.objectives.cross_entropy import caption_loss
from snakecap.objectives.paragraphs import Paragraphs
from snakecap.search import greedy

V, D, H, STOP = 7, 6, 5, 3
SAID = [  # each sentence without its full stop
    [[1, 2], [4], [5, 6, 7]],
    [[2, 2, 1, 1]],
    [[], [7, 1]],
]
WORDS = torch.tensor(
    [[1, 2, 3, 4, 3, 5, 6, 7, 3], [2, 2, 1, 1, 3, 0, 0, 0, 0], [3, 7, 1, 3] + [0] * 5]
)


def decoder(seed=0, **options):
    torch.manual_seed(seed)
    given = {"width": D, "vocabulary_size": V, "hidden_size": H, "topic_size": 4, **options}
    return HierarchicalDecoder(full_stop=STOP, **given).eval()


def pictures(number=3):
    return Encoded(torch.randn(number, D, generator=torch.Generator().manual_seed(1)))


def coupled(model, topics, before, n):
    """Chatterjee and Schwing's formulas, for one paragraph."""
    norms = topics.norm(dim=1)
    together = sum(norm / norms.sum() * topic for norm, topic in zip(norms, topics, strict=True))
    alpha, beta = Coupling.ALPHA, Coupling.BETA
    carried = 0 if before is None else model.coupling.said(before)
    fused = (alpha * topics[n] + beta * carried) / (alpha + beta)
    return model.coupling.cell(fused.unsqueeze(0), together.unsqueeze(0))[0]


def by_sentence(model, summary, sentences):
    """Krause et al., eq. 1: the sums of -log p over words, and of whether each is the last."""
    topics, stops = (part[0] for part in model.prepare(Encoded(summary.unsqueeze(0))).prepared[:2])
    words, stop, before = 0, 0, None
    for n, sentence in enumerate(sentences):
        topic = topics[n] if model.coupling is None else coupled(model, topics, before, n)
        read = torch.tensor([sentence], dtype=torch.long)
        states = model.language.states(Memory(Encoded(topic.unsqueeze(0))), read)[0]
        before = states[-1]
        logits = model.language.logits(states)
        if n:  # END competes with the first word of the first sentence alone, and within sentences
            logits[0, 0] = -torch.inf
        words = words + F.cross_entropy(logits, torch.tensor([*sentence, STOP]), reduction="sum")
        last = torch.tensor(float(n + 1 == len(sentences)))
        stop = stop + F.binary_cross_entropy_with_logits(stops[n], last)
    return words, stop


@pytest.mark.parametrize("coherent", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_flat_captions_loss_is_that_of_words_and_stops(coherent, cell):
    model, encoded = decoder(coherent=coherent, cell=cell), pictures()
    sums = [by_sentence(model, *pair) for pair in zip(encoded.summary, SAID, strict=True)]
    found = caption_loss(model, model.prepare(encoded), WORDS, reduction="sum")
    torch.testing.assert_close(found, sum(words + stop for words, stop in sums))


def test_the_objective_weighs_stops():
    model, encoded = decoder(), pictures()
    sums = [by_sentence(model, *pair) for pair in zip(encoded.summary, SAID, strict=True)]

    class Given(torch.nn.Module):
        def forward(self, inputs):
            return Encoded(inputs["summary"])

    captioner = Captioner([Given()], model, ["picture"])
    targets = CaptionTargets(WORDS, torch.arange(3))
    batch = Batch(torch.arange(3), {"picture": {"summary": encoded.summary}}, targets)
    losses = Paragraphs(model=captioner, stop_weight=2.5)(batch, 0)
    number = (WORDS != 0).sum()
    torch.testing.assert_close(losses["words"], sum(words for words, _ in sums) / number)
    torch.testing.assert_close(losses["stop"], 2.5 * sum(stop for _, stop in sums) / 6)


def said(model, encoded, longest=12):
    decoding = Decoding(method="greedy", max_length=longest)
    memory = model.prepare(encoded)
    found = greedy.search(stepper(model, memory), model.start(memory), decoding, 3)
    return [best[0].words for best in found]


@pytest.mark.parametrize("coherent", [False, True])
def test_the_stop_head_alone_ends_a_paragraph_behind_a_sentence(coherent):
    """Whatever the words are."""
    model = decoder(coherent=coherent)
    with torch.no_grad():
        model.language.output.bias[0] = -50.0  # no END within a sentence
        model.language.output.bias[STOP] = 2.0
        model.stop[1].weight.zero_()
        model.stop[1].bias.fill_(-50.0)
        assert all(len(words) == 12 for words in said(model, pictures()))
        model.stop[1].bias.fill_(50.0)
        assert all(words.index(STOP) == len(words) - 1 < 11 for words in said(model, pictures()))


@pytest.mark.parametrize("coherent", [False, True])
def test_sentences_after_the_last_topic_share_it_and_cut_paragraphs_have_a_loss(coherent):
    model = decoder(coherent=coherent, max_sentences=2)
    words = torch.tensor([[1, 3, 1, 3, 1, 3, 1], [3] * 7, [1, 2, 4, 5, 6, 7, 1]])
    memory = model.prepare(pictures())
    assert caption_loss(model, memory, words).isfinite()
    if not coherent:
        each = model(memory, words)[0]
        torch.testing.assert_close(each[4], each[6])
        assert not torch.allclose(each[2], each[4])


@pytest.mark.parametrize("coherent", [False, True])
def test_a_sentence_knows_the_one_before_where_they_are_coherent(coherent):
    model = decoder(coherent=coherent)
    memory = model.prepare(pictures(2).select(torch.tensor([0, 0])))
    one, other = model(memory, torch.tensor([[1, 2, 3, 4], [5, 6, 3, 4]]))[:, 3:]
    assert torch.allclose(one, other) != coherent
