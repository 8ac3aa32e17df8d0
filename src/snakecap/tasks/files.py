"""The files that a training stage of a system reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from snakecap.formats import captions as packing
from snakecap.formats import model as models
from snakecap.formats import vocabulary as vocabularies
from snakecap.formats.captions import Captions
from snakecap.formats.vocabulary import Vocabulary
from snakecap.inputs.input import Input


class Files(NamedTuple):
    """What the step `train` is given."""

    captions: Path
    vocabulary: Path
    pictures: Path
    inputs: list[Path]
    previous: Path | None  # model of the stage before

    def words(self) -> tuple[Vocabulary, Captions]:
        """The vocabulary, and the captions that are packed with it.

        Raises:
            ValueError: they are packed with another; names both files.
        """
        words, packed = vocabularies.read(self.vocabulary), packing.read(self.captions)
        if packed.words != words.words:
            raise ValueError(
                f"{self.captions} was packed with another vocabulary than {self.vocabulary}"
            )
        return words, packed

    def weights(self, words: Vocabulary, inputs: Mapping[str, Input]) -> dict[str, Tensor]:
        """Of the model that the stage starts from; there must be one.

        Raises:
            ValueError: it was another system's; names the file.
        """
        assert self.previous is not None, "a first stage starts from fresh weights"
        found, header = models.read(self.previous)
        if header["vocabulary"]["words"] != list(words.words):
            raise ValueError(f"{self.previous} was trained with another vocabulary than {words}")
        for name, one in inputs.items():
            if header["inputs"][name] != one.facts():
                raise ValueError(
                    f"{self.previous} was trained with {name} that were made differently"
                )
        return found
