"""Detection as a task: a YOLOv2 network that learns from a data set's own boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from snakecap.config.detection import Detector
from snakecap.detectors.darknet_network import Network
from snakecap.detectors.yolov2 import Limits, decode, found_in
from snakecap.distributed.process_group import ProcessGroup
from snakecap.inputs.batches import Batch, MicroBatch, split
from snakecap.inputs.detection import Augmentation, DetectionBatches, Examples, Truths
from snakecap.metrics.detection import average_precision
from snakecap.objectives.yolov2 import Scales, region_loss
from snakecap.objects.boxes import Detections
from snakecap.training.optimisers import Group, make_group
from snakecap.training.task import Validation


class DetectionTask:
    """A network, its batches, and how good it is on the same pictures each time.

    Args:
        held_out: those that judge.
        settings: a row of `detectors` that has `training`.
        processes: train together; rank 0 alone judges.
    """

    unit, title = "pictures", "train detector"

    def __init__(
        self,
        network: Network,
        examples: Examples,
        held_out: Examples,
        settings: Detector,
        place: torch.device,
        processes: ProcessGroup = ProcessGroup(),
    ):
        training = settings.training
        assert training is not None, "a row without training trains nothing"
        self.model, self.held_out, self.settings = network, held_out, settings
        self.place, self.processes, self.accumulate = place, processes, training.accumulate
        augmentation = Augmentation(training.flip, training.shift, training.colour)
        self.batches = DetectionBatches(
            examples, augmentation, place, batch_size=training.batch_size, seed=training.seed
        )
        self.epoch_length = self.batches.sampler.epoch_length
        self.every_group = [make_group(list(network.named_parameters()), training.optimiser)]
        numbers = {f.name: network.region.numbers(f.name) for f in fields(Scales)}
        self.scales = Scales(**{name: value[0] for name, value in numbers.items() if value})
        self.limits = Limits(settings.min_score, settings.overlap, settings.limit)

    def parts(self, iteration: int) -> Sequence[MicroBatch[Truths]]:
        whole = self.batches(iteration)
        slices = split(len(whole.rows), self.accumulate, self.processes)
        return [_part(whole, part, times) for part, times in slices]

    def groups(self, iteration: int) -> list[Group]:
        if not self.model.training:
            self.model.train()
        return self.every_group

    def loss(self, batch: Batch[Truths], iteration: int) -> Mapping[str, Tensor]:
        return self.losses(self.model(batch.inputs["pictures"]["images"]), batch.targets)

    def losses(self, raw: Tensor, truths: Truths) -> dict[str, Tensor]:
        anchors = self.model.anchors
        return region_loss(raw, decode(raw, anchors), anchors, truths, self.scales)

    @torch.inference_mode()
    def validate(self) -> Validation | None:
        """No random number is drawn."""
        if not self.processes.is_rank_0:
            return None
        network, squares = self.model.eval(), self.held_out.squares
        found: list[Detections] = []
        total, size = 0.0, self.settings.batch_size
        for start in range(0, len(squares.pictures), size):
            rows = range(start, min(start + size, len(squares.pictures)))
            images, truths = self.held_out.batch(rows, self.place)
            raw = network(images)
            total += len(rows) * sum(map(float, self.losses(raw, truths).values()))
            sizes = [squares.sizes[row] for row in rows]
            found += found_in(raw, network.anchors, sizes, squares.size, self.limits)
        truth = self.held_out.truth()
        seen = dict(zip(truth, found, strict=True))
        scores = average_precision(truth, seen, categories=network.categories)
        return Validation(total / len(found), scores, [], "AP")

    def header(self) -> dict[str, Any]:
        """What it is called with is the step's to say."""
        return {}


def _part(whole: Batch[Truths], part: slice, times: int) -> MicroBatch[Truths]:
    """Some pictures of a batch, computed `times` times; the loss is a mean over pictures."""
    images, (owners, boxes, categories) = whole.inputs["pictures"]["images"], whole.targets
    chosen = (owners >= part.start) & (owners < part.stop)
    truths = owners[chosen] - part.start, boxes[chosen], categories[chosen]
    batch = Batch(whole.rows[part], {"pictures": {"images": images[part]}}, truths)
    return MicroBatch(batch, (part.stop - part.start) / len(images) / times, len(images))
