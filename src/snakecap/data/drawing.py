"""A scene to pixels: Pillow at four times the size, averaged down."""

from __future__ import annotations

from random import Random

import numpy as np
from PIL import Image, ImageDraw

from snakecap.data.scene import COLOURS, Scene, Shape

OVERSAMPLING = 4


def draw(scene: Scene, size: int, random: Random) -> Image.Image:
    """Draw a scene.

    Args:
        scene: what to draw.
        size: side in pixels.
        random: chance of the background's hue, direction and noise, and of the shapes' shades.

    Returns:
        An RGB image of `size` x `size`.
    """
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
        cells = np.random.default_rng(random.getrandbits(64)).uniform(-1.4, 1.4, (size, size))
        texture = cells
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
