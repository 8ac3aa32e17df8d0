"""Which of a picture's regions are learnt: DenseCap's rules (preprocess.py), and what goes.

A phrase of too many words goes (it is not cut), and one without any; so does a box of which no
pixel is inside the photo. Known deviations: the original kept phrases without words and boxes
without pixels, and clipped boxes to a square instead of the photo.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from snakecap.formats.pictures import Picture, Region
from snakecap.objects.object import Box

Tokenizer = Callable[[str], list[str]]
Size = tuple[int, int]  # width and height in pixels


class Judged(NamedTuple):
    """A region, and whether it is learnt.

    Attributes:
        box: in pixels of the photo and inside it, or None.
        fault: why it is left out, or None.
    """

    region: Region
    words: list[str]
    box: Box | None
    fault: str | None


def judged(picture: Picture, size: Size, tokenize: Tokenizer, max_words: int) -> Iterator[Judged]:
    """All regions of a picture; see `learnt`."""
    width, height = size
    scale = (width / (picture.width or width), height / (picture.height or height))
    for region in picture.regions:
        words, box = tokenize(region.phrase), inside(region.box, scale, size)
        fault = _fault(words, max_words)
        if box is None:
            fault = f"the box {list(region.box)} has no pixel inside the photo, {width} x {height}"
        yield Judged(region, words, box, fault and f"{region.phrase!r}: {fault}")


def _fault(words: Sequence[str], most: int) -> str | None:
    if not words:
        return "no words"
    return f"{len(words)} words, more than {most}" if 0 < most < len(words) else None


def learnt(
    picture: Picture, size: Size, tokenize: Tokenizer, max_words: int
) -> tuple[Picture, list[str]]:
    """A picture with the regions that are learnt, whose phrases are its captions, in their order.

    Args:
        size: of the photo; boxes come back in its pixels, inside it, and it is recorded.
        max_words: 0: any number.

    Returns:
        The picture, and for each region that is left out a line that says which and why.
    """
    regions = list(judged(picture, size, tokenize, max_words))
    kept = tuple(Region(one.region.phrase, one.box) for one in regions if one.box and not one.fault)
    lost = [one.fault for one in regions if one.fault]
    said = tuple(region.phrase for region in kept)
    return replace(picture, captions=said, regions=kept, width=size[0], height=size[1]), lost


def inside(box: Box, scale: tuple[float, float], size: Size) -> Box | None:
    """A box in other units, cut to a photo of this size; None when less than a pixel is left."""
    if not all(map(math.isfinite, box)):
        return None
    x, y, width, height = box
    left, right = (min(max(edge * scale[0], 0.0), size[0]) for edge in (x, x + width))
    top, bottom = (min(max(edge * scale[1], 0.0), size[1]) for edge in (y, y + height))
    if right - left < 1 or bottom - top < 1:
        return None
    return left, top, right - left, bottom - top
