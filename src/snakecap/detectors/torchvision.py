"""torchvision's detection networks, by name.

With torchvision's own weights, which it fetches once into the torch home, or a local state dict of
the same network trained on COCO, whose 91 places are COCO's ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from snakecap.detectors.detector import Detector
from snakecap.formats import model as models
from snakecap.formats.pictures import Picture
from snakecap.objects.boxes import Detections, clip
from snakecap.objects.categories import COCO, NAMES

# The name of each place of a network; "" for background and the ids that COCO never used.
LABELS = [COCO.get(number, "") for number in range(91)]


class TorchvisionDetector(Detector):
    """A network of `torchvision.models.detection`; objects come best first, as it gives them.

    Pictures of one size are looked at together, others apart: the network would pad them, and what
    it sees at their edges would depend on their batch.
    """

    reads_images = True
    uses = "nothing"

    def __init__(
        self,
        *,
        file: Path | None,
        min_score: float,
        overlap: float,
        limit: int,
        place: torch.device,
        name: Literal[
            "fasterrcnn_mobilenet_v3_large_320_fpn",
            "fasterrcnn_mobilenet_v3_large_fpn",
            "fasterrcnn_resnet50_fpn",
            "fasterrcnn_resnet50_fpn_v2",
            "fcos_resnet50_fpn",
            "maskrcnn_resnet50_fpn",
            "maskrcnn_resnet50_fpn_v2",
            "retinanet_resnet50_fpn",
            "retinanet_resnet50_fpn_v2",
            "ssd300_vgg16",
            "ssdlite320_mobilenet_v3_large",
        ] = "fasterrcnn_resnet50_fpn",
    ):
        """Build the network with its weights.

        Args:
            file: a .pth, .pt or .safetensors state dict; None: torchvision's own weights.
            name: of the network.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file is not a state dict of that network.
            RuntimeError: torchvision's weights cannot be fetched.
        """
        from torchvision.models import get_model

        state, number = _published(name) if file is None else _state(file), len(LABELS)
        self.network = get_model(name, weights=None, weights_backbone=None, num_classes=number)
        models.fill(self.network, state, f"{name} from {file or 'torchvision'}")
        self.network.eval().to(place)
        self.place, self.min_score = place, min_score
        head: Any = getattr(self.network, "roi_heads", self.network)
        head.score_thresh, head.nms_thresh, head.detections_per_img = min_score, overlap, limit
        self.categories = NAMES
        self._places = np.array([NAMES.index(label) if label else -1 for label in LABELS])

    @torch.inference_mode()
    def detect(
        self, pictures: Sequence[Picture], images: Sequence[NDArray[np.uint8]]
    ) -> list[Detections]:
        alike: dict[tuple[int, ...], list[int]] = {}
        for number, image in enumerate(images):
            alike.setdefault(image.shape, []).append(number)
        found: dict[int, Detections] = {}
        for (_, height, width), numbers in alike.items():
            pixels = [torch.from_numpy(images[at]).to(self.place).float() / 255 for at in numbers]
            for at, output in zip(numbers, self.network(pixels), strict=True):
                found[at] = self._objects(output, width, height)
        return [found[at] for at in range(len(images))]

    def _objects(self, output: Mapping[str, torch.Tensor], width: int, height: int) -> Detections:
        edges = output["boxes"].cpu().numpy().astype(np.float32)
        boxes = clip(np.concatenate([edges[:, :2], edges[:, 2:] - edges[:, :2]], 1), width, height)
        places = self._places[output["labels"].cpu().numpy()]
        found = Detections(boxes, places, output["scores"].float().cpu().numpy())
        right = (places >= 0) & (boxes[:, 2:].min(1) > 0) & (found.scores >= self.min_score)
        return found.take(np.flatnonzero(right))


def _published(name: str) -> dict[str, Any]:
    """The weights that torchvision has of a network; all know COCO's categories."""
    from torchvision.models import get_model_weights

    chosen = get_model_weights(name).DEFAULT
    try:
        return dict(chosen.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:  # no network, or a file cut short
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise RuntimeError(
            f"torchvision's weights of {name} cannot be fetched ({error}). Download {chosen.url} "
            f"elsewhere and put it in {folder}, or give the detector a `file`, a local state dict"
        ) from error


def _state(file: Path) -> dict[str, Any]:
    """A state dict; nothing in the file is executed."""
    from safetensors.torch import load_file

    if not file.is_file():
        raise FileNotFoundError(f"no weights at {file}")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
        return {name: value.detach() for name, value in state.items()}
    except Exception as error:  # each library has its own errors for a broken file
        raise ValueError(f"{file} is not a state dict: {error}") from None
