"""Captioning as a task: what an objective is told, and what a model's file says."""

import numpy as np
import pytest
import torch
from systems import CPU, Pooled, Stored

from snakecap.config.settings import Stage
from snakecap.formats.captions import Captions, pack
from snakecap.formats.vocabulary import Vocabulary
from snakecap.inputs.batches import CaptionBatches
from snakecap.models.captioner import Captioner
from snakecap.models.decoders.lstm import LSTMDecoder
from snakecap.objectives.cross_entropy import CrossEntropy, caption_loss
from snakecap.tasks.caption import CaptionTask
from snakecap.training.loop import fit
from snakecap.training.task import Validation

WORDS, FILES = ("a", "dog", "runs"), ("0.jpg", "1.jpg", "2.jpg", "3.jpg")


def task(**stage):
    torch.manual_seed(0)
    labels, lengths = pack([[1, 2], [2], [3, 1], [1]], 3)
    starts, ids = np.arange(4), (10, 11, 12, 13)
    packed = Captions(labels, starts, starts + 1, lengths, FILES, ("train",) * 4, ids, WORDS)
    decoder = LSTMDecoder(width=4, vocabulary_size=3, hidden_size=6, dropout=0.0)
    captioner = Captioner([Pooled()], decoder, ["picture"])
    inputs = {"picture": Stored(FILES, pooled=torch.randn(4, 4))}
    row = {"name": "x", "batch_size": 2, "captions_per_picture": 2, "epochs": 3, **stage}
    chosen = Stage.model_validate(row)
    batches = CaptionBatches(packed, inputs, chosen, CPU)
    words = Vocabulary(WORDS)
    return CaptionTask(captioner, batches, lambda: Validation(1.0, {}, [], "loss"), inputs,
                       words, chosen)  # fmt: skip


def test_the_objective_is_told_the_iteration_and_the_pictures_of_each_batch(tmp_path):
    one, told = task(accumulate=2), []
    whole = one.objective

    def recorded(batch, iteration):
        told.append((iteration, batch.rows.tolist()))
        return whole(batch, iteration)

    one.objective = recorded
    fit(one, one.stage, tmp_path, report=lambda _: None)
    assert [iteration for iteration, _ in told] == [now for now in range(6) for _ in range(2)]
    for epoch in range(3):
        seen = [row for now, rows in told if now // 2 == epoch for row in rows]
        assert sorted(seen) == [0, 1, 2, 3]


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_objective_is_the_stages(smoothing):
    options = {"label_smoothing": smoothing}
    one = task(objective={"part": "cross_entropy", "options": options})
    assert isinstance(one.objective, CrossEntropy)
    (part,) = one.parts(0)
    memory = one.model.prepare(part.batch.inputs).select(part.batch.targets.owners)
    words = part.batch.targets.words
    expected = caption_loss(one.model.decoder, memory, words, label_smoothing=smoothing)
    torch.testing.assert_close(one.loss(part.batch, 0)["caption"], expected)


def test_a_models_file_says_its_words_and_how_each_input_is_read():
    assert task().header() == {"vocabulary": Vocabulary(WORDS).as_json(), "inputs": {"picture": {}}}
