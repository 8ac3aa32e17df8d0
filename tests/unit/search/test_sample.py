import math
from collections import Counter

import pytest
import torch
from search_oracle import RandomModel, greedy, sample

from snakecap.search.sample import _draw, _weights


def draw(model, seed=0, **options):
    options = {"max_length": 6, **options}
    return sample(
        model.step,
        model.state(),
        pictures=model.pictures,
        seed=seed,
        **options,
    )


def test_greedy_takes_the_likeliest_word_until_end():
    model = RandomModel(pictures=12, words=6, seed=1)
    found = greedy(model.step, model.state(), pictures=12, max_length=5)
    for picture, (hypothesis,) in enumerate(found):
        said, total = (), 0.0
        while len(said) < 5:
            log_probs = model.log_probs(picture, said)
            word = max(range(7), key=log_probs.__getitem__)
            total += log_probs[word]
            if word == 0:
                break
            said = (*said, word)
        assert hypothesis.words == said
        assert hypothesis.log_prob == pytest.approx(total, abs=1e-9)


def test_finished_pictures_leave_the_batch():
    model = RandomModel(pictures=50, words=6, seed=1, end_bias=3.0)
    greedy(model.step, model.state(), pictures=50, max_length=40)
    assert model.rows[0] == 50
    assert model.rows == sorted(model.rows, reverse=True)
    assert model.rows[-1] < 40


def test_captions_that_ended_leave_the_batch():
    """Each picture keeps as many rows as the picture with the most captions to go on with."""
    model = RandomModel(pictures=5, words=6, seed=1, end_bias=1.0)
    found = draw(model, n=30, max_length=20)
    for t, rows in enumerate(model.rows):
        live = [sum(len(h.words) >= t for h in captions) for captions in found]
        assert rows == max(live) * sum(number > 0 for number in live)
    assert model.rows[0] == 150 and model.rows[4] < 100


@pytest.mark.parametrize("chance", [0.0, 0.5, 1 - 2**-53, 1.0])
def test_words_without_weight_are_never_drawn(chance, monkeypatch):
    monkeypatch.setattr(
        torch, "rand", lambda rows, *_, **__: torch.full((rows, 1), chance).double()
    )
    weights = torch.tensor([[0.0, 0.3, 0.0, 0.7, 0.0], [0.0, 0.0, 1e-30, 0.0, 0.0]])
    assert _draw(weights, None).tolist() == [1 if chance == 0 else 3, 2]


def test_towards_zero_temperature_is_greedy():
    model = RandomModel(pictures=20, words=9, seed=2)
    cold = draw(model, temperature=0.001)
    assert cold == greedy(model.step, model.state(), pictures=20, max_length=6)


def test_seed_decides():
    model = RandomModel(pictures=10, words=9, seed=3)
    assert draw(model, seed=1, n=3) == draw(model, seed=1, n=3)
    assert draw(model, seed=1, n=3) != draw(model, seed=2, n=3)


def chi_square(counts, probabilities):
    total = sum(counts.values())
    return sum((counts[key] - total * p) ** 2 / (total * p) for key, p in probabilities.items())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_captions_are_drawn_from_the_tempered_model(temperature):
    """Whole captions of one word or none: 9 outcomes, chi-square with 8 degrees of freedom."""
    model = RandomModel(pictures=1, words=8, seed=4)
    found = draw(model, n=4000, max_length=1, temperature=temperature)[0]
    log_probs = torch.tensor(model.log_probs(0, ()))
    tempered = (log_probs / temperature).softmax(0).tolist()
    counts = Counter(h.words for h in found)
    expected = {(word,) if word else (): p for word, p in enumerate(tempered)}
    assert chi_square(counts, expected) < 35  # exceeded once in 40,000 seeds
    for h in found[:50]:
        word = h.words[0] if h.words else 0
        assert h.log_prob == pytest.approx(log_probs[word].item())  # not tempered


def test_log_prob_counts_every_word_and_end_once():
    model = RandomModel(pictures=4, words=5, seed=5, holes=0.3)
    for picture, hypotheses in enumerate(draw(model, n=20, temperature=1.5)):
        assert len(hypotheses) == 20
        for h in hypotheses:
            assert h.log_prob == pytest.approx(model.log_prob(picture, h.words, 6), abs=1e-9)


def test_top_k_and_nucleus_keep_the_likeliest():
    probabilities = torch.tensor([[0.1, 0.4, 0.05, 0.3, 0.15], [0.96, 0.01, 0.01, 0.01, 0.01]])
    logits = probabilities.log()

    def kept(top_k, top_p):
        return [set(row.nonzero().flatten().tolist()) for row in _weights(logits, top_k, top_p)]

    assert kept(2, 1.0)[0] == {1, 3}
    assert kept(0, 0.6) == [{1, 3}, {0}]
    assert kept(0, 0.75)[0] == {1, 3, 4}
    assert kept(1, 0.9) == [{1}, {0}]
    assert kept(99, 1.0) == [{0, 1, 2, 3, 4}] * 2
    # After top-2 the likeliest word has probability 4/7.
    assert kept(2, 0.5)[0] == {1}
    assert kept(2, 0.6)[0] == {1, 3}


def test_top_k_in_a_whole_caption():
    model = RandomModel(pictures=2, words=9, seed=6)
    for picture, hypotheses in enumerate(draw(model, n=30, top_k=2, temperature=3.0)):
        for h in hypotheses:
            for t, word in enumerate(h.words):
                log_probs = model.log_probs(picture, h.words[:t])
                assert sum(other > log_probs[word] for other in log_probs) < 2


def test_nothing_to_say_ends():
    def step(words, state, active):
        return torch.full((len(words), 4), -math.inf), state

    for found in (
        sample(step, (), pictures=1, max_length=3),
        greedy(step, (), pictures=1, max_length=3),
    ):
        assert found[0][0].words == () and found[0][0].log_prob == -math.inf


@pytest.mark.parametrize("search", [greedy, sample])
def test_nan_is_refused(search):
    model = RandomModel(pictures=3, words=4, seed=9)
    model.look[2] = math.nan
    with pytest.raises(ValueError, match="NaN for picture 2"):
        search(model.step, model.state(), pictures=3, max_length=4)
