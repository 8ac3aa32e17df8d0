"""What is in a generated picture: shapes in groups, a background, and their pixels.

Lengths and positions are fractions of the picture's side, origin at the top left. A *group* is
shapes of one kind, colour and size; the groups stand in columns, in rows, or scattered.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image, ImageDraw

KINDS = ("circle", "square", "triangle", "star")
COLOURS = {
    "red": (222, 34, 40),
    "green": (34, 166, 68),
    "blue": (36, 84, 220),
    "yellow": (250, 214, 24),
    "purple": (158, 48, 190),
}
BACKGROUNDS = ("plain", "shaded", "striped", "noisy")
RADII = {"small": (0.085, 0.1), "large": (0.15, 0.175)}  # no size in between: easily told apart
ARRANGEMENTS = ("columns", "rows", "scattered")
SIZES = tuple(RADII)
GAP = 0.015  # at least this between two shapes, and around the picture
TILT = 0.3  # radians: a square must not pass for a diamond
ATTEMPTS = 60  # positions tried for a shape before all shapes shrink

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Group:
    """Shapes that a caption names together."""

    kind: str
    colour: str
    size: str
    count: int


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape; `radius` reaches from its centre to its farthest corner."""

    group: int
    kind: str
    colour: str
    size: str
    x: float
    y: float
    radius: float
    angle: float

    @property
    def corners(self) -> tuple[Point, ...]:
        """Its corners; for a circle none."""
        return tuple(
            (
                self.x + self.radius * reach * math.sin(self.angle + turn),
                self.y - self.radius * reach * math.cos(self.angle + turn),
            )
            for turn, reach in _OUTLINES[self.kind]
        )

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width and height of the tightest box around it."""
        points = self.corners or (
            (self.x - self.radius, self.y - self.radius),
            (self.x + self.radius, self.y + self.radius),
        )
        across, down = zip(*points, strict=True)
        left, top = min(across), min(down)
        return left, top, max(across) - left, max(down) - top


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture's content.

    Attributes:
        groups: left to right in columns, top to bottom in rows, in no order when scattered.
        shapes: those of the first group first.
    """

    groups: tuple[Group, ...]
    shapes: tuple[Shape, ...]
    arrangement: str
    background: str
    light: bool  # the background's brightness


def _regular(corners: int, offset: float = 0.0) -> tuple[Point, ...]:
    return tuple((2 * math.pi * i / corners + offset, 1.0) for i in range(corners))


# The corners of each kind: angle clockwise from the top, distance from the centre.
_OUTLINES: dict[str, tuple[Point, ...]] = {
    "circle": (),
    "square": _regular(4, math.pi / 4),
    "triangle": _regular(3),
    "star": tuple((math.pi * i / 5, 1.0 if i % 2 == 0 else 0.42) for i in range(10)),
}


def scene(random: Random, fewest: int = 2, most: int = 6) -> Scene:
    """A scene of `fewest` to `most` shapes; the same state of `random` gives the same one."""
    groups = _groups(random, random.randint(fewest, most))
    arrangement = random.choice(ARRANGEMENTS)
    background, light = random.choice(BACKGROUNDS), random.random() < 0.5
    shrink = 1.0
    while (shapes := _place(random, groups, arrangement, shrink)) is None:
        shrink *= 0.93
    return Scene(groups, shapes, arrangement, background, light)


def _groups(random: Random, shapes: int) -> tuple[Group, ...]:
    """One to three groups of `shapes` shapes together, no two of one colour.

    Many shapes are small ones, or they would not fit.
    """
    number = min(shapes, random.choices((1, 2, 3), weights=(3, 5, 2))[0])
    cuts = sorted(random.sample(range(1, shapes), number - 1))
    counts = [b - a for a, b in zip([0, *cuts], [*cuts, shapes], strict=True)]
    colours = random.sample(tuple(COLOURS), number)
    return tuple(
        Group(random.choice(KINDS), colour, random.choice(SIZES) if count < 3 else "small", count)
        for colour, count in zip(colours, counts, strict=True)
    )


def _place(
    random: Random, groups: tuple[Group, ...], arrangement: str, shrink: float
) -> tuple[Shape, ...] | None:
    """Shapes that neither touch nor leave their group's strip; None when they do not fit."""
    placed: list[Shape] = []
    strips = _strips(groups, arrangement)
    for number, (group, (across, down)) in enumerate(zip(groups, strips, strict=True)):
        radius = shrink * random.uniform(*RADII[group.size])
        for _ in range(group.count):
            position = _free(random, placed, radius, across, down)
            if position is None:
                return None
            tilt = math.pi if group.kind == "star" else TILT
            angle = random.uniform(-tilt, tilt)
            placed.append(
                Shape(number, group.kind, group.colour, group.size, *position, radius, angle)
            )
    return tuple(placed)


def _strips(groups: tuple[Group, ...], arrangement: str) -> list[tuple[Point, Point]]:
    """For each group the span across and the span down that it may use."""
    whole = (0.0, 1.0)
    if arrangement == "scattered":
        return [(whole, whole)] * len(groups)
    # A strip's breadth follows the room that its shapes need.
    needs = [RADII[group.size][1] * math.sqrt(group.count) for group in groups]
    edges = [sum(needs[:i]) / sum(needs) for i in range(len(needs) + 1)]
    spans = list(itertools.pairwise(edges))
    columns = [(span, whole) for span in spans]
    return columns if arrangement == "columns" else [(down, across) for across, down in columns]


def _free(
    random: Random, placed: list[Shape], radius: float, across: Point, down: Point
) -> Point | None:
    room = radius + GAP
    if across[1] - across[0] < 2 * room or down[1] - down[0] < 2 * room:
        return None
    for _ in range(ATTEMPTS):
        x = random.uniform(across[0] + room, across[1] - room)
        y = random.uniform(down[0] + room, down[1] - room)
        if all(math.hypot(x - s.x, y - s.y) >= radius + s.radius + GAP for s in placed):
            return x, y
    return None


# To pixels: Pillow at four times the size, averaged down.

OVERSAMPLING = 4


def draw(scene: Scene, size: int, random: Random) -> Image.Image:
    """An RGB image of `size` x `size` pixels; the background and the shades are drawn by lot."""
    image = Image.fromarray(_background(scene, size, random))
    for shape in scene.shapes:
        shade = [
            max(0, min(255, level + random.randint(-14, 14))) for level in COLOURS[shape.colour]
        ]
        left, top, mask = _mask(shape, size)
        image.paste((shade[0], shade[1], shade[2]), (left, top), mask)
    return image


def _background(scene: Scene, size: int, random: Random) -> np.ndarray:
    """Greyish pixels (size, size, 3) uint8, light or dark: no shape has such a colour."""
    grey = random.uniform(185, 225) if scene.light else random.uniform(40, 80)
    base = np.array([grey + random.uniform(-12, 12) for _ in range(3)])
    contrast = random.uniform(12, 20) * random.choice((-1, 1))
    across, down = random.choice(((1.0, 0.0), (0.0, 1.0), (0.7, 0.7)))
    grid = np.linspace(-1.0, 1.0, size)
    ramp = across * grid[None, :] + down * grid[:, None]
    if scene.background == "plain":
        texture = np.zeros((size, size))
    elif scene.background == "shaded":
        texture = ramp
    elif scene.background == "striped":
        texture = np.sign(np.sin(ramp * random.uniform(9, 15)))
    else:
        noise = np.random.default_rng(random.getrandbits(64))
        texture = noise.uniform(-1.4, 1.4, (size, size))
    pixels = base + contrast * texture[:, :, None]
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _mask(shape: Shape, size: int) -> tuple[int, int, Image.Image]:
    """Where a shape's patch goes, and how much of each pixel the shape covers (0..255)."""
    left, top = (int((c - shape.radius) * size) - 1 for c in (shape.x, shape.y))
    side = int(2 * shape.radius * size) + 4
    scale = size * OVERSAMPLING
    x0, y0 = left * OVERSAMPLING, top * OVERSAMPLING
    mask = Image.new("L", (side * OVERSAMPLING, side * OVERSAMPLING))
    pen = ImageDraw.Draw(mask)
    if shape.kind == "circle":
        x, y, r = shape.x * scale - x0, shape.y * scale - y0, shape.radius * scale
        pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
    else:
        pen.polygon([(x * scale - x0, y * scale - y0) for x, y in shape.corners], fill=255)
    return left, top, mask.reduce(OVERSAMPLING)
