"""YOLOv2's region loss: boxes, objectness and categories of every predictor of the grid.

Source: Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger" (CVPR 2017), section 2;
darknet/src/region_layer.c. An object belongs to the cell that holds its centre, and there to the
anchor whose shape overlaps it most. With s the sigmoid, the loss of one picture is the sum of

    coordinates  1/2 c (2 - w h) [(tx - s(x))^2 + (ty - s(y))^2 + (tw - w')^2 + (th - h')^2]
                 over objects, tx and ty in the cell, tw = log(w G / anchor width);
    objectness   1/2 o (t - s(o'))^2 over objects, t the IoU of predicted and true box, held fixed
                 (1 when rescore is 0), and 1/2 n s(o')^2 over all predictors without an object
                 whose box overlaps every object by at most `thresh`;
    categories   - k log softmax(true category) over objects;

and a batch's loss is the mean over its pictures. The gradients are darknet's, as a test says.

Known deviations: darknet draws all predictors to their anchors over its first 12,800 pictures; here
the network starts there (`snakecap.detectors.yolov2.fresh`). It reads at most 30 objects a picture;
here all count. Darknet's printed cost is the sum of squared gradients, not this loss.

Dimensions: B pictures, N objects of all pictures, M of the fullest, A anchors, K categories, G side
of the grid, P = A G G predictors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Truths = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Scales:
    """The weights of the loss, named as in the region section of a ``.cfg``, with yolov2.cfg's."""

    object_scale: float = 5.0
    noobject_scale: float = 1.0
    class_scale: float = 1.0
    coord_scale: float = 1.0
    thresh: float = 0.6
    rescore: float = 1.0


def region_loss(
    raw: Tensor, predicted: Tensor, anchors: Tensor, truths: Truths, scales: Scales = Scales()
) -> dict[str, Tensor]:
    """The three parts of the loss.

    Args:
        raw: what the region layer reads, of shape (B, A, 5 + K, G, G).
        predicted: the boxes that `raw` means, [left, top, width, height] in 0..1 of the image, of
            shape (B, A, G, G, 4).
        anchors: in cells, of shape (A, 2).
        truths: of N objects the picture's place in the batch (N,), the box [left, top, width,
            height] in 0..1 of the image (N, 4), positive and its centre inside, and the category
            (N,). When two objects have one cell and anchor, the later counts, as in darknet.

    Returns:
        ``coordinates``, ``objectness`` and ``categories``.
    """
    pictures, number, entries, grid = *raw.shape[:3], raw.shape[-1]
    owners, boxes, _ = truths
    places = assigned(boxes, owners, anchors, number * grid**2, grid)
    winners = last_of_each(places, pictures * number * grid**2)
    owners, boxes, categories = (each[winners] for each in truths)
    rows = raw.permute(0, 1, 3, 4, 2).reshape(-1, entries)
    found = rows[places[winners]]
    held = predicted.detach()
    target = held.new_zeros(len(rows))
    weight = unmatched(held.flatten(1, 3), truths, scales.thresh).flatten() * scales.noobject_scale
    overlap = iou(held.reshape(-1, 4)[places[winners]], boxes)
    target[places[winners]] = overlap if scales.rescore else torch.ones_like(overlap)
    weight[places[winners]] = scales.object_scale
    objectness = (weight * (target - rows[:, 4].sigmoid()).square()).sum() / 2
    small = scales.coord_scale * (2 - boxes[:, 2] * boxes[:, 3])
    distance = coordinates(found[:, :4], boxes, anchors[places[winners] // grid**2 % number], grid)
    category = F.cross_entropy(found[:, 5:], categories, reduction="sum")
    return {
        "coordinates": (small * distance).sum() / 2 / pictures,
        "objectness": objectness / pictures,
        "categories": scales.class_scale * category / pictures,
    }


def assigned(boxes: Tensor, owners: Tensor, anchors: Tensor, predictors: int, grid: int) -> Tensor:
    """Each object's predictor, of shape (N,): picture * P + (anchor * G + row) * G + column."""
    cells = ((boxes[:, :2] + boxes[:, 2:] / 2) * grid).long().clamp(0, grid - 1)
    shapes = boxes[:, None, 2:] * grid
    shared = torch.minimum(shapes, anchors).prod(-1)
    overlap = shared / (shapes.prod(-1) + anchors.prod(-1) - shared)
    place = (overlap.argmax(1) * grid + cells[:, 1]) * grid + cells[:, 0]
    return owners * predictors + place


def last_of_each(places: Tensor, number: int) -> Tensor:
    """Which objects no later one replaces, ascending; `places` lie in 0..`number`."""
    order = torch.arange(len(places), device=places.device)
    last = torch.full((number,), -1, device=places.device)
    last.scatter_reduce_(0, places, order, "amax")
    return order[last[places] == order]


def unmatched(predicted: Tensor, truths: Truths, thresh: float) -> Tensor:
    """1 where a box (B, P, 4) overlaps no object of its picture by more than `thresh`, else 0."""
    owners, boxes, _ = truths
    counts = torch.bincount(owners, minlength=len(predicted))
    if not len(boxes):
        return predicted.new_ones(predicted.shape[:2])
    order = owners.argsort(stable=True)
    starts = counts.cumsum(0) - counts
    within = torch.arange(len(boxes), device=boxes.device) - starts[owners[order]]
    padded = boxes.new_zeros(len(predicted), int(counts.max()), 4)
    padded[owners[order], within] = boxes[order]
    best = iou(predicted[:, :, None], padded[:, None]).amax(2)
    return (best <= thresh).to(predicted.dtype)


def iou(boxes: Tensor, others: Tensor) -> Tensor:
    """The IoU of boxes [left, top, width, height], of shapes that broadcast; 0 for two empty."""
    first = torch.maximum(boxes[..., :2], others[..., :2])
    last = torch.minimum(boxes[..., :2] + boxes[..., 2:], others[..., :2] + others[..., 2:])
    shared = (last - first).clamp(min=0).prod(-1)
    union = boxes[..., 2:].prod(-1) + others[..., 2:].prod(-1) - shared
    return shared / union.clamp(min=torch.finfo(union.dtype).tiny)


def coordinates(found: Tensor, boxes: Tensor, anchors: Tensor, grid: int) -> Tensor:
    """The squared distance of each object's box, of shape (N,).

    Args:
        found: x, y, width and height before their activations, of shape (N, 4).
        boxes: the true ones.
        anchors: each object's, of shape (N, 2).
    """
    centres = (boxes[:, :2] + boxes[:, 2:] / 2) * grid
    offsets = centres - centres.floor()
    sizes = (boxes[:, 2:] * grid / anchors).log()
    near = (offsets - found[:, :2].sigmoid()).square().sum(1)
    return near + (sizes - found[:, 2:]).square().sum(1)
