"""What a model is made of: rows of `backbones`, cached features, and parts by name."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from snakecap import registry
from snakecap.config.base import Above, NoEffect, Positive, Precision, Section
from snakecap.config.options import complete


class Preprocess(Section):
    """Square uint8 RGB pictures to what a backbone was trained on."""

    crop: Positive | None = Field(224, description="centre crop in pixels; null: the whole picture")
    scale: float = Field(255.0, gt=0, description="pixels are divided by this first")
    mean: tuple[float, float, float] = Field((0.485, 0.456, 0.406), description="RGB, after scale")
    std: tuple[Above, Above, Above] = Field((0.229, 0.224, 0.225), description="RGB, after scale")
    bgr: bool = Field(False, description="Caffe's channel order")
    crops: Literal["one", "average", "maximum"] = Field(
        "one",
        description="one: in the centre; average, maximum: features of ten, in the corners and the "
        "centre, plain and mirrored (DeepCaption's avg and max)",
    )


class Backbone(Section):
    """A row of `backbones`: a convolutional network and how to feed it."""

    architecture: str = Field(
        "resnet50",
        description="a torchvision classification model, timm/NAME (extra `timm`), or `tiny`, ours",
    )
    weights: str = Field(
        "torchvision",
        description="`torchvision`, `timm`, `random`, or a .pth, .safetensors or .npz state dict",
    )
    preprocess: Preprocess = Field(Preprocess(), description="what its weights were trained on")
    class_scores: bool = Field(
        False, description="append the softmax over the classes to the pooled features"
    )
    batch_size: Annotated[Positive, NoEffect] = Field(
        32, description="pictures at once, when features are cached"
    )
    precision: Precision = "auto"

    @model_validator(mode="after")
    def _possible(self) -> Backbone:
        known = torchvision_networks()
        if self.family == "torchvision" and self.architecture not in known:
            close = ", ".join(get_close_matches(self.architecture, known, 5, 0.4)) or "none"
            ours = ", ".join(sorted(registry.BACKBONES.keys() - {"timm", "torchvision"}))
            raise ValueError(
                f"architecture {self.architecture!r} is neither ours ({ours}) nor a classification "
                f"network of torchvision; the closest names: {close}"
            )
        if self.weights in ("torchvision", "timm") and self.weights != self.family:
            raise ValueError(f"{self.weights} has no weights for {self.architecture}")
        return self

    def check_layer(self, layer: str) -> None:
        """Check a stage's `finetune_from`, so far as torchvision's source tells.

        Raises:
            ValueError: the network has no such layer.
        """
        known = torchvision_networks().get(self.architecture)
        if known and layer != "all" and layer.partition(".")[0] not in known:
            public = [name for name in known if not name.startswith("_")]
            close = get_close_matches(layer, public, 5, 0.4)
            raise ValueError(
                f"finetune_from: {self.architecture} has no layer {layer!r}; `all` trains all of "
                f"it; the closest names: {', '.join(close) or 'none'}"
            )

    @property
    def family(self) -> str:
        """Which row of registry.BACKBONES builds it."""
        if self.architecture.startswith("timm/"):
            return "timm"
        return self.architecture if self.architecture in registry.BACKBONES else "torchvision"


class Features(Section):
    """What is cached of a backbone."""

    output: Literal["pooled", "grid"] = Field(
        "pooled", description="one vector a picture, or one for each cell of the last feature map"
    )
    flip: bool = Field(False, description="store the mirrored picture's features too")
    half: bool = Field(False, description="float16: half the disk, 3 decimal digits")


class Part(Section):
    """A part of a model by name, with its keyword options checked against its constructor."""

    part: str = Field(description="a name in the registry, see below")
    options: dict[str, Any] = Field({}, description="keyword arguments of the part")

    def of(self, family: str) -> dict[str, Any]:
        """Its identity as a part of a family, with all options."""
        return self.identity() | {"options": complete(family, self.part, self.options)}


@cache
def torchvision_networks() -> dict[str, frozenset[str]]:
    """The classification networks of torchvision, from its source: importing it takes 10 s.

    Returns:
        By name, what the file that has the network calls its layers, and layers inside of those.
    """
    spec = find_spec("torchvision")
    assert spec is not None and spec.origin is not None, "torchvision is a dependency"
    networks = re.compile(r"^@register_model\(\)\n(?:@.*\n)*def (\w+)", re.MULTILINE)
    layers = re.compile(r"^ +self\.(\w+)(?: =|:)", re.MULTILINE)
    found: dict[str, frozenset[str]] = {}
    for file in sorted(Path(spec.origin).parent.joinpath("models").glob("*.py")):
        text = file.read_text(encoding="utf-8")
        found |= dict.fromkeys(networks.findall(text), frozenset(layers.findall(text)))
    return found


class Extraction(Section):
    """A backbone, and what is kept of what it sees."""

    backbone: Backbone = Backbone()
    features: Features = Features()
