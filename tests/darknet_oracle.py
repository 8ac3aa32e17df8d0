"""Darknet's formulas in plain loops, written from its C code and sharing nothing with ours."""

import math
import struct

import numpy as np
import torch
from torch.nn import functional as F

# A YOLOv2 in small: a passage of an early layer around the last pools, joined after a reorg.
PASSAGE = """
[net]
# comments are dropped
batch = 1
width=64
height=64
channels=3

[convolutional]
batch_normalize=1
filters=4
size=3
stride=1
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
batch_normalize=1
filters=8
size=3
stride=1
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
batch_normalize=1
size=3
stride=1
pad=1
filters=6
activation=leaky

#######

[route]
layers=-3

[convolutional]
batch_normalize=1
size=1
stride=1
pad=1
filters=4
activation=leaky

[reorg]
stride=2

[route]
layers=-1,-4

[convolutional]
size=1
stride=1
pad=1
filters=FILTERS
activation=linear

[region]
anchors = 0.57273, 0.677385, 1.87446, 2.06253
bias_match=1
classes=CLASSES
coords=4
num=2
softmax=1
jitter=.2
rescore=1
thresh = .6
random=0
"""

# The tiny version: its last pool keeps the size.
TINY = """
[net]
width=32
height=32

[convolutional]
batch_normalize=1
filters=4
size=3
stride=1
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
batch_normalize=1
filters=6
size=3
stride=1
pad=1
activation=leaky

[maxpool]
size=2
stride=1

[convolutional]
size=1
stride=1
pad=1
filters=FILTERS
activation=linear

[region]
anchors=1.5,1.2, 3,4.5
classes=CLASSES
num=2
coords=4
softmax=1
"""


def text(template, classes):
    return template.replace("FILTERS", str(2 * (5 + classes))).replace("CLASSES", str(classes))


def convolutions(template, classes):
    """What a ``.weights`` file holds: (filters, channels, size, batch norm) of each convolution."""
    last = 2 * (5 + classes)
    if template is TINY:
        return [(4, 3, 3, True), (6, 4, 3, True), (last, 6, 1, False)]
    return [
        (4, 3, 3, True),
        (8, 4, 3, True),
        (6, 8, 3, True),
        (4, 8, 1, True),
        (last, 16 + 6, 1, False),
    ]


def random_weights(template, classes, seed=0):
    """Arrays of each convolution, in the file's order."""
    random = np.random.default_rng(seed)
    found = []
    for filters, channels, size, normalised in convolutions(template, classes):
        biases = random.normal(0, 0.3, filters)
        norm = [random.uniform(0.5, 1.5, filters), random.normal(0, 0.3, filters)]
        norm += [random.uniform(0.2, 2, filters)]
        weights = random.normal(0, 1 / math.sqrt(channels), (filters, channels, size, size))
        found.append([biases, *(norm if normalised else []), weights])
    return [[values.astype("<f4") for values in layer] for layer in found]


def weights_file(layers, major=0, minor=2, revision=0, seen=12):
    """The bytes of a ``.weights`` file."""
    wide = major * 10 + minor >= 2
    head = struct.pack("<iii", major, minor, revision) + struct.pack("<q" if wide else "<i", seen)
    return head + b"".join(values.tobytes() for layer in layers for values in layer)


def convolve(x, layer):
    biases, *norm, weights = (torch.from_numpy(values) for values in layer)
    x = F.conv2d(x, weights, padding=weights.shape[-1] // 2)
    if norm:
        scales, means, variances = (values[:, None, None] for values in norm)
        x = (x - means) / (variances + 1e-5).sqrt() * scales
    x = x + biases[:, None, None]
    return torch.where(x > 0, x, 0.1 * x) if norm else x


def halve(x):
    return torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]).amax(0)


def pool_in_place(x):
    """maxpool_layer.c with size 2 and stride 1: the window hangs over the right and the bottom."""
    result = x.clone()
    height, width = x.shape[2:]
    for i in range(height):
        for j in range(width):
            result[..., i, j] = x[..., i : i + 2, j : j + 2].amax((-1, -2))
    return result


def reorg(x, stride):
    """blas.c reorg_cpu with forward=0, as reorg_layer.c calls it, on flat memory."""
    batch, c, h, w = x.shape
    flat, out = x.flatten().tolist(), [0.0] * x.numel()
    out_c = c // (stride * stride)
    for b in range(batch):
        for k in range(c):
            for j in range(h):
                for i in range(w):
                    in_index = i + w * (j + h * (k + c * b))
                    c2, offset = k % out_c, k // out_c
                    w2, h2 = i * stride + offset % stride, j * stride + offset // stride
                    out_index = w2 + w * stride * (h2 + h * stride * (c2 + out_c * b))
                    out[in_index] = flat[out_index]
    return torch.tensor(out).reshape(batch, c * stride**2, h // stride, w // stride)


def forward(template, layers, x):
    """What the region layer reads, of shape (B, channels, G, G)."""
    if template is TINY:
        x = pool_in_place(convolve(halve(convolve(x, layers[0])), layers[1]))
        return convolve(x, layers[2])
    early = convolve(halve(convolve(x, layers[0])), layers[1])
    late = convolve(halve(early), layers[2])
    passed = reorg(convolve(early, layers[3]), 2)
    return convolve(torch.cat([passed, late], 1), layers[4])


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def predictions(raw, anchors, classes):
    """One picture's (centre and size in 0..1, objectness, probabilities), in darknet's order."""
    grid = raw.shape[-1]
    found = []
    for n, (width, height) in enumerate(anchors):
        for row in range(grid):
            for col in range(grid):
                entry = [float(raw[n * (5 + classes) + k, row, col]) for k in range(5 + classes)]
                box = ((col + sigmoid(entry[0])) / grid, (row + sigmoid(entry[1])) / grid)
                box += (math.exp(entry[2]) * width / grid, math.exp(entry[3]) * height / grid)
                powers = [math.exp(value - max(entry[5:])) for value in entry[5:]]
                total = sum(powers)
                found.append((box, sigmoid(entry[4]), [power / total for power in powers]))
    return found


def box_iou(a, b):
    """box.c, of boxes by centre and size."""

    def overlap(x1, w1, x2, w2):
        return min(x1 + w1 / 2, x2 + w2 / 2) - max(x1 - w1 / 2, x2 - w2 / 2)

    w, h = overlap(a[0], a[2], b[0], b[2]), overlap(a[1], a[3], b[1], b[3])
    shared = w * h if w > 0 and h > 0 else 0.0
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def detections(raw, anchors, classes, thresh, nms):
    """(place, category, score, box) of one picture: likeliest category, then greedy suppression."""
    found = []
    for place, (box, objectness, probabilities) in enumerate(predictions(raw, anchors, classes)):
        category = max(range(classes), key=probabilities.__getitem__)
        found.append((place, category, objectness * probabilities[category], box))
    left = sorted((f for f in found if f[2] >= thresh), key=lambda f: -f[2])
    kept = []
    for one in left:
        if all(one[1] != k[1] or box_iou(one[3], k[3]) <= nms for k in kept):
            kept.append(one)
    return sorted(kept)


def deltas(raw, anchors, classes, truths, *, thresh=0.6, rescore=True, scales=(5, 1, 1, 1)):
    """region_layer.c forward_region_layer: minus the gradient of one picture's loss by `raw`."""
    object_scale, noobject_scale, class_scale, coord_scale = scales
    grid, size = raw.shape[-1], 5 + classes
    seen = predictions(raw, anchors, classes)
    delta = np.zeros(raw.shape)

    def channel(place, k):
        n, rest = divmod(place, grid * grid)
        return n * size + k, *divmod(rest, grid)

    for place, (box, objectness, _) in enumerate(seen):
        best = max((box_iou(box, truth) for truth, _ in truths), default=0)
        slope = objectness * (1 - objectness)
        delta[channel(place, 4)] = 0 if best > thresh else noobject_scale * -objectness * slope
    for truth, category in truths:
        i, j = int(truth[0] * grid), int(truth[1] * grid)
        shapes = [box_iou((0, 0, w / grid, h / grid), (0, 0, *truth[2:])) for w, h in anchors]
        n = shapes.index(max(shapes))
        place = (n * grid + j) * grid + i
        box, objectness, probabilities = seen[place]
        scale = coord_scale * (2 - truth[2] * truth[3])
        entry = [float(raw[channel(place, k)]) for k in range(4)]
        for k, target in enumerate((truth[0] * grid - i, truth[1] * grid - j)):
            value = sigmoid(entry[k])
            delta[channel(place, k)] = scale * (target - value) * value * (1 - value)
        for k in (0, 1):
            target = math.log(truth[2 + k] * grid / anchors[n][k])
            delta[channel(place, 2 + k)] = scale * (target - entry[2 + k])
        slope = objectness * (1 - objectness)
        target = box_iou(box, truth) if rescore else 1
        delta[channel(place, 4)] = object_scale * (target - objectness) * slope
        for k in range(classes):
            one = 1 if k == category else 0
            delta[channel(place, 5 + k)] = class_scale * (one - probabilities[k])
    return delta
