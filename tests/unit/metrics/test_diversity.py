"""How varied captions are: by hand, and mBLEU against pycocoevalcap's BLEU."""

import random

import pytest
from pycocoevalcap.bleu.bleu import Bleu

from snakecap.metrics.diversity import of_captions, of_several, words


def test_captions_by_hand():
    said = [words(text) for text in ("A red cat.", "a red cat", "a dog runs fast", "")]
    found = of_captions(said, {words("A dog runs, fast!"), words("a bird")})
    assert found == {"words": 2.5, "distinct": 0.75, "vocabulary": 6.0, "new": 0.75}
    assert "new" not in of_captions(said)
    assert of_captions([]) == {}


def test_several_captions_by_hand():
    two = [words("a cat"), words("a dog")]
    found = of_several([two, [words("alone")], []])
    assert found["Div_1"] == 3 / 4 and found["Div_2"] == 2 / 4
    assert found["mBLEU_4"] < 1e-3
    same = [words("a cat on a mat")] * 3
    again = of_several([same])
    assert again["Div_1"] == 4 / 15 and again["mBLEU_4"] == pytest.approx(1)
    assert of_several([[words("alone")]]) == {}
    assert of_several([[(), ()]])["Div_1"] == 0


def test_mbleu_is_coco_captions_bleu_against_the_others():
    draw = random.Random(1)
    sets = [
        [tuple(draw.choices("abcdefg", k=draw.randint(5, 9))) for _ in range(4)] for _ in range(20)
    ]
    expected = []
    for place in range(4):
        texts = [[" ".join(one) for one in captions] for captions in sets]
        guesses = {key: [row[place]] for key, row in enumerate(texts)}
        others = {key: row[:place] + row[place + 1 :] for key, row in enumerate(texts)}
        expected.append(Bleu(4).compute_score(others, guesses, verbose=0)[0][3])
    assert of_several(sets)["mBLEU_4"] == pytest.approx(sum(expected) / 4, rel=1e-9)
