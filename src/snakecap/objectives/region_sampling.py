"""Which proposals of a picture a training step looks at, and which region each is to become.

Source: Ren et al., "Faster R-CNN" (NeurIPS 2015), 3.1.2 and 3.1.3; densecap's BoxSampler. A
proposal is positive where its IoU with some region is high, or where no other overlaps a region
more (forced, also if it leaves the picture), negative where its IoU with all of them is low, and
else neither. As in the latter, its box is the one after regression, not the anchor.

Dimensions: A proposals, G regions, P positive and M negative ones that are drawn.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou


class Matched(NamedTuple):
    """How a picture's proposals stand to its regions."""

    positive: Tensor  # (A,)
    negative: Tensor  # (A,)
    regions: Tensor  # the region that each overlaps most, (A,)


class Sample(NamedTuple):
    """What is looked at of a picture: the positive ones first."""

    rows: Tensor  # places among the proposals, (P + M,)
    regions: Tensor  # of the positive ones, places among the regions, (P,)


def match(boxes: Tensor, regions: Tensor, allowed: Tensor, *, low: float, high: float) -> Matched:
    """Tell proposals (A, 4) that show one of the regions (G, 4) from those that show nothing.

    Args:
        allowed: which may be either, (A,).
        low: IoU under which one is negative.
        high: IoU over which one is positive.

    Returns:
        Where nothing is negative, all that is not positive is.
    """
    if not len(regions):
        return Matched(allowed & False, allowed | True, torch.zeros_like(allowed, dtype=torch.long))
    overlaps = box_iou(boxes, regions)
    best, nearest = overlaps.max(1)
    forced = torch.zeros_like(allowed).index_fill_(0, overlaps.argmax(0), True)
    positive = (allowed & (best > high)) | forced
    negative = allowed & (best < low) & ~forced
    return Matched(positive, negative if negative.any() else ~positive, nearest)


def draw(matched: Matched, number: int) -> Sample:
    """Draw `number` proposals, up to half of them positive; negatives repeat where they are few."""
    positive, negative = (mask.nonzero().squeeze(1) for mask in matched[:2])
    wanted = min(len(positive), number // 2) if len(negative) else number
    chosen = positive[_places(len(positive), wanted, positive.device)]
    others = negative[_places(len(negative), number - wanted, negative.device)]
    return Sample(torch.cat([chosen, others]), matched.regions[chosen])


def _places(count: int, wanted: int, place: torch.device) -> Tensor:
    """Different ones, or with repetition where there are fewer than are wanted."""
    if count >= wanted:
        return torch.randperm(count, device=place)[:wanted]
    return torch.randint(count, (wanted,), device=place)
