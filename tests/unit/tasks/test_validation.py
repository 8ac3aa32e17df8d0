"""Validation while training (spec A14.8, E2, S4, T12): by token, greedy, on the same pictures."""

import numpy as np
import pytest
import torch
from search_oracle import greedy
from systems import Pooled, Stored

from snakecap.config.settings import Stage
from snakecap.distributed.process_group import ProcessGroup
from snakecap.formats.captions import Captions, pack
from snakecap.formats.pictures import Collection, Picture
from snakecap.formats.vocabulary import Vocabulary
from snakecap.models.captioner import Captioner
from snakecap.models.decoders.lstm import LSTMDecoder
from snakecap.models.encoded import Encoded, Memory
from snakecap.objectives.cross_entropy import caption_loss
from snakecap.tasks.caption import CaptionValidation

WORDS = ("a", "dog", "runs", "UNK")
# Three validation pictures with 1, 3 and 2 captions of unlike lengths; one more for training.
SAID = [[[1, 2]], [[1], [1, 2, 3, 3, 2], [3]], [[2, 3, 1], [2]], [[1, 1]]]
SPLITS = ("val", "val", "val", "train")


@pytest.fixture
def captioner():
    torch.manual_seed(0)
    decoder = LSTMDecoder(width=4, vocabulary_size=4, hidden_size=16, dropout=0.5)
    return Captioner([Pooled()], decoder, ["picture"])


FEATURES = torch.randn(4, 4, generator=torch.Generator().manual_seed(1)) * 5


def validator(captioner, **stage):
    labels, lengths = pack([caption for row in SAID for caption in row], 6)
    ends = np.cumsum([len(row) for row in SAID])
    starts = ends - [len(row) for row in SAID]
    files = tuple(f"{i}.jpg" for i in range(4))
    packed = Captions(labels, starts, ends, lengths, files, SPLITS, (10, 11, 12, 13), WORDS)
    pictures = tuple(
        Picture(id=10 + i, file=files[i], split=SPLITS[i], captions=("a dog runs",))
        for i in range(4)
    )
    row = Stage.model_validate({"name": "x", "language_eval": False, **stage})
    return CaptionValidation(
        captioner,
        {"picture": Stored(files, pooled=FEATURES)},
        packed,
        Vocabulary(WORDS, "neuraltalk2", dict.fromkeys(WORDS, 1)),
        Collection(None, pictures),
        row,
    )


def test_the_loss_is_the_mean_over_tokens_of_the_whole_split(captioner):
    """NeuralTalk2 averaged its batches' means, so that short captions weighed more."""
    found = validator(captioner)()
    total, tokens = 0.0, 0
    captioner.eval()
    for picture, captions in enumerate(SAID[:3]):
        for caption in captions:
            memory = Memory(Encoded(FEATURES[picture : picture + 1]))
            words = torch.tensor([caption])
            total += caption_loss(captioner.decoder, memory, words, reduction="sum").item()
            tokens += len(caption) + 1
    assert found.loss == pytest.approx(total / tokens, rel=1e-5)
    assert found.by == "loss" and found.score == -found.loss


def test_captions_are_greedy_whatever_the_system_decodes_with(captioner):
    found = validator(captioner)()
    captioner.eval()
    step, state, number = captioner.start({"picture": {"pooled": FEATURES[:3]}})
    best = greedy(step, state, pictures=number, max_length=6)
    expected = [" ".join(WORDS[word - 1] for word in row[0].words) for row in best]
    assert [row["caption"] for row in found.predictions] == expected
    assert [row["image_id"] for row in found.predictions] == [10, 11, 12]
    assert any(expected), "the toy model should say something"


def test_a_process_may_have_no_pictures_to_validate(captioner, monkeypatch):
    """There are three; the fifth process has an empty share."""
    shares = []
    monkeypatch.setattr(ProcessGroup, "gather", lambda processes, value: shares.append(value) or [])
    judge = validator(captioner)
    judge.processes = ProcessGroup(rank=4, size=5)
    assert judge() is None and shares == [(0.0, 0, [])]


def test_looking_changes_nothing(captioner):
    """Weights and random state stay, so that validating more often trains the same model."""
    judge = validator(captioner)
    torch.manual_seed(5)
    before = {k: v.clone() for k, v in captioner.state_dict().items()}
    first, second = judge(), judge()
    assert first == second
    assert all(torch.equal(value, before[name]) for name, value in captioner.state_dict().items())
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))


@pytest.mark.parametrize(("asked", "ids"), [(-1, [10, 11, 12]), (2, [10, 11]), (9, [10, 11, 12])])
def test_how_many_pictures(captioner, asked, ids):
    found = validator(captioner, validation_pictures=asked)()
    assert [row["image_id"] for row in found.predictions] == ids
