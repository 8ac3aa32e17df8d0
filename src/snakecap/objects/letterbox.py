"""An image in a detector's square, its aspect ratio kept.

Source: darknet/src/image.c letterbox_image (Redmon, YOLOv2) when centred; YOLOX (Ge et al., 2021),
which pads right and below, when not.

Dimensions: H and W of an image, S side of the square.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from snakecap.objects.boxes import Frame, fitted


def letterbox(
    image: NDArray[np.uint8], size: int, *, value: int = 128, centred: bool = True
) -> tuple[NDArray[np.uint8], Frame]:
    """An image in a square, its aspect ratio kept.

    Args:
        image: uint8 of shape (3, H, W).
        size: S.
        value: of the padding.
        centred: pad on both sides (darknet); false: right and below (YOLOX).

    Returns:
        uint8 of shape (3, S, S), and where the image lies in it.
    """
    height, width = image.shape[1:]
    frame = Frame.around(width, height, size, centred=centred)
    inner = fitted(width, height, size)[::-1]
    square = np.full((3, size, size), value, np.uint8)
    left, top = int(frame.left), int(frame.top)
    resized = image
    if inner != (height, width):
        # On bytes: the kernel for floats differs with the number of threads, in the last digit.
        tensor = torch.from_numpy(image).unsqueeze(0)
        resized = F.interpolate(tensor, inner, mode="bilinear")[0].numpy()
    square[:, top : top + inner[0], left : left + inner[1]] = resized
    return square, frame
