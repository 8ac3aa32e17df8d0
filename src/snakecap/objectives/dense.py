"""DenseCap's five losses.

Of proposals and of regions, whether there is something and where; and what is said of regions.

Source: Johnson et al., "DenseCap" (CVPR 2016), 3.3; densecap's DenseCapModel (forward_backward),
LocalizationLayer and train_opts.lua, whose defaults these are. A caption's loss is the sum over its
words and END, not the mean. Each loss is the mean over the pictures of a batch, of which the
original has one. Known deviation: the decay of box transforms is in the total.

Dimensions: B pictures, A anchors, R = P + M regions drawn of each picture, Q positive ones of all,
G true regions of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from snakecap.inputs.batches import Batch
from snakecap.inputs.dense import RegionTargets
from snakecap.models.dense import boxes as geometry
from snakecap.models.dense.dense_captioner import DenseCaptioner, Seen
from snakecap.models.dense.proposals import Proposals
from snakecap.models.encoded import Encoded
from snakecap.objectives.cross_entropy import enforced, predicted
from snakecap.objectives.region_sampling import draw, match

FARTHEST = 10.0  # a transform with a larger number teaches nothing


class DenseObjective:
    """All five losses.

    Args:
        regions: R, drawn of each picture.
        high: IoU over which a proposal shows a region.
        low: IoU under which it shows nothing.
        inside: those that reach outside the picture are neither.
        proposal_objectness: weight of whether proposals show something.
        proposal_boxes: weight of their boxes.
        objectness: weight of whether regions show something.
        boxes: weight of their last boxes.
        caption: weight of what is said of them.
        box_decay: half of this times the square of every proposed transform.
    """

    def __init__(
        self,
        *,
        model: DenseCaptioner,
        regions: Annotated[int, Field(ge=2)] = 256,
        high: Annotated[float, Field(ge=0, le=1)] = 0.7,
        low: Annotated[float, Field(ge=0, le=1)] = 0.3,
        inside: bool = True,
        proposal_objectness: Annotated[float, Field(ge=0)] = 0.1,
        proposal_boxes: Annotated[float, Field(ge=0)] = 0.05,
        objectness: Annotated[float, Field(ge=0)] = 0.1,
        boxes: Annotated[float, Field(ge=0)] = 0.1,
        caption: Annotated[float, Field(ge=0)] = 1.0,
        box_decay: Annotated[float, Field(ge=0)] = 5e-5,
    ):
        self.model, self.number = model, regions
        self.high, self.low, self.inside = high, low, inside
        self.weights = {
            "proposal_objectness": proposal_objectness,
            "proposal_boxes": proposal_boxes,
            "objectness": objectness,
            "boxes": boxes,
            "caption": caption,
        }
        self.box_decay = box_decay

    def __call__(self, batch: Batch[RegionTargets], iteration: int) -> dict[str, Tensor]:
        """The weighted losses by name."""
        seen = self.model.see(batch.inputs)
        proposals: Proposals = self.model.proposals(seen.map)
        drawn = self.drawn(proposals, batch.targets, seen.sizes)
        found = proposed(proposals, drawn)
        found |= self._recognised(seen, proposals.boxes, drawn, batch.targets.words)
        decay = self.box_decay / 2 * proposals.transforms.square().sum() / len(seen.sizes)
        weighted = {name: weight * found[name] for name, weight in self.weights.items()}
        return {**weighted, "box_decay": decay}

    def drawn(self, proposals: Proposals, targets: RegionTargets, sizes: Tensor) -> Drawn:
        """Draw the regions of every picture."""
        boxes, offset, rows, positive, regions = proposals.boxes.detach(), 0, [], [], []
        for picture, size in enumerate(sizes):
            own = targets.boxes[targets.owners == picture]
            allowed = geometry.exists(boxes[picture])
            if self.inside:
                allowed = allowed & geometry.inside(boxes[picture], size)
            matched = match(boxes[picture], own, allowed, low=self.low, high=self.high)
            sample = draw(matched, self.number)
            rows.append(sample.rows)
            positive.append(torch.arange(len(sample.rows), device=own.device) < len(sample.regions))
            regions.append(sample.regions + offset)
            offset += len(own)
        chosen = torch.cat(regions)
        return Drawn(torch.stack(rows), torch.stack(positive), chosen, targets.boxes[chosen])

    def _recognised(
        self, seen: Seen, boxes: Tensor, drawn: Drawn, words: Tensor
    ) -> dict[str, Tensor]:
        """The losses of the regions, which are pooled from the boxes (B, A, 4) as proposed."""
        model, positive = self.model, drawn.positive
        boxes = boxes.gather(1, drawn.rows.unsqueeze(2).expand(-1, -1, 4))
        pooled = model.pool(seen, boxes)
        codes, scores, transforms = model.recognition(pooled.flatten(0, 1))
        chosen = positive.flatten()
        owners = positive.nonzero()[:, 0]
        codes = model.in_context(seen, codes[chosen], owners)
        encoded = model.encoder(codes, pooled[positive])
        labels = chosen.to(scores.dtype)
        return {
            "objectness": F.binary_cross_entropy_with_logits(scores, labels),
            "boxes": box_loss(transforms[chosen], boxes[positive], drawn),
            "caption": self._caption(encoded, words[drawn.regions], drawn.shares),
        }

    def _caption(self, encoded: Encoded, words: Tensor, shares: Tensor) -> Tensor:
        """Of positive regions, the sum over a caption's words and END."""
        if not len(words):
            return encoded.summary.sum()  # 0, with a gradient
        decoder = self.model.decoder
        memory = decoder.prepare(encoded)
        words, places, targets = enforced(words, encoded.summary.device)
        states = decoder.hidden(memory, words)
        each = predicted(decoder, states, places, targets, reduction="none")
        return (each * shares[places // states.shape[1]]).sum()


@dataclass(frozen=True)
class Drawn:
    """What a step looks at."""

    rows: Tensor  # places among the anchors, (B, R)
    positive: Tensor  # (B, R)
    regions: Tensor  # the true region of each positive one, (Q,)
    targets: Tensor  # its box, (Q, 4)

    @property
    def shares(self) -> Tensor:
        """Of each positive one, in a mean over those of its picture and then over pictures."""
        counts = self.positive.sum(1, keepdim=True).clamp(min=1)
        shares: Tensor = (self.positive / counts / len(self.positive))[self.positive]
        return shares


def proposed(proposals: Proposals, drawn: Drawn) -> dict[str, Tensor]:
    """The losses of the proposals: a mean over positives and one over negatives, and of boxes."""

    def taken(values: Tensor) -> Tensor:
        return values.gather(1, drawn.rows.unsqueeze(2).expand(-1, -1, values.shape[2]))

    scores, transforms = taken(proposals.scores), taken(proposals.transforms)
    surprise = -scores.log_softmax(-1)
    each = torch.where(drawn.positive, surprise[..., 0], surprise[..., 1])
    sides = [
        mask / mask.sum(1, keepdim=True).clamp(min=1) for mask in (drawn.positive, ~drawn.positive)
    ]
    anchors = proposals.anchors[drawn.rows]
    return {
        "proposal_objectness": (each * (sides[0] + sides[1])).sum() / len(each),
        "proposal_boxes": box_loss(transforms[drawn.positive], anchors[drawn.positive], drawn),
    }


def box_loss(transforms: Tensor, boxes: Tensor, drawn: Drawn) -> Tensor:
    """The smooth L1 distance, a mean over the four, of positive boxes (Q, 4) from their targets.

    Gradients reach the boxes too.
    """
    wanted = geometry.invert(boxes, drawn.targets)
    near = (wanted.detach().abs() <= FARTHEST).all(1, keepdim=True)
    zero = transforms.new_zeros(())
    distance = F.smooth_l1_loss(
        torch.where(near, transforms, zero), torch.where(near, wanted, zero), reduction="none"
    )
    return (distance.mean(1) * drawn.shares).sum()
