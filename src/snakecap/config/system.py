"""Rows of `systems`, and what one training job of a system depends on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from snakecap.config import options
from snakecap.config.base import Model, Positive, Seed
from snakecap.config.data import Geometry
from snakecap.config.evaluation import Decoding
from snakecap.config.parts import Backbone, Features, Part
from snakecap.config.training import Stage


class System(Model):
    """A row of `systems`: parts, training stages and decoding."""

    vocabulary: str = Field(description="a row of `vocabularies`")
    backbone: str | None = Field(None, description="a row of `backbones`; null: reads no pictures")
    features: Features = Field(Features(), description="what frozen stages read")
    layout: str | None = Field(None, description="a row of `layouts`; null: reads no objects")
    encoders: Annotated[tuple[Part, ...], Field(min_length=1)] = Field(
        (Part(part="cnn"),), description="their vectors add up"
    )
    decoder: Part = Field(Part(part="lstm"), description="the language model")
    width: Positive = Field(512, description="size of word and picture vectors")
    stages: tuple[Stage, ...] = Field(description="run in order, each from the one before")
    decoding: Decoding = Field(Decoding(), description="how the models are asked for captions")
    caption_stages: Literal["last", "all"] = Field(
        "all", description="which stages' models are captioned and scored"
    )
    seed: Seed | None = Field(None, description="overrides every stage's seed")

    @model_validator(mode="after")
    def _consistent(self) -> System:
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"stages need at least one row and distinct names, not {names}")
        if self.backbone is None and any(stage.reads_pictures for stage in self.stages):
            raise ValueError("a stage that reads pictures needs a backbone")
        for family, parts in (("encoder", self.encoders), ("decoder", (self.decoder,))):
            for part in parts:
                given = options.check(family, part.part, part.options)
                options.check_rules(family, part.part, {**given, "width": self.width})
                if self.backbone is None and "backbone" in options.needs(family, part.part):
                    raise ValueError(f"the {family} {part.part} needs a backbone")
        self._check_inputs()
        return self

    def _check_inputs(self) -> None:
        reads = {
            part.part: options.constant("encoder", part.part, "reads") for part in self.encoders
        }
        for name, what in reads.items():
            if what == "layout" and self.layout is None:
                raise ValueError(f"the encoder {name} reads layouts: set layout")
            if what in ("pooled", "grid") and what != self.features.output:
                raise ValueError(
                    f"the encoder {name} reads {what} features: set features.output: {what}"
                )
        decoder = self.decoder.part
        if options.constant("decoder", decoder, "reads_regions") and not any(
            options.constant("encoder", name, "gives_regions") for name in reads
        ):
            raise ValueError(
                f"the decoder {decoder} looks at regions: take an encoder that gives some, such as "
                "cnn_grid or layout_lstm"
            )
        for given, wanted in (("layout", {"layout"}), ("backbone", {"pooled", "grid"})):
            if getattr(self, given) is not None and not wanted & set(reads.values()):
                raise ValueError(f"{given}: {getattr(self, given)} is read by no encoder")
        from_cache = self.backbone is not None and not self.features.flip
        if from_cache and any(row.flip and not row.reads_pictures for row in self.stages):
            raise ValueError(
                "a stage with flip: true and a frozen backbone reads the features of mirrored "
                "pictures: set features.flip too"
            )

    def stage(self, name: str) -> Stage:
        """The stage of that name, with the system's seed when it has one."""
        stage = next(stage for stage in self.stages if stage.name == name)
        return stage if self.seed is None else stage.model_copy(update={"seed": self.seed})

    def before(self, name: str) -> str | None:
        """The name of the stage before `name`, or None for the first."""
        names = [stage.name for stage in self.stages]
        at = names.index(name)
        return names[at - 1] if at else None

    def changed_backbone(self, name: str) -> bool:
        """Whether the model after stage `name` has other backbone weights than the cached ones."""
        names = [stage.name for stage in self.stages]
        return any(stage.finetunes for stage in self.stages[: names.index(name) + 1])


class Training(Model):
    """What one training job depends on: a stage, the parts it trains, and what those read."""

    encoders: tuple[Part, ...] = Field((Part(part="cnn"),), description="see systems")
    decoder: Part = Field(Part(part="lstm"), description="see systems")
    width: Positive = Field(512, description="size of word and picture vectors")
    backbone: Backbone | None = Field(None, description="see backbones")
    features_output: Literal["pooled", "grid"] = Field("pooled", description="see features")
    geometry: Geometry = Field(Geometry(), description="see resize")
    stage: Stage = Field(description="the stage to train")
