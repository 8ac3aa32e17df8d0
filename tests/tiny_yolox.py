"""A network in YOLOX's format whose answers can be told by hand.

It reads squares of 64 pixels. For each cell of the grids of stride 8, 16 and 32, its class scores
are the cell's mean blue, green and red (the network's order is BGR), its objectness is the largest
of them, and its box is the cell, grown by half around its centre.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE, STRIDES, NAMES = 64, (8, 16, 32), ("blue", "green", "red")
BOXES = sum((SIZE // stride) ** 2 for stride in STRIDES)


def save(path, *, decoded=False, batch="batch", size=SIZE, strides=STRIDES, kind=TensorProto.FLOAT):
    """Write the .onnx; `decoded` as YOLOX's --decode_in_inference."""
    nodes, arrays = [], {"white": np.float32(255), "half": np.float32([0.5])}
    arrays |= {"wide": np.float32([np.log(1.5)]), "flat": np.int64([0, 8, -1])}
    for stride in strides:
        nodes += [
            node("AveragePool", "images", f"mean{stride}", kernel_shape=[stride] * 2,
                 strides=[stride] * 2),
            node("Div", f"mean{stride} white", f"classes{stride}"),
            node("ReduceMax", f"classes{stride}", f"objectness{stride}", axes=[1], keepdims=1),
            node("Mul", f"objectness{stride} none", f"zeros{stride}"),
            node("Add", f"zeros{stride} half", f"centre{stride}"),
            node("Add", f"zeros{stride} wide", f"size{stride}"),
            node("Concat", " ".join(f"{name}{stride}" for name in
                 ("centre", "centre", "size", "size", "objectness", "classes")),
                 f"all{stride}", axis=1),
            node("Reshape", f"all{stride} flat", f"rows{stride}"),
        ]  # fmt: skip
    arrays["none"] = np.float32([0])
    nodes += [node("Concat", " ".join(f"rows{s}" for s in strides), "columns", axis=2)]
    nodes += [node("Transpose", "columns", "decode" if decoded else "output", perm=[0, 2, 1])]
    if decoded:
        cells, lengths = grid(size, strides)
        arrays |= {"cells": cells[None], "lengths": lengths[None]}
        nodes += [
            node("Split", "decode", "xy wh rest", axis=2, split=[2, 2, 4]),
            node("Add", "xy cells", "moved"),
            node("Mul", "moved lengths", "middle"),
            node("Exp", "wh", "larger"),
            node("Mul", "larger lengths", "sides"),
            node("Concat", "middle sides rest", "output", axis=2),
        ]
    write(path, nodes, arrays, [batch, 3, size, size], kind=kind)


def write(path, nodes, arrays, shape, output=("batch", None, None), kind=TensorProto.FLOAT):
    """Write a network that reads `kind` and computes in float32."""
    cast = node("Cast", "input", "images", to=TensorProto.FLOAT)
    graph = helper.make_graph(
        [cast, *nodes],
        "tiny",
        [helper.make_tensor_value_info("input", kind, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 11)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def grid(size, strides):
    """Cells (N, 2), x first, and their strides (N, 1), cell by cell."""
    rows = [(x, y, s) for s in strides for y in range(size // s) for x in range(size // s)]
    table = np.array(rows, np.float32)
    return table[:, :2], table[:, 2:]
