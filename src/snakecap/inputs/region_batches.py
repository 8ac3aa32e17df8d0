"""The batches of a dense captioner's training: pictures, the regions in them, and what is said.

What the model reads of a picture is ``images``, uint8 (B, 3, H, W), padded on the right and below,
and ``sizes`` (B, 2), the width and height of what is not padding.

Dimensions: B pictures, N regions of all pictures, T words.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class RegionTargets:
    """Regions of a batch, picture by picture."""

    boxes: Tensor  # left, top, right, bottom in pixels of the network's image, (N, 4)
    words: Tensor  # ids, 0-padded on the right, (N, T), on the CPU
    owners: Tensor  # each region's picture in the batch, (N,), ascending
