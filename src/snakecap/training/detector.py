"""A detector that learns: its loss, and how good it is on the validation split."""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor

from snakecap.config.detection import Detector
from snakecap.detectors.darknet_network import Network
from snakecap.detectors.yolov2 import Limits, decode, found_in
from snakecap.distributed.process_group import ProcessGroup
from snakecap.inputs.augmentation import Truths
from snakecap.inputs.detection import Examples
from snakecap.metrics.detection import average_precision
from snakecap.objectives.yolov2 import Scales, region_loss
from snakecap.objects.boxes import Detections
from snakecap.training.lesson import Validation

Batch = tuple[Tensor, Truths]


class Learner:
    """A network and its loss."""

    def __init__(self, network: Network):
        self.network = network
        scales = {f.name: network.region.numbers(f.name) for f in fields(Scales)}
        self.scales = Scales(**{name: value[0] for name, value in scales.items() if value})

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The parts of a batch's loss."""
        return self.losses(self.network(batch[0]), batch[1])

    def losses(self, raw: Tensor, truths: Truths) -> dict[str, Tensor]:
        """The parts of the loss, given the network's output."""
        anchors = self.network.anchors
        return region_loss(raw, decode(raw, anchors), anchors, truths, self.scales)


class Judge:
    """Average precision and loss of a network, always on the same pictures."""

    def __init__(
        self,
        learner: Learner,
        examples: Examples,
        settings: Detector,
        place: torch.device,
        processes: ProcessGroup,
    ):
        self.learner, self.examples, self.place, self.processes = (
            learner,
            examples,
            place,
            processes,
        )
        self.limits = Limits(settings.min_score, settings.overlap, settings.limit)
        rows = range(len(examples.squares.pictures))
        size = settings.batch_size
        self.batches = [rows[start : start + size] for start in range(0, len(rows), size)]

    @torch.inference_mode()
    def __call__(self) -> Validation | None:
        """Evaluate the network as it is; no random number is drawn. Only the leader does."""
        if not self.processes.is_rank_0:
            return None
        network, squares = self.learner.network.eval(), self.examples.squares
        found: list[Detections] = []
        total = 0.0
        for rows in self.batches:
            images, truths = self.examples.batch(rows, self.place)
            raw = network(images)
            total += len(rows) * sum(map(float, self.learner.losses(raw, truths).values()))
            sizes = [squares.sizes[row] for row in rows]
            found += found_in(raw, network.anchors, sizes, squares.size, self.limits)
        truth = self.examples.truth()
        seen = dict(zip(truth, found, strict=True))
        scores = average_precision(truth, seen, categories=network.categories)
        return Validation(total / len(found), scores, [], "AP")
