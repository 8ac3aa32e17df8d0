"""Which of a picture's regions are learnt: DenseCap's rules (preprocess.py), and what goes.

A phrase of too many words goes (it is not cut), and one without any; so does a box of which no
pixel is inside the photo. Known deviations: the original kept phrases without words and boxes
without pixels, and clipped boxes to a square instead of the photo.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from snakecap.formats.pictures import Picture, Region
from snakecap.objects.object import Box

Tokenizer = Callable[[str], list[str]]
Size = tuple[int, int]  # width and height in pixels


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
    width, height = size
    scale = (width / (picture.width or width), height / (picture.height or height))
    kept, lost = [], []
    for region in picture.regions:
        box = inside(region.box, scale, size)
        why = _fault(len(tokenize(region.phrase)), max_words)
        if box is None:
            why = f"the box {list(region.box)} has no pixel inside the photo of {width} x {height}"
        if box is None or why:
            lost.append(f"{region.phrase!r}: {why}")
        else:
            kept.append(Region(region.phrase, box))
    said = tuple(region.phrase for region in kept)
    new = replace(picture, captions=said, regions=tuple(kept), width=width, height=height)
    return new, lost


def _fault(words: int, most: int) -> str | None:
    if words == 0:
        return "no words"
    return f"{words} words, more than {most}" if 0 < most < words else None


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
