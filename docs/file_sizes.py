"""Sizes of the files that a run writes, from a few numbers of its settings.

Pure arithmetic over the formats of `snakecap.formats`; a test compares it with files that are
really written. docs/cluster.md shows what it means for the recipes.

Dimensions: N pictures, M captions of at most D words, S side, F numbers of a picture's features,
P parameters, of which T are trained, R objects of the fullest layout.
"""

from __future__ import annotations

import math

FLOAT = 4  # bytes of a float32
PAGE, HEADER = 4096, 16  # LMDB's pages; a value of more than half a page has pages of its own
RECORD = 120  # bytes of a picture's id, file and split in a JSON file
RUNNING = {"rmsprop": 1, "adagrad": 1, "sgd": 0, "sgdm": 1, "sgdmom": 1}  # tensors; Adam's: 2


def images(pictures: int, size: int) -> float:
    """``images.h5``: 3 N S^2 + 60 N bytes; the 60 are names."""
    return 3 * pictures * size * size + RECORD / 2 * pictures


def features(pictures: int, values: int, *, half: bool = False, flip: bool = False) -> float:
    """``features/*.lmdb``: N (`flip`: 2 N) values of 4 F (`half`: 2 F) + 16, in pages of 4096.

    Eight pages more are the tree's own and the file's facts.
    """
    value = values * (FLOAT / 2 if half else FLOAT)
    if value + RECORD / 2 > PAGE / 2:  # pages of its own
        entry = float(math.ceil((value + HEADER) / PAGE) * PAGE + RECORD)
    else:  # a full page is split in two, and names come in order: half of each stays unused
        entry = 2 * (value + RECORD / 2)
    return pictures * entry * (2 if flip else 1) + 8 * PAGE


def captions(pictures: int, captions: int, length: int) -> float:
    """``captions/*.h5`` and the JSON beside it: 4 M (D + 1) + 128 N bytes."""
    return 4 * captions * (length + 1) + 8 * pictures + RECORD * pictures


def detections(objects: int) -> float:
    """``detections/*.json``: 150 bytes an object."""
    return 150 * objects


def layouts(pictures: int, objects: int, longest: int) -> float:
    """``layouts/*.h5`` and ``.json``: N (22 R + 2168) bytes, and 140 an object.

    Args:
        pictures: N.
        objects: of all pictures.
        longest: R, objects of the fullest picture.
    """
    own = 4 * 32 + 4 * 96 + 2 * 8 * 96
    return pictures * ((2 + 16 + 4) * longest + own + RECORD) + 140 * objects


def model(parameters: int) -> float:
    """``model.safetensors``: 4 P bytes, and half a megabyte of settings and vocabulary."""
    return FLOAT * parameters + 0.5e6


def checkpoint(parameters: int, trained: int, optimiser: str = "adam") -> float:
    """One checkpoint: 4 P bytes, and for Adam 8 T; for RMSProp and momentum 4 T, for SGD 0."""
    return FLOAT * (parameters + RUNNING.get(optimiser, 2) * trained)


def work(parameters: int, trained: int, optimiser: str = "adam") -> float:
    """``.work`` of a training job at most: three checkpoints, the best model of each, and the last.

    The newest two are kept, and a third is whole before the first of them goes.
    """
    return 3 * checkpoint(parameters, trained, optimiser) + 4 * model(parameters)
