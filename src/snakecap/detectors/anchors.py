"""Typical box shapes of a data set: k-means with 1 - IoU as the distance.

Source: Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger" (CVPR 2017), section 2, "Dimension
Clusters". Known deviation: no random start. The first shapes are taken at even steps from the boxes
sorted by area, so that a data set always gives the same anchors.

Dimensions: N boxes, A anchors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ROUNDS = 100  # it has always settled long before


def overlaps(shapes: Array, others: Array) -> Array:
    """The IoU of boxes that share their centre.

    Args:
        shapes: widths and heights, of shape (N, 2), positive.
        others: of shape (A, 2).

    Returns:
        Of shape (N, A), 0..1.
    """
    shared = np.minimum(shapes[:, None], others[None]).prod(2)
    union = shapes.prod(1)[:, None] + others.prod(1)[None] - shared
    result: Array = shared / union
    return result


def cluster(shapes: Array, number: int) -> Array:
    """The anchors of some boxes, smallest area first.

    Args:
        shapes: widths and heights in any one unit, of shape (N, 2), positive.
        number: A; with fewer different shapes than that, some anchors are equal.

    Returns:
        Of shape (A, 2), in the unit of `shapes`.

    Raises:
        ValueError: no boxes.
    """
    if not len(shapes):
        raise ValueError("anchors need at least one box")
    sorted_shapes = shapes[np.lexsort((shapes[:, 0], shapes.prod(1)))]
    steps = (np.arange(number) + 0.5) / number * len(shapes)
    anchors = sorted_shapes[steps.astype(int)]
    for _ in range(ROUNDS):
        nearest = overlaps(shapes, anchors).argmax(1)
        moved = np.array([_centre(shapes[nearest == k], anchors[k]) for k in range(number)])
        if np.array_equal(moved, anchors):
            break
        anchors = moved
    ascending: Array = anchors[anchors.prod(1).argsort(kind="stable")]
    return ascending


def _centre(members: Array, before: Array) -> Array:
    """The mean of a cluster; one that has lost its members stays where it is."""
    return members.mean(0) if len(members) else before
