import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from search_oracle import RandomModel, all_captions, beam, greedy, slow_beam

from snakecap import registry
from snakecap.config.settings import Decoding
from snakecap.search.beam import best
from snakecap.search.hypothesis import NONE, normaliser

LENGTH = 4


def search(model, width, max_length=LENGTH, **options):
    return beam(
        model.step,
        model.state(),
        pictures=model.pictures,
        width=width,
        max_length=max_length,
        **options,
    )


def same(found, expected):
    """Whether hypotheses are the (score, words) pairs, in order."""
    assert [h.words for h in found] == [words for _, words in expected]
    for hypothesis, (score, _) in zip(found, expected, strict=True):
        assert hypothesis.score == pytest.approx(score, abs=1e-9)


@pytest.mark.parametrize("power", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("holes", [0.0, 0.4])
def test_full_width_finds_what_enumeration_finds(power, holes):
    model = RandomModel(pictures=3, words=3, seed=1, holes=holes)
    n_best = 12
    found = search(model, 3**LENGTH + 1, n_best=n_best, length_normalisation=power)
    for picture in range(3):
        same(found[picture], all_captions(model, picture, LENGTH, power)[:n_best])


@pytest.mark.parametrize("power", [0.0, 0.9])
@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("end_bias", [-3.0, 0.0, 3.0])
def test_equals_the_slow_beam_that_never_stops_early(width, power, end_bias):
    model = RandomModel(pictures=8, words=40, seed=width, holes=0.2, end_bias=end_bias)
    n_best = min(width, 3)
    found = search(model, width, 5, n_best=n_best, length_normalisation=power)
    for picture in range(8):
        same(found[picture], slow_beam(model, picture, width, 5, n_best, power))


@given(seed=st.integers(0, 10**6), width=st.integers(1, 4), holes=st.floats(0, 0.9))
@settings(max_examples=30, deadline=None)
def test_log_prob_is_the_models_up_to_and_including_end(seed, width, holes):
    model = RandomModel(pictures=2, words=5, seed=seed, holes=holes)
    for picture, hypotheses in enumerate(search(model, width, n_best=width)):
        scores = [h.score for h in hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert len({h.words for h in hypotheses}) == len(hypotheses)
        for h in hypotheses:
            assert h.score == h.log_prob
            assert h.log_prob == pytest.approx(model.log_prob(picture, h.words, LENGTH), abs=1e-9)
            assert 0 not in h.words


def test_width_one_is_greedy():
    model = RandomModel(pictures=50, words=9, seed=3)
    narrow = search(model, 1, 8)
    plain = greedy(model.step, model.state(), pictures=50, max_length=8)
    assert [h[0].words for h in narrow] == [h[0].words for h in plain]
    assert [h[0].log_prob for h in narrow] == pytest.approx([h[0].log_prob for h in plain])
    assert len({len(h[0].words) for h in plain}) > 2  # some end early, some are cut


def test_a_wider_beam_scores_higher_up_to_end():
    """Not for every picture: a beam may prune the greedy caption. On average, and mostly."""
    model = RandomModel(pictures=200, words=30, seed=4)
    totals = [[h[0].log_prob for h in search(model, width, 6)] for width in (1, 3, 10)]
    for narrow, wide in pairwise(totals):
        worse = sum(b < a - 1e-9 for a, b in zip(narrow, wide, strict=True))
        assert worse <= 10
        assert sum(wide) > sum(narrow) + 5


def test_pictures_do_not_influence_each_other():
    model = RandomModel(pictures=20, words=12, seed=5)
    together = search(model, 3, 7, n_best=2)
    for picture in range(20):
        alone = RandomModel(pictures=20, words=12, seed=5)
        alone.start, alone.look = model.start[[picture]], model.look[[picture]]
        alone.pictures = 1
        same(search(alone, 3, 7, n_best=2)[0], [(h.score, h.words) for h in together[picture]])


def test_finished_pictures_leave_the_batch():
    model = RandomModel(pictures=40, words=10, seed=6, end_bias=4.0)
    search(model, 3, 30)
    assert model.rows[0] == 40  # one beam at the first step
    assert model.rows[1] <= 120
    assert model.rows[-1] < 60
    assert len(model.rows) < 30


def test_a_caption_that_reaches_the_longest_length_is_cut_without_end():
    model = RandomModel(pictures=2, words=4, seed=7, end_bias=-50.0)
    for picture, (hypothesis,) in enumerate(search(model, 2, 3)):
        assert len(hypothesis.words) == 3
        assert hypothesis.log_prob == pytest.approx(model.log_prob(picture, hypothesis.words, 3))
    assert len(model.rows) == 3


def test_length_normalisation_prefers_longer_captions():
    model = RandomModel(pictures=100, words=8, seed=8)
    lengths = [
        sum(len(h[0].words) for h in search(model, 5, 8, length_normalisation=power))
        for power in (0.0, 1.0)
    ]
    assert lengths[1] > lengths[0]


@pytest.mark.parametrize("width", [1, 2])
def test_a_long_caption_may_still_win_when_lengths_are_normalised(width):
    """One word: END or not is .7 to .3 after the first, and certain everywhere else."""
    ends = torch.tensor([0.0, 0.7, *[0.0] * 13, 1.0])

    def step(words, state, active):
        (time,) = state
        return torch.stack((ends[time], 1 - ends[time]), 1).log(), (time + 1,)

    def words(power):
        options = {"width": width, "max_length": 16, "length_normalisation": power}
        (found,) = beam(step, (torch.tensor([0]),), pictures=1, **options)
        return found[0].words

    assert words(0.0) == (1,)  # log .7
    assert words(1.0) == (1,) * 15  # log .3 / 16, better than log .7 / 2


@pytest.mark.parametrize("words", [2, 70])
@pytest.mark.parametrize("method", ["beam", "greedy", "sample", "consensus"])
def test_half_precision_is_searched_in_single(method, words):
    """Probabilities lose nothing more, whatever the search: as if the model itself were single."""
    table = (3 * torch.randn(words + 1, words + 1)).bfloat16()
    settings = Decoding(method=method, beam_width=3, max_length=4, voters=8, seed=1)
    search = registry.load("search", method)

    def found(dtype):
        def step(words, state, active):
            return table[words].to(dtype), state

        return search(step, (torch.zeros(2, 1),), settings, 2, NONE)

    assert found(torch.bfloat16) == found(torch.float32)


def test_a_model_without_state():
    table = torch.tensor([[0.0, 3.0, 1.0], [2.0, 0.0, 0.0], [4.0, 0.0, 0.0]])
    (hypotheses,) = beam(lambda words, state, _: (table[words], state), (), pictures=1, width=2,
                         max_length=3, n_best=2)  # fmt: skip
    assert hypotheses[0].words == (1,)
    expected = table[0].log_softmax(0)[1] + table[1].log_softmax(0)[0]
    assert hypotheses[0].log_prob == pytest.approx(expected.item(), abs=1e-5)


def test_no_pictures():
    assert search(RandomModel(pictures=0, words=3, seed=0), 2) == []


def test_nothing_to_say_is_one_impossible_caption():
    def step(words, state, active):
        return torch.full((len(words), 4), -math.inf), state

    ((hypothesis,),) = beam(step, (), pictures=1, width=2, max_length=3)
    assert hypothesis.words == () and hypothesis.log_prob == -math.inf


def test_nan_is_refused_by_picture():
    model = RandomModel(pictures=3, words=4, seed=9)
    model.look[1] = math.nan
    with pytest.raises(ValueError, match="NaN for picture 1"):
        search(model, 2)


@given(
    size=st.integers(1, 200),
    beams=st.integers(1, 4),
    number=st.integers(1, 40),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=150, deadline=None)
def test_best_is_topk_over_the_beams(size, beams, number, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3 * beams, size, generator=generator)
    logits[torch.rand(logits.shape, generator=generator) < 0.3] = -math.inf
    offsets = torch.randn(3 * beams, generator=generator)
    scores, places = best(logits, offsets, 3, number)
    sums = (logits + offsets.unsqueeze(1)).view(3, -1)
    expected = sums.topk(min(number, beams * size), dim=1).values
    assert torch.equal(scores, expected)
    assert places.min() >= 0 and places.max() < beams * size
    assert torch.equal(sums.gather(1, places), expected)
    for row, score in zip(places, scores, strict=True):
        finite = row[score > -math.inf].tolist()
        assert len(set(finite)) == len(finite)


def test_normaliser_is_logsumexp():
    logits = torch.randn(70, 500, dtype=torch.float64) * 30
    logits[3, :400] = -math.inf
    assert torch.allclose(normaliser(logits), logits.logsumexp(1), atol=1e-12)
    assert normaliser(torch.full((2, 3), -math.inf)).tolist() == [0.0, 0.0]
