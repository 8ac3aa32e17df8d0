"""``vocabulary.json``: words and their ids.

``{"words": [...], "tokenizer": name, "counts": {word: occurrences}}``, the statistics that
NeuralTalk2's prepro.py printed, the settings, and a stamp.

Ids are 1..V in the order of the list; 0 is padding in files, START as a model's first input and
END as its output. UNK, when there is one, is the last word.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from snakecap.formats.atomic import read_as, write_json

UNKNOWN = "UNK"
FULL_STOP = "."


@dataclass(frozen=True)
class Vocabulary:
    """Words by id.

    Attributes:
        words: the word of id i is ``words[i - 1]``.
        counts: occurrences where the vocabulary was counted; UNK's are the left-out words'.

    Raises:
        ValueError: a word is repeated or empty, or UNK is not the last.
    """

    words: tuple[str, ...]
    tokenizer: str = "neuraltalk2"
    counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(set(self.words)) != len(self.words) or not all(self.words):
            raise ValueError("a vocabulary has a repeated or an empty word")
        if UNKNOWN in self.words[:-1]:
            raise ValueError(f"{UNKNOWN} must be the last word of a vocabulary")

    def __len__(self) -> int:
        """V, the number of words, UNK included."""
        return len(self.words)

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    @cached_property
    def ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words, start=1)}

    @property
    def unknown(self) -> int | None:
        """The id of UNK, or None when no word was left out."""
        return len(self.words) if self.words and self.words[-1] == UNKNOWN else None

    @property
    def full_stop(self) -> int | None:
        """The id of the word that ends a sentence, or None where the tokenizer keeps none."""
        return self.ids.get(FULL_STOP)

    @property
    def rarity(self) -> list[float]:
        """By id: log of how many times rarer than the commonest word; all 1 without counts."""
        if not self.counts:
            return [1.0] * (len(self.words) + 1)
        most = math.log(max(1, *self.counts.values()))
        return [0.0, *(most - math.log(max(1, self.counts.get(word, 1))) for word in self.words)]

    def encode(self, words: Iterable[str]) -> list[int]:
        """Ids of words. An unknown word is UNK, or is left out when there is no UNK."""
        ids, unknown = self.ids, self.unknown
        if unknown is None:
            return [ids[word] for word in words if word in ids]
        return [ids.get(word, unknown) for word in words]

    def decode(self, ids: Iterable[int]) -> str:
        """The words joined by spaces, up to the first id outside 1..V."""
        words = []
        for i in ids:
            if not 1 <= i <= len(self.words):
                break
            words.append(self.words[i - 1])
        return " ".join(words)

    def as_json(self) -> dict[str, Any]:
        return {"words": list(self.words), "tokenizer": self.tokenizer, "counts": self.counts}


VOCABULARY = TypeAdapter(Vocabulary)


def write(path: Path, vocabulary: Vocabulary, **more: Any) -> None:
    """Write ``vocabulary.json``, with more keys such as statistics."""
    write_json(path, {**vocabulary.as_json(), **more})


def read(path: Path) -> Vocabulary:
    """Read ``vocabulary.json``.

    Raises:
        ValueError: the file is not a vocabulary; names it.
    """
    return read_as(path, VOCABULARY, "a vocabulary.json of snakecap")
