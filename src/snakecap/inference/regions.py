"""The regions that a dense captioner finds in pictures, and what it says of them.

Source: densecap's DenseCapModel (forward_test). Known deviations: suppression comes before the
language model, which it does not depend on, so that captions are searched for a tenth of the
regions with the same result; last boxes are cut to the picture.

Dimensions: B pictures, R regions of each, N regions of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import batched_nms, box_convert

from snakecap import registry
from snakecap.config.dense import Describing
from snakecap.formats.dense import Described
from snakecap.formats.pictures import Picture
from snakecap.models.captioner import stepper
from snakecap.models.dense import boxes as geometry
from snakecap.models.dense.dense_captioner import DenseCaptioner, Inputs, Seen
from snakecap.models.dense.proposals import choose, padded
from snakecap.models.encoded import Encoded, Selectable
from snakecap.search.hypothesis import END, NONE, Constraints, Hypothesis


@dataclass(frozen=True)
class Found(Selectable):
    """Regions of several pictures, picture by picture, the surest of each first."""

    owners: Tensor  # each region's picture, (N,)
    boxes: Tensor  # in pixels of the network's image, (N, 4)
    logits: Tensor  # of being something, (N,)
    codes: Tensor  # what the decoder's first input is made of, (N, F)
    encoded: Encoded


def find(model: DenseCaptioner, inputs: Inputs, settings: Describing) -> Found:
    """Propose regions, look at each again, and keep those that are not seen twice."""
    seen = model.see(inputs)
    proposed = choose(
        model.proposals(seen.map),
        seen.sizes,
        overlap=settings.proposal_overlap,
        limit=settings.proposals,
    )
    found, transforms = _recognised(model, seen, proposed)
    sizes = seen.sizes[found.owners]
    moved = geometry.clip(geometry.apply(found.boxes, transforms), sizes)
    sure = geometry.exists(moved) & (found.logits.sigmoid() >= settings.min_score)
    there = sure.nonzero().squeeze(1)
    kept = batched_nms(moved[there], found.logits[there], found.owners[there], settings.overlap)
    kept = there[kept]
    kept = kept[found.owners[kept].sort(stable=True).indices]
    return found_in(found, moved, kept)


def found_in(found: Found, boxes: Tensor, kept: Tensor) -> Found:
    """Some of the regions, with better boxes."""
    chosen = found.select(kept)
    return Found(chosen.owners, boxes[kept], chosen.logits, chosen.codes, chosen.encoded)


def recognise(model: DenseCaptioner, inputs: Inputs, boxes: Sequence[Tensor]) -> Found:
    """The regions that are given, boxes (R, 4) of each picture, as they are and in their order."""
    return _recognised(model, model.see(inputs), boxes)[0]


def _recognised(model: DenseCaptioner, seen: Seen, boxes: Sequence[Tensor]) -> tuple[Found, Tensor]:
    """The regions in these boxes, and the transforms (N, 4) to better ones."""
    rows, there = padded(boxes)
    owners = there.nonzero()[:, 0]
    pooled = model.pool(seen, rows)[there]
    codes, logits, transforms = model.recognition(pooled)
    codes = model.in_context(seen, codes, owners)
    encoded = model.encoder(codes, pooled)
    return Found(owners, rows[there], logits, codes, encoded), transforms


def captions(
    model: DenseCaptioner, encoded: Encoded, settings: Describing, constraints: Constraints = NONE
) -> list[Hypothesis]:
    """The best caption of each region: a search over all of them at once."""
    memory = model.decoder.prepare(encoded)
    step, state = stepper(model.decoder, memory), model.decoder.start(memory)
    search = registry.load("search", settings.method)
    number = len(encoded.summary)
    found = search(step, state, settings, number, constraints) if number else []
    return [best[0] for best in found]


def likelihood(model: DenseCaptioner, encoded: Encoded, words: Sequence[int]) -> Tensor:
    """The log-probability of a caption of these words, END included, for each region: (N,)."""
    number, place = len(encoded.summary), encoded.summary.device
    said = torch.tensor([*words, END], device=place).expand(number, -1)
    log_probs = model.decoder(model.decoder.prepare(encoded), said[:, :-1])
    total: Tensor = log_probs.float().gather(2, said.unsqueeze(2)).sum((1, 2))
    return total


def described(
    pictures: Sequence[Picture],
    sizes: Tensor,
    found: Found,
    said: Sequence[str],
    log_probs: Sequence[float] | None = None,
) -> list[Described]:
    """The regions of pictures in pixels of the originals.

    Args:
        pictures: their records, which say how large they are.
        sizes: widths and heights of them in the network's image, (B, 2).
        said: N captions.
        log_probs: of the captions.
    """
    boxes = box_convert(found.boxes, "xyxy", "xywh").double().cpu().numpy()
    logits, owners = found.logits.double().cpu().numpy(), found.owners.cpu().numpy()
    results = []
    for at, (picture, size) in enumerate(zip(pictures, sizes.tolist(), strict=True)):
        own = np.flatnonzero(owners == at).tolist()
        scales = np.array([picture.width / size[0], picture.height / size[1]] * 2)
        chances = None if log_probs is None else np.array([log_probs[place] for place in own])
        results.append(
            Described(
                picture.id,
                boxes[own] * scales,
                1 / (1 + np.exp(-logits[own])),
                tuple(said[place] for place in own),
                logits[own],
                chances,
                picture.file,
                picture.width,
                picture.height,
            )
        )
    return results
