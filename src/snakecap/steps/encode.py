"""Captions to ids (the second half of NeuralTalk2's prepro.py)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np

from snakecap import registry
from snakecap.config import settings as configuration
from snakecap.formats import captions as caption_files
from snakecap.formats import vocabulary as vocabulary_files
from snakecap.formats.images import readable
from snakecap.formats.pictures import Picture, read
from snakecap.log import logger
from snakecap.provenance import code
from snakecap.provenance.identity import Output, step

Tokenizer = Callable[[str], list[str]]


@step
def encode(
    *,
    pictures: Path,
    vocabulary: Path,
    captions: Annotated[Path, Output(beside=".json")],
    images: Path | None = None,
    settings: configuration.Vocabulary = configuration.Vocabulary(),
) -> None:
    """Pack captions as ids, in NeuralTalk2's HDF5 and JSON format.

    A caption without words is left out with a warning. Every picture of the training split must
    keep one; those of other splits may have none.

    Args:
        pictures: the pictures.json to encode
        vocabulary: the vocabulary.json to use
        captions: the captions.h5 to write; a .json of the same name is written beside it
        images: an images.h5; when given, its pictures are encoded, in its order, and it is linked
        settings: longest caption; the tokenizer is the vocabulary's own

    Raises:
        ValueError: a picture of `images` is unknown, or a training picture has no caption.
    """
    chosen = readable(read(pictures).pictures, images)
    words = vocabulary_files.read(vocabulary)
    tokenize = registry.load("tokenizer", words.tokenizer)
    encoded = [_encode(picture, words, tokenize) for picture in chosen]
    counts = np.fromiter(map(len, encoded), np.int64, len(encoded))
    labels, lengths = caption_files.pack([i for ids in encoded for i in ids], settings.max_length)
    ends = counts.cumsum()
    packed = caption_files.Captions(
        labels=labels,
        starts=ends - counts,
        ends=ends,
        lengths=lengths,
        files=tuple(picture.file for picture in chosen),
        splits=tuple(picture.split for picture in chosen),
        ids=tuple(picture.id for picture in chosen),
        words=words.words,
    )
    caption_files.write(captions, packed, images, **code.stamp())
    logger.info("encoded captions to array of size %s", labels.shape)


def _encode(
    picture: Picture, words: vocabulary_files.Vocabulary, tokenize: Tokenizer
) -> list[list[int]]:
    """The ids of a picture's captions that have words."""
    encoded = []
    for caption in picture.captions:
        ids = words.encode(tokenize(caption))
        if ids:
            encoded.append(ids)
        else:
            logger.warning("picture %s (%s): no words in %r", picture.id, picture.file, caption)
    if not encoded and picture.split == "train":
        raise ValueError(
            f"picture {picture.id} ({picture.file}) of the training split has no caption with "
            "words: give it one, or move it to another split"
        )
    return encoded
