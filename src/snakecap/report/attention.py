"""What words look at in a picture's grid, as people see it: the rest of the picture is dark.

Source of the panels: DeepCaption's visualize_attention.py, five to a row. Known deviation: it laid
grey over the picture where a word looks; here that stays as it is.

Dimensions: T words, R cells.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from snakecap.formats.alphas import Alphas
from snakecap.formats.atomic import writing
from snakecap.formats.decode import load_whole
from snakecap.report.figure import GREY, PAPER, SCALE, font

if TYPE_CHECKING:
    from snakecap.inference.attention import Attention

COLUMNS = 5
SIDE, GAP, LINE = 180, 12, 20  # pixels before scaling
DARK = 204  # of 255, what covers a cell that a word does not look at
LEVELS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"


def side(cells: int) -> int:
    """The cells along a side of a grid.

    Raises:
        ValueError: it is no square.
    """
    root = math.isqrt(cells)
    if root * root != cells:
        raise ValueError(f"a grid of {cells} cells is no square: nobody knows where they are")
    return root


def embed(alphas: Alphas) -> list[tuple[int, str]]:
    """What the page has of words' attention (T, R): percent on the grid, a letter for each cell.

    A letter's place in `LEVELS` is the cell's share of the strongest cell.
    """
    weights = alphas.astype(np.float64)
    peaks = np.maximum(weights.max(1, keepdims=True), 1e-9)
    levels = np.rint((len(LEVELS) - 1) * weights / peaks).astype(int)
    totals = np.rint(100 * weights.sum(1)).astype(int).tolist()
    texts = ("".join(LEVELS[level] for level in row) for row in levels.tolist())
    return list(zip(totals, texts, strict=True))


def veiled(image: Image.Image, weights: Alphas, covers: float) -> Image.Image:
    """An image that is dark where a word's weights (R,) are not.

    Args:
        covers: share of the image's sides, in its middle, that the grid covers.
    """
    cells = side(len(weights))
    shares = weights.astype(np.float64) / max(float(weights.max()), 1e-9)
    dark = Image.fromarray(np.rint(DARK * (1 - shares)).astype(np.uint8).reshape(cells, cells))
    size = max(1, round(covers * image.width)), max(1, round(covers * image.height))
    mask = Image.new("L", image.size, DARK)
    corner = (image.width - size[0]) // 2, (image.height - size[1]) // 2
    mask.paste(dark.resize(size, Image.Resampling.BICUBIC), corner)
    return Image.composite(Image.new("RGB", image.size), image, mask)


def draw(
    image: Image.Image, words: Sequence[str], alphas: Alphas, covers: float = 1.0
) -> Image.Image:
    """The image, then once for each word, with what that looks at: alphas (T, R)."""
    fitted = image.copy()
    fitted.thumbnail((SIDE * SCALE, SIDE * SCALE), Image.Resampling.LANCZOS)
    each = [fitted, *(veiled(fitted, row, covers) for row in alphas[: len(words)])]
    wide, tall = fitted.width + GAP * SCALE, fitted.height + (LINE + GAP) * SCALE
    columns, rows = min(COLUMNS, len(each)), math.ceil(len(each) / COLUMNS)
    paper = Image.new("RGB", (columns * wide + GAP * SCALE, rows * tall + GAP * SCALE), PAPER)
    brush, letters = ImageDraw.Draw(paper), font("DejaVuSans.ttf", 12)
    for at, (panel, word) in enumerate(zip(each, ["", *words], strict=True)):
        left, top = GAP * SCALE + at % COLUMNS * wide, GAP * SCALE + at // COLUMNS * tall
        paper.paste(panel, (left, top))
        brush.text((left, top + fitted.height + 2 * SCALE), word, GREY, letters)
    return paper


def write(
    folder: Path,
    photos: Sequence[Path | str | bytes | None],
    captions: Sequence[str],
    attention: Attention,
    *,
    whole: bool,
    first: int,
) -> None:
    """Write the panels of photos, ``{row}_{name}.png``, rows counted from `first`.

    Args:
        whole: the model sees whole photos made square; else their centre squares.

    Raises:
        ValueError: the attention is to no grid.
    """
    if attention.alphas is None:
        raise ValueError("--attention: the model looks at no grid of a photo")
    for row, (photo, caption) in enumerate(zip(photos, captions, strict=True)):
        assert isinstance(photo, Path), "a grid is of a photo, and commands name files"
        image = Image.fromarray(load_whole(photo).transpose(1, 2, 0))
        seen = image if whole else ImageOps.fit(image, (min(image.size),) * 2)
        drawn = draw(seen, caption.split(), attention.alphas[row], attention.covers)
        with writing(folder / f"{first + row}_{photo.stem}.png") as temporary:
            drawn.save(temporary, "PNG")
