"""Words by frequency, and the statistics that NeuralTalk2's prepro.py prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

BAR = 50  # characters of the histogram's longest bar


@dataclass(frozen=True)
class Counts:
    """How often each word occurs, and how many captions have each length in words."""

    words: Counter[str]
    lengths: Counter[int]


def count(captions: Iterable[list[str]]) -> Counts:
    """Of tokenised captions."""
    words: Counter[str] = Counter()
    lengths: Counter[int] = Counter()
    for caption in captions:
        words.update(caption)
        lengths[len(caption)] += 1
    return Counts(words, lengths)


def by_frequency(words: Counter[str]) -> list[str]:
    """The most frequent first, equals in alphabetical order (the original's was arbitrary)."""
    return sorted(words, key=lambda word: (-words[word], word))


def keep(words: Counter[str], min_count: int, inclusive: bool = False) -> list[str]:
    """The words seen more than `min_count` times (or as often, if `inclusive`), by frequency."""
    least = min_count if inclusive else min_count + 1
    return [word for word in by_frequency(words) if words[word] >= least]


@dataclass(frozen=True)
class Statistics:
    """What prepro.py prints about a set of captions."""

    top: list[tuple[str, int]]  # the 20 most frequent words and their counts
    total_words: int  # occurrences of all words
    distinct_words: int
    bad_words: int  # different words left out
    unknown_words: int  # their occurrences
    kept_words: int  # words in the vocabulary, without UNK
    max_length: int  # words of the longest caption
    lengths: dict[int, int]  # number of captions of each length that occurs

    def __str__(self) -> str:
        """The lines of prepro.py, word for word, with bars added to the histogram."""
        bad = _percent(self.bad_words, self.distinct_words)
        unknown = _percent(self.unknown_words, self.total_words)
        lines = [
            "top words and their counts:",
            *(f"({count}, {word!r})" for word, count in self.top),
            f"total words: {self.total_words}",
            f"number of bad words: {self.bad_words}/{self.distinct_words} = {bad:.2f}%",
            f"number of words in vocab would be {self.kept_words}",
            f"number of UNKs: {self.unknown_words}/{self.total_words} = {unknown:.2f}%",
            f"max length sentence in raw data: {self.max_length}",
            "sentence length distribution (count, number of words):",
            *self._histogram(),
        ]
        return "\n".join([*lines, "inserting the special UNK token"] if self.bad_words else lines)

    def _histogram(self) -> Iterable[str]:
        captions = sum(self.lengths.values())
        most = max(self.lengths.values(), default=1)
        for length, number in sorted(self.lengths.items()):
            bar = "#" * round(BAR * number / most)
            yield f"{length:2d}: {number:10d}   {_percent(number, captions):f}%  {bar}".rstrip()


def statistics(counts: Counts, kept: list[str]) -> Statistics:
    """The statistics of `counts` when the words `kept` are the vocabulary."""
    total = counts.words.total()
    return Statistics(
        top=[(word, counts.words[word]) for word in by_frequency(counts.words)[:20]],
        total_words=total,
        distinct_words=len(counts.words),
        bad_words=len(counts.words) - len(kept),
        unknown_words=total - sum(counts.words[word] for word in kept),
        kept_words=len(kept),
        max_length=max(counts.lengths, default=0),
        lengths=dict(sorted(counts.lengths.items())),
    )


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0
