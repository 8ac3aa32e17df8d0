import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from search_oracle import RandomModel, all_captions, beam, greedy, sample

from snakecap.search.hypothesis import Constraints

LENGTH = 8  # words; a caption that gets there is cut, and may end in anything


def ngrams(words, n):
    return [words[i : i + n] for i in range(len(words) - n + 1)]


def allowed(words, suppress, n, once, least, bad, longest=LENGTH):
    if len(words) < least or (len(words) < longest and words and words[-1] in bad):
        return False
    if any(word in suppress for word in words):
        return False
    if n and len(set(ngrams(words, n))) < len(ngrams(words, n)):
        return False
    content = [word for word in words if word in once]
    return len(set(content)) == len(content)


rules = {
    "suppress": st.sets(st.integers(1, 5), max_size=2),
    "n": st.integers(0, 3),
    "once": st.sets(st.integers(1, 5), max_size=5),
    "least": st.integers(0, 3),
    "bad": st.sets(st.integers(1, 5), max_size=3),
}


def constraints_of(suppress, n, once, least, bad, words=5):
    flags = torch.zeros(2, words + 1, dtype=torch.bool)
    flags[0, list(once)] = True
    flags[1, list(bad)] = True
    return Constraints(tuple(suppress), n, flags[0], least, flags[1])


@given(seed=st.integers(0, 10**6), **rules)
@settings(max_examples=40, deadline=None)
def test_no_search_breaks_a_rule_and_log_probs_stay_the_models(seed, **rules):
    model = RandomModel(pictures=2, words=5, seed=seed, end_bias=-2.0)
    common = {"pictures": 2, "max_length": LENGTH, "constraints": constraints_of(**rules)}
    for found in (
        beam(model.step, model.state(), width=3, n_best=3, **common),
        greedy(model.step, model.state(), **common),
        sample(model.step, model.state(), n=3, temperature=2.0, **common),
    ):
        for picture, hypotheses in enumerate(found):
            for h in hypotheses:
                if h.log_prob > -torch.inf:  # else there was nothing left to say
                    assert allowed(h.words, **rules)
                own = model.log_prob(picture, h.words, LENGTH)
                assert h.log_prob in (-torch.inf, pytest.approx(own, abs=1e-8))


@given(seed=st.integers(0, 10**6), **rules)
@settings(max_examples=15, deadline=None)
def test_full_width_finds_the_best_allowed_captions(seed, **rules):
    model = RandomModel(pictures=1, words=3, seed=seed)
    rules |= {name: rules[name] & {1, 2, 3} for name in ("suppress", "once", "bad")}
    rule = constraints_of(**rules, words=3)
    found = beam(
        model.step, model.state(), pictures=1, width=82, n_best=9, max_length=4, constraints=rule
    )
    every = all_captions(model, 0, 4)
    expected = [words for _, words in every if allowed(words, **rules, longest=4)][:9]
    assert [h.words for h in found[0]] == (expected or [()])


def test_rules_bind_only_where_they_should():
    logits = torch.zeros(2, 6)
    history = torch.tensor([[1, 2, 3, 1, 2], [1, 2, 4, 2, 1]])
    Constraints(no_repeat_ngram=3).apply(logits, history)
    assert (logits == -torch.inf).nonzero().tolist() == [[0, 3]]

    logits = torch.zeros(2, 6)
    Constraints(no_repeat_ngram=2).apply(logits, history)
    assert (logits == -torch.inf).nonzero().tolist() == [[0, 3], [1, 2]]

    logits = torch.zeros(2, 6)
    once = torch.tensor([False, False, True, False, True, False])
    Constraints(no_repeat_words=once).apply(logits, history)
    assert (logits == -torch.inf).nonzero().tolist() == [[0, 2], [1, 2], [1, 4]]


def test_end_may_be_suppressed():
    model = RandomModel(pictures=3, words=5, seed=1, end_bias=3.0)
    found = beam(
        model.step,
        model.state(),
        pictures=3,
        width=2,
        max_length=6,
        constraints=Constraints(suppress=(0,)),
    )
    assert [len(h[0].words) for h in found] == [6, 6, 6]


def test_negative_ngram():
    with pytest.raises(ValueError, match="no_repeat_ngram is -1"):
        Constraints(no_repeat_ngram=-1)
