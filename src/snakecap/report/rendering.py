"""Photos with the regions that were described in them, readable on black and on white."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from snakecap.formats.dense import Described

# Light enough for black letters on them; each beside a black line.
COLOURS = ("#ffd400", "#4fc3f7", "#a5d66f", "#ff8a80", "#ce93d8", "#ffb74d", "#80cbc4", "#f5f5f5")


def drawn(photo: Image.Image, described: Described, limit: int = 10) -> Image.Image:
    """A copy of a photo with its first regions, each with its caption on a plate of its colour."""
    image = photo.convert("RGB")
    pen = ImageDraw.Draw(image)
    thick = max(2, round(max(image.size) / 300))
    font = ImageFont.load_default(max(10, round(max(image.size) / 40)))
    rows = list(zip(described.boxes.tolist(), described.captions, strict=True))[:limit]
    for number, (box, caption) in reversed(list(enumerate(rows))):  # the surest on top
        _region(pen, box, caption, COLOURS[number % len(COLOURS)], thick, font, image.size)
    return image


def _region(
    pen: ImageDraw.ImageDraw,
    box: list[float],
    caption: str,
    colour: str,
    thick: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    size: tuple[int, int],
) -> None:
    x, y, width, height = box
    edges = [x, y, max(x + width, x + 1), max(y + height, y + 1)]
    pen.rectangle(edges, outline="black", width=thick + 2)
    pen.rectangle(edges, outline=colour, width=thick)
    plate = pen.textbbox((0, 0), caption or " ", font=font)
    # Inside the photo, also where the box touches its border.
    left = min(max(x, 0), max(size[0] - plate[2] - 4, 0))
    top = min(max(y, 0), max(size[1] - plate[3] - 4, 0))
    pen.rectangle(
        [left, top, left + plate[2] + 4, top + plate[3] + 4], fill=colour, outline="black"
    )
    pen.text((left + 2, top + 1), caption, fill="black", font=font)
