"""Penn Treebank words of lower-cased captions, as ``nltk.word_tokenize(caption.lower())``.

What the Show-and-Tell tutorial's vocabulary counts: punctuation marks are words, and clitics are
split off (``man's`` -> ``man 's``, ``isn't`` -> ``is n't``, ``cannot`` -> ``can not``).

Rules after MacIntyre's public tokenizer.sed, as NLTK extends them. Deviations:

- NLTK finds sentences with a trained model (Punkt) and splits a full stop off the end of each.
  Here every word that ends in one full stop ends a sentence, unless it is in `ABBREVIATIONS`, is
  a single letter or has a full stop inside (``u.s.``); the last word always ends one.
- `'tis` gives ``' tis``, as NLTK 3.10 does; older releases gave ``'t is``.
- ``''`` written as two apostrophes, and cannot, gonna, ... glued to other marks, may differ.

On 64,365 captions of COCO and Flickr8k, two differ from NLTK's word tokenizer.
"""

from __future__ import annotations

import re
from functools import lru_cache

_SHORT = "dr mr mrs ms prof st jr sr vs etc inc ltd co corp ave vol approx dept gen gov sgt"
KEEPS_FULL_STOPS = True  # what decoders of paragraphs ask for
ABBREVIATIONS = frozenset(_SHORT.split())
_TWO_WORDS = {
    "cannot": 3, "gimme": 3, "gonna": 3, "gotta": 3, "lemme": 3, "more'n": 4, "wanna": 3,
    "d'ye": 1,
}  # fmt: skip
_OPENING_QUOTE = re.compile(r"(^|[(\[{<])(?:\"|'')")
_MARK = (
    r"``|''|\.{2,}|--"  # quotes, ellipsis, dash
    r"|[:,](?!\d)"  # 1,000 and 10:30 stay whole
    r"|[;@#$%&?!*«»“”‘’„()\[\]{}<>\u2012-\u2015]|`+"
)
_PIECES = re.compile(rf"{_MARK}|(?:(?!{_MARK}).)+", re.DOTALL)
_CLITIC = re.compile(r"(?<=[^'])(n't|'(?:s|m|d|ll|re|ve)?)$")
_QUOTED = re.compile(r"'(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)")


def tokenize(caption: str) -> list[str]:
    """The Treebank tokens of a caption, lower case.

    >>> tokenize("A man's dog, Rex, isn't wet.")
    ['a', 'man', "'s", 'dog', ',', 'rex', ',', 'is', "n't", 'wet', '.']
    """
    chunks = caption.lower().split()
    last = len(chunks) - 1
    return [token for i, chunk in enumerate(chunks) for token in _split(chunk, i == last)]


@lru_cache(maxsize=1 << 16)
def _split(chunk: str, is_last: bool) -> tuple[str, ...]:
    """The tokens of a text without spaces."""
    if chunk.isalnum() and chunk not in _TWO_WORDS:
        return (chunk,)
    chunk = _OPENING_QUOTE.sub(r"\1``", chunk).replace('"', "''")
    body, stop, tail = _full_stop(chunk, is_last)
    pieces = [*_PIECES.findall(body), *stop, *_PIECES.findall(tail)]
    return tuple(token for piece in pieces for token in _clitics(piece))


def _full_stop(chunk: str, is_last: bool) -> tuple[str, list[str], str]:
    """Split at the full stop that ends a sentence, if there is one: before, stop, after."""
    found = re.search(r"(?<=[^.])\.([\])}>\"'»”’]*)$", chunk)
    if found is None:
        return chunk, [], ""
    body = chunk[: found.start()]
    if not is_last and (body in ABBREVIATIONS or "." in body or re.fullmatch(r"[^\W\d_]", body)):
        return chunk, [], ""
    return body, ["."], found[1]


def _clitics(piece: str) -> list[str]:
    """Split off 's, n't and the like, and the second half of cannot, gonna, ..."""
    at = _TWO_WORDS.get(piece)
    if at is not None:
        return [piece[:at], piece[at:]]
    if _QUOTED.match(piece):
        return ["'", *_clitics(piece[1:])]
    found = _CLITIC.search(piece)
    if found and piece != "n't":
        return [*_clitics(piece[: found.start()]), found[1]]
    return [piece]
