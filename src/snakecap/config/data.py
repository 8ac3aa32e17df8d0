"""Rows of `datasets` and `vocabularies`, and the size of pictures."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from snakecap import registry
from snakecap.config.base import Count, Fraction, NoEffect, Positive, Section, Split
from snakecap.config.options import check as check_options
from snakecap.config.options import complete


class Download(Section):
    """One file that a data set needs from the network."""

    url: Annotated[str, Field(min_length=1)] = Field(
        description="http(s) address, file:// address, or a path on this machine"
    )
    sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")] | None = Field(
        None, description="64 hex digits; null: the first download records it"
    )
    size: Count | None = Field(None, description="bytes, when the publisher says")
    unpack: bool = Field(False, description="a zip or tar archive to unpack beside the download")


class Dataset(Section):
    """A row of `datasets`: where pictures and captions come from."""

    reader: str = Field(description="how to read it: a name in registry.DATASETS")
    root: Annotated[str | None, NoEffect] = Field(
        None, description="folder with the files; used in place, nothing is downloaded into it"
    )
    downloads: Annotated[tuple[Download, ...], NoEffect] = Field(
        (), description="fetched into `downloads/{dataset}`"
    )
    options: dict[str, Any] = Field({}, description="keyword arguments of the reader")
    pixels: bool = Field(
        True, description="false: no image files, only captions and objects; for layout systems"
    )

    @model_validator(mode="after")
    def _known(self) -> Dataset:
        check_options("dataset", self.reader, self.options)
        return self

    def identity(self) -> dict[str, Any]:
        """With all options; its files count by their contents, wherever they are."""
        return super().identity() | {"options": complete("dataset", self.reader, self.options)}


class Geometry(Section):
    """Pictures to one square size; a model records it to treat a user's photos alike."""

    size: Annotated[int, Field(ge=8, le=4096)] = Field(256, description="side in pixels")
    mode: Literal["squash", "crop"] = Field(
        "squash", description="squash: both sides to `size`, as NeuralTalk2; crop: centre square"
    )
    max_pixels: Positive = Field(
        200_000_000, description="a larger picture is rejected as a decompression bomb"
    )


class Resize(Geometry):
    """A geometry, and how much loss is acceptable."""

    max_rejected: Annotated[Fraction, NoEffect] = Field(
        0.01, description="the run fails when a larger share of the pictures is unreadable"
    )


class Phrases(Section):
    """What becomes of a text: its words, and how many are too many."""

    tokenizer: str = Field("neuraltalk2", description="a name in registry.TOKENIZERS")
    max_length: Positive = Field(
        16, description="words; longer captions are clipped, regions of longer phrases left out"
    )

    @model_validator(mode="after")
    def _known(self) -> Phrases:
        registry.location("tokenizer", self.tokenizer)
        return self


class Vocabulary(Phrases):
    """A row of `vocabularies`: captions to words to ids."""

    # Which file is read follows from it, and that counts by its contents.
    of: Annotated[Literal["captions", "regions"], NoEffect] = Field(
        "captions",
        description="what is said of pictures, or the phrases of their regions, for dense systems",
    )
    min_count: Count = Field(5, description="NeuralTalk2 keeps words seen more than 5 times")
    inclusive: bool = Field(
        False, description="true keeps words seen exactly min_count times (the tutorial's rule)"
    )
    splits: Annotated[tuple[Split, ...], Field(min_length=1)] = Field(
        ("train",), description="splits that are counted; the original counted all of them"
    )
