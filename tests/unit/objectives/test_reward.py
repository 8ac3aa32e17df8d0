"""Rewards are the official scorers' over the training split, with END as a word."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu as OfficialBleu
from pycocoevalcap.cider.cider import Cider as OfficialCider
from systems import packed

from snakecap.objectives import reward
from snakecap.objectives.reward import Reward

LONGEST = 6
captions = st.lists(st.integers(1, 4), max_size=LONGEST)
pictures = st.lists(
    st.tuples(captions, captions, st.lists(captions, min_size=1, max_size=4)),
    min_size=1,
    max_size=5,
)


def text(words):
    """As the official scorers read it; a caption of the most words was cut, and does not end."""
    return " ".join(map(str, [*words, "END"] if len(words) < LONGEST else words))


def array(said):
    return np.array([[[*one, *[0] * (LONGEST - len(one))] for one in row] for row in said])


@settings(deadline=None)
@given(pictures)
@example([([], [1, 4], [[2]])])
def test_it_is_the_official_cider_d_and_bleu(found):
    agree = Reward(packed([references for *_, references in found], LONGEST, words=4))
    ours = agree(np.arange(len(found)), array([row[:2] for row in found]))
    truth = {number: list(map(text, row[2])) for number, row in enumerate(found)}
    for place in range(2):
        said = {number: [text(row[place])] for number, row in enumerate(found)}
        _, cider = OfficialCider().compute_score(truth, said)
        _, bleu = OfficialBleu(4).compute_score(truth, said, verbose=0)
        np.testing.assert_allclose(ours.cider[:, place], cider, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(ours.bleu[:, place], bleu[3], rtol=1e-9, atol=1e-12)


def test_only_training_pictures_say_how_rare_a_word_is():
    said = [[[1, 2]], [[1, 3], [2, 2, 1]], [[4]]]
    train = Reward(packed(said, LONGEST))
    more = Reward(packed([*said, [[1, 2, 3]]], LONGEST, splits=["train"] * 3 + ["val"]))
    own = array([[[1, 2]], [[1, 3]], [[2]]])
    np.testing.assert_array_equal(train(np.arange(3), own).cider, more(np.arange(3), own).cider)


def test_pictures_are_judged_apart_and_in_any_order():
    agree = Reward(packed([[[1, 2]], [[1, 3], [2, 2, 1]], [[4], [4, 4]]], LONGEST))
    own = array([[[1, 2], [2]], [[1, 3], []], [[2], [4]]])
    whole = agree(np.arange(3), own)
    back = agree(np.array([2, 0]), own[[2, 0]])
    np.testing.assert_allclose(back.cider, whole.cider[[2, 0]])
    np.testing.assert_allclose(back.bleu, whole.bleu[[2, 0]])


def test_diversity_and_repetition_are_deepcaptions():
    agree = Reward(packed([[[1, 2]]], LONGEST))
    found = agree(np.array([0]), array([[[1, 1, 1], [2]]]))
    # "1 1 1 END", "2 END": 3 + 3 + 2 + 1 distinct n-grams in six words.
    assert found.diversity == pytest.approx(9 / 6)
    # Of the first, "1" three times among 4 words, "1 1" twice among 3 pairs.
    assert found.repetition == pytest.approx(0.1 * 4 / 4 + 1 / 3)


def test_ngrams_of_the_largest_vocabulary_do_not_run_over():
    most = reward.LARGEST
    keys = reward.ngrams(np.array([[most] * 4, [most - 1] + [most] * 3]), most + 2)
    assert keys[3, 0, 0] > keys[3, 1, 0] > keys[2].max() > keys[1].max() > keys[0].max()
    few = packed([[[1]]], LONGEST)
    object.__setattr__(few, "words", ("a",) * (most + 1))
    with pytest.raises(ValueError, match="at most 55106 different words, not 55107"):
        Reward(few)
