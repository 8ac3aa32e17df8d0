"""DenseCap's tokenizer (preprocess.py): ten characters spelt out, ASCII, lower case, no marks.

Deviation: other characters outside ASCII lose their accents or go (the original stopped at them).
"""

from __future__ import annotations

import string
import unicodedata

_SPELT = str.maketrans(
    {"½": "half", "—": "-", "™": "", "¢": "cent", "ç": "c", "û": "u", "é": "e", "°": " degree"}
    | {"è": "e", "…": ""}
)
_DELETE = str.maketrans("", "", string.punctuation)


def tokenize(caption: str) -> list[str]:
    """The words of a phrase; punctuation is deleted, not replaced by a space.

    >>> tokenize("5° slope, ½ a man's red-shirt!")
    ['5', 'degree', 'slope', 'half', 'a', 'mans', 'redshirt']
    """
    if not caption.isascii():
        spelt = unicodedata.normalize("NFC", caption).translate(_SPELT)
        caption = unicodedata.normalize("NFKD", spelt).encode("ascii", "ignore").decode("ascii")
    return caption.lower().translate(_DELETE).split()
