"""Captions to a vocabulary (NeuralTalk2's prepro.py, the tutorial's build_vocab.py)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from snakecap import registry
from snakecap.config import settings as configuration
from snakecap.formats import pictures as picture_files
from snakecap.formats import vocabulary as vocabulary_files
from snakecap.provenance import code
from snakecap.provenance.identity import Output, step
from snakecap.text import counting


@step
def vocabulary(
    *,
    pictures: Path,
    vocabulary: Annotated[Path, Output],
    settings: configuration.Vocabulary = configuration.Vocabulary(),
) -> None:
    """Choose the words that captions may use; prints NeuralTalk2's statistics.

    Words are ordered by count, equal ones alphabetically. UNK comes last, if a word was left out.
    Only the configured splits are counted (the original counted validation and test too).

    Args:
        pictures: the pictures.json to count
        vocabulary: the vocabulary.json to write
        settings: tokenizer and threshold

    Raises:
        ValueError: the splits have no words, or none is frequent enough.
    """
    collection = picture_files.read(pictures)
    tokenize = registry.load("tokenizer", settings.tokenizer)
    captions = (c for picture in collection.split(*settings.splits) for c in picture.captions)
    counts = counting.count(map(tokenize, captions))
    kept = counting.keep(counts.words, settings.min_count, settings.inclusive)
    if not kept:
        raise ValueError(_nothing(pictures, settings, counts))
    statistics = counting.statistics(counts, kept)
    print(statistics)
    words = {word: counts.words[word] for word in kept}
    if statistics.bad_words:
        words[vocabulary_files.UNKNOWN] = statistics.unknown_words
    vocabulary_files.write(
        vocabulary,
        vocabulary_files.Vocabulary(tuple(words), settings.tokenizer, words),
        statistics=asdict(statistics),
        settings=settings.model_dump(mode="json"),
        stamp=code.stamp(),
    )


def _nothing(pictures: Path, settings: configuration.Vocabulary, counts: counting.Counts) -> str:
    if not counts.words:
        splits = ", ".join(settings.splits)
        return f"{pictures}: no words in the splits {splits}; set the vocabulary's `splits`"
    word, most = counts.words.most_common(1)[0]
    return (
        f"{pictures}: no word is frequent enough for min_count {settings.min_count} "
        f"(the most frequent, {word!r}, occurs {most} times); lower min_count"
    )
