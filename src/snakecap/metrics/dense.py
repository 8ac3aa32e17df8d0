"""Average precision of dense captions: a region counts when both its place and its words are right.

Source: Johnson, Karpathy and Fei-Fei, "DenseCap: Fully Convolutional Localization Networks for
Dense Captioning", CVPR 2016, and its eval/eval_utils.lua. Regions of IoU .7 or more are merged,
each with all phrases of its group as references. In falling rank, each prediction is tied to the
merged region that it overlaps most, and the first to come has it, at any overlap and whatever it
says. It is a hit where the IoU is at least one threshold and METEOR above another. mAP is the mean
of the average precision over 5 x 6 thresholds, detmAP over the 5 of IoU alone.

Deviations, both of mistakes there: a prediction that overlaps nothing has nothing (there, the
image's last region), and the 100 levels of recall are exact (there, sums of 0.01, 83 of which are a
little more). Images without predictions count; those without regions have only misses.

Dimensions: N predictions, R regions of an image, M merged ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask

from snakecap.formats.dense import Described
from snakecap.formats.dense_scores import DenseScores
from snakecap.formats.pictures import Region
from snakecap.text.neuraltalk2 import tokenize

OVERLAPS = (0.3, 0.4, 0.5, 0.6, 0.7)
METEORS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25)
SAME = 0.7  # IoU from which regions are one
LEVELS = 100  # of recall: 0, .01, ..., .99
FOUND = 0.5  # IoU of what counts as found for `exact`
GIVEN = 1.0  # pixels that a given box may be off

Array = NDArray[np.float64]
Pair = tuple[str, tuple[str, ...]]  # a caption and its references
MeteorFunction = Callable[[Sequence[Pair]], Array]  # one value for each pair
Ranking = Literal["scores", "logits", "log_probs"]
Regions = Mapping[str, Sequence[Region]]


class Merged(NamedTuple):
    """What has to be found in an image.

    Attributes:
        boxes: (M, 4).
        phrases: M.
    """

    boxes: Array
    phrases: list[tuple[str, ...]]


class Claims(NamedTuple):
    """How N predictions of an image, or of all, fare; in falling rank.

    Attributes:
        rank: (N,).
        overlap: (N,), IoU with the region that it is tied to, 0 without one.
        first: (N,), whether it is the one that has the region.
        pairs: N, what it says and what the region's phrases are.
    """

    rank: Array
    overlap: Array
    first: NDArray[np.bool_]
    pairs: list[Pair]

    def take(self, places: NDArray[np.int64]) -> Claims:
        """Some of them, in this order."""
        pairs = [self.pairs[place] for place in places.tolist()]
        return Claims(self.rank[places], self.overlap[places], self.first[places], pairs)


def evaluate(
    predictions: Mapping[str, Described],
    references: Regions,
    meteor: MeteorFunction,
    *,
    ranking: Ranking = "scores",
) -> DenseScores:
    """Score predictions by regions.

    Args:
        predictions: by image, boxes in the frame of `references`; in any order.
        references: the regions of every image that is judged.
        meteor: asked once, for different pairs of a caption and its references.
        ranking: what the predictions are pooled by, over all images. Ties stay in the order of
            the references' images, within one in the predictions' own.

    Raises:
        ValueError: predictions of an image that is not judged, or without what ranks them; or no
            regions at all.
    """
    if odd := [key for key in predictions if key not in references]:
        raise ValueError(f"there are predictions of images that are not judged: {odd[:10]}")
    merged = {key: merge(regions) for key, regions in references.items()}
    wanted = sum(len(one.phrases) for one in merged.values())
    if not wanted:
        raise ValueError("no image has a region to find")
    claims = _pooled(
        [claim(predictions[key], one, ranking) for key, one in merged.items() if key in predictions]
    )
    words = _words(claims, meteor)
    located = {f"{least:g}": average_precision(hits(claims, least), wanted) for least in OVERLAPS}
    both = {
        f"{least:g}": {
            f"{bound:g}": average_precision(hits(claims, least) & (words > bound), wanted)
            for bound in METEORS
        }
        for least in OVERLAPS
    }
    found = np.flatnonzero(hits(claims, FOUND)).tolist()
    return DenseScores(
        mAP=float(np.mean([value for row in both.values() for value in row.values()])),
        detmAP=float(np.mean([*located.values()])),
        exact=_share(exactly(*claims.pairs[place]) for place in found),
        found=len(found) / wanted,
        AP=both,
        detAP=located,
        ranking=ranking,
        images=len(references),
        without_predictions=sum(key not in predictions for key in references),
        regions=sum(map(len, references.values())),
        merged=wanted,
        predictions=len(words),
    )


def hits(claims: Claims, least: float) -> NDArray[np.bool_]:
    """Which predictions have a region with at least this IoU, (N,)."""
    return claims.first & (claims.overlap >= least)


def _words(claims: Claims, meteor: MeteorFunction) -> Array:
    """METEOR of those that can be a hit, of each different pair once; 0 of the others."""
    found = np.zeros(len(claims.pairs))
    asked = np.flatnonzero(hits(claims, OVERLAPS[0]))
    found[asked] = _once([claims.pairs[place] for place in asked.tolist()], meteor)
    return found


def _once(pairs: Sequence[Pair], meteor: MeteorFunction) -> list[float]:
    different = list(dict.fromkeys(pairs))
    values = dict(zip(different, meteor(different) if different else (), strict=True))
    return [values[pair] for pair in pairs]


def _share(right: Iterable[bool]) -> float:
    every = [*right]
    return sum(every) / len(every) if every else 0.0


def merge(regions: Sequence[Region]) -> Merged:
    """Regions that are one, as one: their mean box, and all their phrases.

    The region with most neighbours left takes them, the first of several; what its neighbours
    overlap further off is not among them.
    """
    boxes = np.array([region.box for region in regions], np.float64).reshape(-1, 4)
    near = iou(boxes, boxes) >= SAME
    np.fill_diagonal(near, True)  # an empty box too
    groups = []
    while near.any():
        group = near[near.sum(1).argmax()].copy()
        near[group] = near[:, group] = False
        groups.append(np.flatnonzero(group))
    return Merged(
        np.array([boxes[group].mean(0) for group in groups]).reshape(-1, 4),
        [tuple(regions[place].phrase for place in group.tolist()) for group in groups],
    )


def iou(boxes: Array, others: Array) -> Array:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4); 0 of empty ones."""
    return np.reshape(mask.iou(boxes, others, np.zeros(len(others))), (len(boxes), len(others)))


def claim(described: Described, merged: Merged, ranking: Ranking) -> Claims:
    """Who has which region of an image."""
    rank = getattr(described, ranking)
    if rank is None:
        raise ValueError(f"image {described.image_id} has no {ranking} to rank by")
    order = np.argsort(-rank, kind="stable")
    captions = [described.captions[place] for place in order]
    first = np.zeros(len(order), bool)
    if not merged.phrases:
        return Claims(rank[order], np.zeros(len(order)), first, [(one, ()) for one in captions])
    overlaps = iou(described.boxes[order], merged.boxes)
    nearest, overlap = overlaps.argmax(1), overlaps.max(1)
    tied = np.flatnonzero(overlap > 0)
    first[tied[np.unique(nearest[tied], return_index=True)[1]]] = True
    said = [(one, merged.phrases[at]) for one, at in zip(captions, nearest, strict=True)]
    return Claims(rank[order], overlap, first, said)


def _pooled(each: Sequence[Claims]) -> Claims:
    """The claims of all images, in falling rank."""
    if not each:
        return Claims(np.zeros(0), np.zeros(0), np.zeros(0, bool), [])
    rank, overlap, first = (np.concatenate([one[at] for one in each]) for at in range(3))
    every = Claims(rank, overlap, first.astype(bool), [pair for one in each for pair in one.pairs])
    return every.take(np.argsort(-every.rank, kind="stable"))


def average_precision(hits: NDArray[np.bool_], wanted: int) -> float:
    """The mean, over 100 levels of recall, of the best precision at that recall or above.

    Args:
        hits: of predictions in falling rank.
        wanted: how many there are to find, 1 or more.
    """
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    needed = -(-np.arange(LEVELS) * wanted // LEVELS)  # recall in whole hits: no rounding
    return float(np.append(best, 0.0)[np.searchsorted(found, needed)].mean())


def exactly(caption: str, references: Sequence[str]) -> bool:
    """Whether a caption is one of the references, but for case and punctuation."""
    return tokenize(caption) in map(tokenize, references)


# Given boxes


def evaluate_given(
    predictions: Mapping[str, Described],
    references: Regions,
    meteor: MeteorFunction,
    *,
    ranking: Ranking = "log_probs",
) -> DenseScores:
    """Score captions of the regions' own boxes: of every one, in their order.

    Raises:
        ValueError: an image without predictions, or a box that is not the region's; and what
            `evaluate` says.
    """
    own = [_own(key, regions, predictions.get(key)) for key, regions in references.items()]
    pairs = [pair for image in own for pair in image]
    scores = evaluate(predictions, references, meteor, ranking=ranking)
    mean = float(np.mean(_once(pairs, meteor)))
    return replace(scores, METEOR=mean, exact=_share(exactly(*pair) for pair in pairs), found=1.0)


def _own(key: str, regions: Sequence[Region], said: Described | None) -> list[Pair]:
    """What is said of each region, and its phrase."""
    boxes = np.array([region.box for region in regions], np.float64).reshape(-1, 4)
    same = said is not None and said.boxes.shape == boxes.shape
    if not (said and same and (np.abs(said.boxes - boxes) <= GIVEN).all()):
        raise ValueError(f"the boxes of image {key} are not those of its {len(boxes)} regions")
    return [(one, (region.phrase,)) for one, region in zip(said.captions, regions, strict=True)]
