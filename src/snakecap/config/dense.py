"""How regions are found in pictures and described; the defaults are DenseCap's."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from snakecap.config.base import Above, Fraction, Positive, Section
from snakecap.config.evaluation import Decoding

# Widths and heights: three shapes of four sizes.
ANCHORS = (
    *((45.0, 90.0), (90.0, 45.0), (64.0, 64.0), (90.0, 180.0), (180.0, 90.0), (128.0, 128.0)),
    *((181.0, 362.0), (362.0, 181.0), (256.0, 256.0), (362.0, 724.0), (724.0, 362.0)),
    (512.0, 512.0),
)


class Regions(Section):
    """The networks that find and recognise regions, which are the encoder of the task `dense`."""

    layers: tuple[str, ...] = Field(
        (),
        description="the backbone's layers whose maps are looked at, the finest first, such as "
        "`features.29` of vgg16; of several a feature pyramid makes one; none: its own grid",
    )
    pyramid: Positive = Field(256, description="channels of a feature pyramid")
    anchors: Annotated[tuple[tuple[Above, Above], ...], Field(min_length=1)] = Field(
        ANCHORS, description="widths and heights in pixels that proposals start from"
    )
    anchor_scale: Above = Field(1.0, description="multiplies the anchors")
    filters: Positive = Field(256, description="of the convolution that proposes")
    side: Annotated[Positive, Field(ge=2)] = Field(7, description="cells of a pooled region's side")
    code: Positive = Field(4096, description="numbers of a region's code: VGG's fc7")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.5, description="on codes, twice")
    context: bool = Field(
        False, description="the whole picture's code beside each region's, for the decoder"
    )


class Describing(Decoding):
    """Which regions are described, and how their captions are searched for."""

    method: str = Field("greedy", description="a name in registry.SEARCHES")
    max_length: Positive = Field(15, description="words; a caption that gets there is cut")
    batch_size: Positive = Field(8, description="pictures at once")
    proposals: Positive = Field(
        300, description="regions of a picture that are looked at, the likeliest; the paper's"
    )
    proposal_overlap: Fraction = Field(
        0.7, description="a proposal goes when a better one has a larger IoU with it; 1: all stay"
    )
    overlap: Fraction = Field(
        0.3, description="the same of the regions that are described, by their last boxes"
    )
    min_score: Fraction = Field(0.0, description="of regions that are described")

    @model_validator(mode="after")
    def _one(self) -> Describing:
        if self.n_best > 1:
            raise ValueError(f"n_best {self.n_best}: a region has one caption")
        return self
