"""YOLOX through onnxruntime: the ONNX files that its authors publish and their tool exports.

Source: Ge et al., "YOLOX: Exceeding YOLO Series in 2021"; Megvii-BaseDetection/YOLOX,
tools/export_onnx.py, yolox/data/data_augment.py (preproc) and yolox/utils/boxes.py (postprocess).
The network reads BGR, 0..255, the picture at the top left of a square whose rest is 114. A box's
score is objectness times its best category's; each box has that one category.

Outputs of exports with ``--decode_in_inference`` are boxes, those of others offsets from a grid.
Which it is is seen by running the network once on an empty square: centres of boxes lie near their
own cells of the grid, offsets are small numbers.

Dimensions: B batch, S side of the square, N boxes (all cells of all grids), K categories.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snakecap.detectors.detector import Detector
from snakecap.formats.pictures import Picture
from snakecap.log import logger
from snakecap.objects.boxes import Array, Detections, Frame, clip, letterbox, suppress
from snakecap.objects.categories import NAMES, canonical

STRIDES = ((8, 16, 32), (8, 16, 32, 64))  # the second: networks for 1280 pixels, "P6"
GREY = 114
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}  # of what a network reads
LARGEST = 20.0  # a size's logarithm above this is no box in any picture, and exp could overflow


class YOLOX(Detector):
    """A network that finds objects in squares of the size that its file says.

    On a CPU, pictures are looked at side by side, each by one thread: faster than several threads
    for one picture, and its numbers do not depend on its batch at all.

    Attributes:
        single: the file's batch is fixed at one picture.
    """

    reads_images = True
    uses = "file"

    def __init__(
        self,
        *,
        file: Path,
        min_score: float,
        overlap: float,
        limit: int,
        place: torch.device,
        names: tuple[str, ...] = (),
    ):
        """Load a network.

        Args:
            place: CUDA needs an onnxruntime that was built with it, else the CPU is used.
            names: of the categories, in the order of the network's training; empty: COCO's 80.

        Raises:
            FileNotFoundError: no such file.
            ValueError: it is not a YOLOX export, or has another number of categories.
        """
        self.categories = tuple(map(canonical, names)) or NAMES
        if len(set(self.categories)) < len(self.categories):
            raise ValueError(f"yolox: `names` has a category twice: {sorted(self.categories)}")
        self.min_score, self.overlap, self.limit = min_score, overlap, limit
        self.file, self.threads = file, torch.get_num_threads()
        self.session, self.device = _session(file, place)
        batch, self.size = _input(self.session, file)
        self.single = batch == 1
        blank = self._run(np.full((1, 3, self.size, self.size), GREY, np.uint8))
        self.centres, self.strides = _grid(blank, self.size, len(self.categories), file)
        centres = blank[0, :, :2]  # pixels, or offsets: see the top of the file
        in_cells = np.abs(centres / self.strides - self.centres).mean()
        self.decoded = bool(in_cells < np.abs(centres).mean())

    def detect(
        self, pictures: Sequence[Picture], images: Sequence[NDArray[np.uint8]]
    ) -> list[Detections]:
        """The objects of each picture, in the order of the grids, their rows and columns."""
        if self.device == "cpu" or self.single:
            with ThreadPoolExecutor(self.threads) as pool:
                return [one for (one,) in pool.map(lambda image: self._look([image]), images)]
        return self._look(images)

    def _look(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """The objects of pictures that run through the network together."""
        boxed = [letterbox(image, self.size, value=GREY, centred=False) for image in images]
        outputs = self._run(np.stack([square for square, _ in boxed]))
        return [
            self._objects(row, frame, image)
            for row, (_, frame), image in zip(outputs, boxed, images, strict=True)
        ]

    def _run(self, squares: NDArray[np.uint8]) -> Array:
        """The network's output (B, N, 5 + K) for RGB squares (B, 3, S, S)."""
        reads = self.session.get_inputs()[0]
        pixels = np.ascontiguousarray(squares[:, ::-1], TYPES[reads.type])
        output: Array = self.session.run(None, {reads.name: pixels})[0].astype(np.float32)
        if not np.isfinite(output).all():
            raise ValueError(f"{self.file} gives numbers that are not finite: it is damaged")
        return output

    def _boxes(self, rows: Array, places: NDArray[np.int64]) -> Array:
        """Boxes (M, 4) in pixels of the square, from the rows (M, 5 + K) at some places."""
        if self.decoded:
            middle, size = rows[:, :2], rows[:, 2:4]
        else:
            middle = (rows[:, :2] + self.centres[places]) * self.strides[places]
            size = np.exp(np.minimum(rows[:, 2:4], LARGEST)) * self.strides[places]
        return np.concatenate([middle - size / 2, size], 1)

    def _objects(self, row: Array, frame: Frame, image: NDArray[np.uint8]) -> Detections:
        scores = row[:, 5:].max(1) * row[:, 4]
        sure = np.flatnonzero(scores >= self.min_score)
        boxes = self._boxes(row[sure], sure)
        found = Detections(boxes, row[sure, 5:].argmax(1), scores[sure])
        found = suppress(found, overlap=self.overlap, limit=self.limit)
        inside = clip(frame.out(found.boxes), image.shape[2], image.shape[1])
        found = Detections(inside, found.categories, found.scores.clip(0, 1))
        return found.take(np.flatnonzero(inside[:, 2:].min(1) > 0))


def _session(file: Path, place: torch.device) -> tuple[Any, str]:
    """An onnxruntime session, and the device that it runs on."""
    import onnxruntime

    if not file.is_file():
        raise FileNotFoundError(f"no network at {file}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # see YOLOX
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3  # errors
    try:
        session = onnxruntime.InferenceSession(file, options, providers=_providers(place))
    except Exception as error:  # its own classes share no other base
        raise ValueError(f"{file} is not a network that onnxruntime can run: {error}") from None
    on_gpu = "CUDAExecutionProvider" in session.get_providers()
    if place.type == "cuda" and not on_gpu:
        logger.warning(
            "YOLOX runs on the CPU: this onnxruntime cannot use CUDA; for a GPU, install "
            "onnxruntime-gpu instead of onnxruntime"
        )
    return session, "cuda" if on_gpu else "cpu"


def _providers(place: torch.device) -> list[Any]:
    import onnxruntime

    if place.type != "cuda" or "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return ["CPUExecutionProvider"]
    onnxruntime.preload_dlls()  # CUDA's libraries, from where torch has them
    # HEURISTIC: trying all algorithms would choose by their time, another one each run.
    cuda = {"device_id": place.index or 0, "cudnn_conv_algo_search": "HEURISTIC"}
    return [("CUDAExecutionProvider", cuda), "CPUExecutionProvider"]


def _input(session: Any, file: Path) -> tuple[int | None, int]:
    """The size of a batch, None when it is free, and S."""
    shape, kind = session.get_inputs()[0].shape, session.get_inputs()[0].type
    if kind not in TYPES:
        raise ValueError(f"{file} reads a {kind}: give an export that reads {' or '.join(TYPES)}")
    batch, *rest = shape or [None]
    size = rest[-1] if rest else None
    free = not isinstance(batch, int)
    if isinstance(size, int) and rest == [3, size, size] and (free or batch == 1):
        return (None if free else 1), size
    raise ValueError(
        f"{file} reads {shape}: a YOLOX export reads [batch, 3, S, S], with S fixed and a batch "
        "that is free or 1"
    )


def _grid(output: Array, size: int, categories: int, file: Path) -> tuple[Array, Array]:
    """The cells' places (N, 2), x first, and strides (N, 1), of the grids that give N boxes."""
    shape = output.shape
    for strides in STRIDES:
        sides = [size // stride for stride in strides]
        if len(shape) == 3 and shape[1] == sum(side * side for side in sides):
            break
    else:
        raise ValueError(f"{file} gives {list(shape)}: not the boxes of a YOLOX for {size} pixels")
    if shape[2] != 5 + categories:
        raise ValueError(
            f"{file} knows {shape[2] - 5} categories, and {categories} have names: give the "
            "detector's option `names`, in the order of its training"
        )
    cells = [np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1).reshape(-1, 2) for n in sides]
    lengths = np.repeat(strides, [len(some) for some in cells])
    return np.concatenate(cells).astype(np.float32), lengths[:, None].astype(np.float32)
