"""Captions as people write them: what DeepCaption's infer.py makes of the words of a model.

Known deviations: a sentence that was said before is left out wherever it was, not only at once; a
text without any full stop is kept by `only_complete_sentences`, where theirs becomes empty; each
sentence has its capital, and nothing is put into lower case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from snakecap.config.evaluation import Decoding

_SENTENCE = re.compile(r"[^.]+(?:\.|$)")
_BEFORE = re.compile(r" (?=(?:[.,;:!?)]|'(?:s|re|ve|ll|d|m)|n't)(?: |$))")
_FIRST = re.compile(r"(?:^|(?<=[.!?] ))\w")


def writer(decoding: Decoding) -> Callable[[str], str]:
    """What makes a text of a caption's words, joined by spaces.

    Raises:
        ValueError: a line of the lemma rules is none; names the file and the line.
    """
    rules = {} if decoding.lemma_rules is None else lemma_rules(Path(decoding.lemma_rules))
    steps: dict[Callable[[str], str], bool] = {
        lambda text: inflected(text, rules): bool(rules),
        without_repeats: decoding.no_repeat_sentences,
        complete: decoding.only_complete_sentences,
        written: decoding.written,
    }
    chosen = [step for step, asked in steps.items() if asked]

    def write(text: str) -> str:
        for step in chosen:
            text = step(text)
        return text

    return write


def inflected(text: str, rules: Mapping[tuple[str, str], str]) -> str:
    """Each pair of a lemma and a part of speech replaced by its word.

    >>> inflected("two dog NOUN", {("dog", "NOUN"): "dogs"})
    'two dogs'
    """
    said: list[str] = []
    for word in text.split():
        if said and (said[-1], word) in rules:
            word = rules[said.pop(), word]
        said.append(word)
    return " ".join(said)


def lemma_rules(path: Path) -> dict[tuple[str, str], str]:
    """A word by lemma and part of speech, of lines ``lemma POS word``.

    Raises:
        ValueError: a line has not three words; names it.
    """
    rules = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        parts = line.split()
        if len(parts) not in (0, 3):
            raise ValueError(f"{path}, line {number}: {line!r} is not `lemma POS word`")
        if parts:
            rules[parts[0], parts[1]] = parts[2]
    return rules


def without_repeats(text: str) -> str:
    """Each sentence once.

    >>> without_repeats("a cat . a dog . a cat .")
    'a cat . a dog .'
    """
    kept: dict[str, str] = {}
    for sentence in map(str.strip, _SENTENCE.findall(text)):
        kept.setdefault(sentence.rstrip(" ."), sentence)
    return " ".join(kept.values())


def complete(text: str) -> str:
    """Without what follows the last full stop, if there is one.

    >>> complete("a cat . a dog on a")
    'a cat .'
    """
    end = text.rfind(".") + 1
    return text[:end] if end else text


def written(text: str) -> str:
    """With capitals, and no space before punctuation.

    >>> written("a man 's dog , wet . it is n't old .")
    "A man's dog, wet. It isn't old."
    """
    return _FIRST.sub(lambda found: found[0].upper(), _BEFORE.sub("", text))
