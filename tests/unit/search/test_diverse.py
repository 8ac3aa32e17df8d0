"""Diverse beam search against the same, word by word; and what diversity gives."""

import math

import pytest
import torch
from search_oracle import END, RandomModel, beam

from snakecap.config.settings import Decoding
from snakecap.search import diverse

LENGTH = 5


def search(model, width, groups, diversity=0.5, n_best=1, **options):
    decoding = Decoding(
        method="diverse",
        beam_width=width,
        groups=groups,
        diversity=diversity,
        n_best=n_best,
        **{"max_length": LENGTH, **options},
    )
    return diverse.search(model.step, model.state(), decoding, model.pictures)


def slow(model, picture, width, groups, diversity, share):
    """Groups one after the other at each step; no group stops early."""
    live = [[(0.0, ())] for _ in range(groups)]
    done = [[] for _ in range(groups)]
    for _ in range(LENGTH):
        said = dict.fromkeys(range(model.words + 1), 0)
        for group in range(groups):
            candidates = [
                (
                    total + gain - diversity * said[word] * (word != END),
                    total + gain,
                    (*caption, word),
                )
                for total, caption in live[group]
                for word, gain in enumerate(model.log_probs(picture, caption))
                if total + gain > -math.inf
            ]
            candidates.sort(reverse=True)
            done[group] += [(own, c[:-1]) for _, own, c in candidates[:width] if c[-1] == END]
            live[group] = [(own, c) for _, own, c in candidates if c[-1] != END][:width]
            for _, caption in live[group]:
                said[caption[-1]] += 1
    best = [sorted(d + a, reverse=True)[:share] for d, a in zip(done, live, strict=True)]
    return sorted({pair for group in best for pair in group}, reverse=True)


@pytest.mark.parametrize("holes", [0.0, 0.5])
@pytest.mark.parametrize("diversity", [0.0, 0.7, 5.0])
@pytest.mark.parametrize(("width", "groups"), [(4, 2), (3, 3), (6, 2)])
def test_equals_the_slow_search(width, groups, diversity, holes):
    model = RandomModel(pictures=8, words=30, seed=width, holes=holes)
    found = search(model, width, groups, diversity, n_best=groups)
    for picture in range(8):
        expected = slow(model, picture, width // groups, groups, diversity, 1)
        assert [h.words for h in found[picture]] == [words for _, words in expected]
        for h, (score, words) in zip(found[picture], expected, strict=True):
            assert h.score == pytest.approx(score, abs=1e-9)
            assert h.log_prob == pytest.approx(model.log_prob(picture, words, LENGTH), abs=1e-9)


def test_one_group_is_beam_search():
    model = RandomModel(pictures=20, words=12, seed=2)
    plain = beam(model.step, model.state(), pictures=20, width=4, n_best=3, max_length=LENGTH)
    assert search(model, 4, 1, n_best=3) == plain


def test_diversity_gives_more_different_words_and_first_comes_the_best():
    model = RandomModel(pictures=60, words=30, seed=3)

    def words(diversity):
        found = search(model, 6, 3, diversity, n_best=3)
        assert all(h.score <= best[0].score for best in found for h in best)
        return sum(len({word for h in best for word in h.words}) for best in found)

    assert words(3.0) > 1.3 * words(0.0)


def test_the_settings_refuse_what_does_not_divide():
    with pytest.raises(ValueError, match="beam_width 5 is not a multiple of groups 2"):
        Decoding(method="diverse", beam_width=5, groups=2)
    Decoding(method="beam", beam_width=5, groups=2)  # not read


def test_no_pictures():
    model = RandomModel(pictures=0, words=3, seed=1)
    assert search(model, 2, 2) == []


def test_half_precision_is_searched_in_single():
    model = RandomModel(pictures=8, words=40, seed=6)

    def found(dtype):
        def step(words, state, active):
            logits, state = model.step(words, state, active)
            return logits.bfloat16().to(dtype), state

        decoding = Decoding(method="diverse", beam_width=4, groups=2, max_length=LENGTH)
        return diverse.search(step, model.state(), decoding, 8)

    for one, other in zip(found(torch.bfloat16), found(torch.float32), strict=True):
        assert one[0].words == other[0].words
        assert one[0].log_prob == pytest.approx(other[0].log_prob, abs=1e-4)
