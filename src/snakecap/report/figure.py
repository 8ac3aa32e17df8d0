"""The README's figure: a few pictures, what each system says of them, and what a person said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SCALE = 2  # drawn at twice the size, for sharp screens
SIDE, GAP, MARGIN, LINE = 250, 26, 24, 19  # pixels before scaling
LABELS = 6  # a picture, of its largest objects
INK, GREY, PAPER = "#1b1f24", "#636c76", "#ffffff"


@dataclass(frozen=True, slots=True)
class Outline:
    """An object to draw.

    Attributes:
        label, colour, ink: its name, and the colours of its box and of its name on that.
        box: [x, y, width, height] in 0..1 of the image.
    """

    label: str
    colour: str
    ink: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture of the figure: its image and (speaker, colour, caption) lines under it."""

    image: Image.Image
    captions: Sequence[tuple[str, str, str]]
    outlines: Sequence[Outline] = ()


def draw(panels: Sequence[Panel]) -> Image.Image:
    """The panels side by side, white paper, captions wrapped under their picture."""
    plain, bold = font("DejaVuSans.ttf", 13), font("DejaVuSans-Bold.ttf", 11)
    width = 2 * MARGIN + len(panels) * SIDE + (len(panels) - 1) * GAP
    columns = [[(s, c, _wrap(t, plain, SIDE)) for s, c, t in p.captions] for p in panels]
    slots = max(len(column) for column in columns)
    # The same speaker at the same height in every panel.
    tall = [max(len(c[at][2]) if at < len(c) else 0 for c in columns) for at in range(slots)]
    height = 2 * MARGIN + SIDE + sum(LINE * (lines + 1) + 8 for lines in tall) + 4
    paper = Image.new("RGB", (width * SCALE, height * SCALE), PAPER)
    draw = ImageDraw.Draw(paper)
    for place, (panel, column) in enumerate(zip(panels, columns, strict=True)):
        left = MARGIN + place * (SIDE + GAP)
        _paste(paper, panel, left)
        top = MARGIN + SIDE + 12
        for (speaker, colour, lines), rows in zip(column, tall, strict=False):
            draw.ellipse([v * SCALE for v in (left, top + 4, left + 8, top + 12)], fill=colour)
            draw.text(((left + 14) * SCALE, top * SCALE), _cut(speaker, bold), GREY, bold)
            for at, line in enumerate(lines):
                draw.text((left * SCALE, (top + LINE * (at + 1) - 2) * SCALE), line, INK, plain)
            top += LINE * (rows + 1) + 8
    return paper


def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """One of matplotlib's own fonts, its size in pixels before `SCALE`."""
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    return ImageFont.truetype(str(path), size * SCALE)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int, most: int = 4) -> list[str]:
    """Break at spaces so that each line fits; what exceeds `most` lines ends in an ellipsis."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width * SCALE or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1] + " …"]
    return lines


def _cut(text: str, font: ImageFont.FreeTypeFont) -> str:
    """A speaker's name, its end left out when it is longer than its panel."""
    longest = max(
        at for at in range(len(text) + 1) if font.getlength(text[:at]) <= (SIDE - 28) * SCALE
    )
    return text if longest == len(text) else text[:longest] + "…"


def _paste(paper: Image.Image, panel: Panel, left: int) -> None:
    """The image whole, centred in its square, on the light grey of a mount."""
    image = panel.image
    side = SIDE * SCALE
    mount = Image.new("RGB", (side, side), "#eef0f2")
    factor = side / max(image.size)
    size = tuple(max(1, round(v * factor)) for v in image.size)
    small = image.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    _outline(small, panel.outlines)
    mount.paste(small, ((side - size[0]) // 2, (side - size[1]) // 2))
    mask = Image.new("L", (side, side), 0)
    ImageDraw.Draw(mask).rounded_rectangle([0, 0, side - 1, side - 1], 8 * SCALE, fill=255)
    paper.paste(mount, (left * SCALE, MARGIN * SCALE), mask)


def _outline(image: Image.Image, outlines: Sequence[Outline]) -> None:
    """Boxes on an image, the largest first; a label where there is room for one."""
    draw, letters = ImageDraw.Draw(image, "RGBA"), font("DejaVuSans-Bold.ttf", 9)
    labels: list[tuple[float, float, float, float]] = []
    order = sorted(outlines, key=lambda one: -one.box[2] * one.box[3])
    for one in order:
        x, y, width, height = _pixels(one.box, image.size)
        draw.rectangle((x, y, x + width, y + height), f"{one.colour}18", one.colour, SCALE)
    for one in order:
        x, y, _, _ = _pixels(one.box, image.size)
        place = (min(max(x, 0), image.width - letters.getlength(one.label) - 10) + 5, max(y, 0) + 3)
        left, top, right, bottom = draw.textbbox(place, one.label, letters)
        room = (left - 4, top - 3, right + 4, bottom + 3)
        if len(labels) < LABELS and all(_apart(room, other) for other in labels):
            draw.rectangle(room, one.colour)
            draw.text(place, one.label, one.ink, letters)
            labels.append(room)


def _apart(one: Sequence[float], other: Sequence[float]) -> bool:
    before = one[2] < other[0] or other[2] < one[0]
    return before or one[3] < other[1] or other[3] < one[1]


def _pixels(box: tuple[float, ...], size: tuple[int, int]) -> tuple[float, float, float, float]:
    x, y, width, height = box
    return x * size[0], y * size[1], width * size[0], height * size[1]
