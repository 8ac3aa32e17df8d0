"""Consensus search, against n-grams counted one by one, and against CIDEr."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from search_oracle import RandomModel

from snakecap.config.settings import Decoding
from snakecap.formats.vocabulary import Vocabulary
from snakecap.metrics.cider import Cider
from snakecap.search import beam, sample
from snakecap.search.consensus import agreed, search, similarity
from snakecap.search.hypothesis import NONE, Constraints, Hypothesis


def padded(captions):
    longest = max(map(len, captions))
    return torch.tensor([[*caption, *[0] * (longest - len(caption))] for caption in captions])


def random_captions(generator, number, words=4):
    return [
        tuple(generator.integers(1, words + 1, generator.integers(0, 9))) for _ in range(number)
    ]


def counted(one, other, rarity):
    """The cosine by the book, with n-grams as keys."""
    total = 0.0
    for n in (1, 2, 3, 4):
        vectors = []
        for caption in (one, other):
            grams = Counter(tuple(caption[i : i + n]) for i in range(len(caption) - n + 1))
            vectors.append({g: c * max(rarity[word] for word in g) for g, c in grams.items()})
        norms = [math.sqrt(sum(value**2 for value in vector.values())) for vector in vectors]
        dot = sum(value * vectors[1].get(gram, 0.0) for gram, value in vectors[0].items())
        total += dot / (norms[0] * norms[1]) if all(norms) else 0.0
    return total / 4 * math.exp(-((len(one) - len(other)) ** 2) / 72)


@pytest.mark.parametrize("seed", range(5))
def test_similarity_is_the_cosine_of_weighted_counts(seed):
    generator = np.random.default_rng(seed)
    candidates, voters = random_captions(generator, 6), random_captions(generator, 5)
    rarity = [0.0, 0.0, *generator.random(3).tolist()]  # the commonest word weighs nothing
    found = similarity(padded(candidates), padded(voters), torch.tensor(rarity))
    wanted = [[counted(one, other, rarity) for other in voters] for one in candidates]
    np.testing.assert_allclose(found, wanted, atol=1e-7)
    assert found.min() >= 0 and found.max() <= 1 + 1e-9


def test_it_is_ciders_where_every_ngram_is_equally_rare():
    """No picture shares a word with another, and no caption says one twice: nothing to clip."""
    generator = np.random.default_rng(0)
    references, captions, wanted = [], [], []
    for picture in range(4):
        words = np.arange(1, 13) + 12 * picture
        said = [generator.permutation(words)[: generator.integers(1, 10)] for _ in range(4)]
        captions.append(said[0])
        references.append(said[1:])
        wanted.append(float(similarity(padded(said[:1]), padded(said[1:])).mean()))
    text = tuple(tuple(" ".join(map(str, said)) for said in row) for row in references)
    official = Cider(text).per_image([" ".join(map(str, caption)) for caption in captions])
    assert max(wanted) > 0.1
    np.testing.assert_allclose(wanted, official / 10, atol=1e-9)


def test_equal_captions_are_alike_and_the_empty_one_is_like_none():
    captions = padded([(3, 1, 2, 2, 4), (1,), ()])
    found = similarity(captions, captions)
    assert found[0, 0] == pytest.approx(1)
    assert found[1, 1] == pytest.approx(1 / 4), "one word has no bigrams"
    assert not found[2].any() and not found[:, 2].any()


def hypothesis(*words, log_prob=0.0):
    return Hypothesis(words, log_prob, log_prob)


def test_the_most_agreed_comes_first_and_equal_ones_keep_their_order():
    bland, apt, odd = hypothesis(1, 1, 1), hypothesis(2, 3, 4, log_prob=-9.0), hypothesis(5, 6)
    order = agreed([bland, odd, apt], [hypothesis(2, 3, 4, 1), hypothesis(2, 3), hypothesis(1)])
    assert [found.words for found in order] == [apt.words, bland.words, odd.words]
    assert order[0].log_prob == -9.0 and order[2].score == 0
    again = agreed([odd, hypothesis(7), hypothesis(8)], [hypothesis(1)])
    assert [found.words for found in again] == [(5, 6), (7,), (8,)]


def test_rare_words_decide():
    candidates = [hypothesis(1, 2), hypothesis(3, 4)]
    voters = [hypothesis(1, 5), hypothesis(1, 6), hypothesis(3, 7)]
    rarity = torch.tensor([0.0, 0.1, 9.0, 5.0, 9.0, 9.0, 9.0, 1.0])
    assert agreed(candidates, voters)[0].words == (1, 2)
    assert agreed(candidates, voters, rarity)[0].words == (3, 4)


@pytest.mark.parametrize("constraints", [NONE, Constraints(suppress=(2,), rarity=torch.rand(8))])
def test_search_takes_of_the_beam_what_the_samples_agree_with(constraints):
    model = RandomModel(pictures=9, words=7, seed=4)
    decoding = Decoding(method="consensus", beam_width=6, voters=20, n_best=2, max_length=5, seed=7)
    found = search(model.step, model.state(), decoding, 9, constraints)

    def searched(part, number):
        settings = decoding.model_copy(update={"n_best": number})
        return part.search(model.step, model.state(), settings, 9, constraints)

    candidates, voters = searched(beam, 6), searched(sample, 20)
    changed = 0
    for best, among, said in zip(found, candidates, voters, strict=True):
        means = similarity(
            padded([c.words for c in among]), padded([v.words for v in said]), constraints.rarity
        ).mean(1)
        assert len(best) == 2 and best[0].score >= best[1].score
        assert best[0].score == pytest.approx(float(means.max()))
        assert {(b.words, b.log_prob) for b in best} <= {(c.words, c.log_prob) for c in among}
        changed += best[0].words != among[0].words
    assert changed, "or it would be a beam search"


def test_a_model_with_nothing_to_say_says_nothing():
    model = RandomModel(pictures=3, words=2, seed=0)
    decoding = Decoding(method="consensus", beam_width=3, voters=4, max_length=3)
    found = search(model.step, model.state(), decoding, 3, Constraints(suppress=(1, 2)))
    assert [best[0].words for best in found] == [()] * 3
    assert search(model.step, (), decoding, 0, NONE) == []


def test_rarity_is_by_the_commonest_word():
    counts = {"a": 100, "dog": 10, "UNK": 20}
    vocabulary = Vocabulary(("a", "dog", "seen", "UNK"), counts=counts)
    wanted = [0, 0, math.log(10), math.log(100), math.log(5)]
    assert vocabulary.rarity == pytest.approx(wanted)
    assert Vocabulary(("a", "b")).rarity == [1.0] * 3
