"""English words that a caption may well say twice, and those that it should not."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

FUNCTION_WORDS = frozenset(
    """
    a an the this that these those some any no not each every all both other another such same
    and or but nor so as if than while who which what where when there here only just very also too
    it its he him his she her hers they them their theirs we us our you your i my me
    is are was were be been being am has have had having do does doing did
    can could will would may might must should 's 're 've 'll 'd 'm n't
    of in on at by for from to into onto with without within through across along over under
    above below behind beside between among around near against about before after during
    off out up down inside outside toward towards past upon via like next close
    front back top bottom side left right middle center centre edge end part
    one two three four five six seven eight nine ten few several many much more most
    lot lots group couple pair bunch number kind piece set
    """.split()  # noqa: SIM905 (180 quoted words read no better)
)
# After these something is missing; ImageCaptioning.pytorch's list, without "that".
BAD_ENDINGS = frozenset("a an the this his her with in on of at to for".split())  # noqa: SIM905


def content_words(words: Iterable[str]) -> NDArray[np.bool_]:
    """Which words of a vocabulary carry content: not function words, punctuation or UNK.

    Of shape (V + 1,), by id; index 0, which is no word, is False.
    """
    empty = FUNCTION_WORDS | {"UNK"}
    content = [word not in empty and any(map(str.isalpha, word)) for word in words]
    return np.array([False, *content])
