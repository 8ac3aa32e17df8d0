"""NeuralTalk2's tokenizer (prepro.py): lower case, no ASCII punctuation, split on spaces.

Deviation: any Unicode text is accepted (the original stopped at the first non-ASCII letter), and
is composed first (NFC), so that both ways of writing an accented letter are one word.
"""

from __future__ import annotations

import string
import unicodedata

_DELETE = str.maketrans("", "", string.punctuation)


def tokenize(caption: str) -> list[str]:
    """The words of a caption; punctuation is deleted, not replaced by a space.

    >>> tokenize("A man's two-story House.")
    ['a', 'mans', 'twostory', 'house']
    """
    if not caption.isascii():
        caption = unicodedata.normalize("NFC", caption)
    return caption.lower().translate(_DELETE).split()
