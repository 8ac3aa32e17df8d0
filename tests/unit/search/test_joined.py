"""Several models as one, against the mean of their probabilities."""

import math

import pytest
import torch
from search_oracle import END, RandomModel, all_captions, beam

from snakecap.search.ensemble import joined


class Mean:
    """What `all_captions` needs of a model: log-probabilities by the definition."""

    def __init__(self, models):
        self.models, self.words = models, models[0].words

    def log_probs(self, picture, history):
        each = torch.tensor([model.log_probs(picture, history) for model in self.models])
        return each.double().exp().mean(0).log().tolist()

    def log_prob(self, picture, caption, max_length):
        ended = caption if len(caption) == max_length else (*caption, END)
        return sum(self.log_probs(picture, caption[:t])[word] for t, word in enumerate(ended))


@pytest.mark.parametrize("holes", [0.0, 0.4])
def test_the_best_captions_are_those_of_the_mean(holes):
    models = [RandomModel(pictures=3, words=3, seed=seed, holes=holes) for seed in (1, 2, 3)]
    step, state = joined([one.step for one in models], [one.state() for one in models])
    found = beam(step, state, pictures=3, width=82, n_best=9, max_length=4)
    for picture in range(3):
        expected = all_captions(Mean(models), picture, 4)[:9]
        assert [h.words for h in found[picture]] == [words for _, words in expected]
        scores = [h.log_prob for h in found[picture]]
        assert scores == pytest.approx([score for score, _ in expected], abs=1e-6)


def test_one_model_is_itself_and_twice_the_same_too():
    def found(number):
        models = [RandomModel(pictures=20, words=9, seed=4) for _ in range(number)]
        step, state = joined([one.step for one in models], [one.state() for one in models])
        return beam(step, state, pictures=20, width=3, max_length=6)

    alone = RandomModel(pictures=20, words=9, seed=4)
    expected = beam(alone.step, alone.state(), pictures=20, width=3, max_length=6)
    for number in (1, 2):
        for one, other in zip(found(number), expected, strict=True):
            assert one[0].words == other[0].words
            assert math.isclose(one[0].log_prob, other[0].log_prob)
