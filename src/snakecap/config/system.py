"""Rows of `systems`, and what one training job of a system depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from snakecap import registry
from snakecap.config import options
from snakecap.config.base import Name, Positive, Section, Seed
from snakecap.config.data import Geometry
from snakecap.config.dense import Describing, Regions
from snakecap.config.evaluation import Decoding
from snakecap.config.parts import Backbone, Features, Part
from snakecap.config.training import Stage


class Input(Part):
    """An entry of a system's `inputs`: one thing that encoders read."""

    source: str = Field(
        description="what it is taken from: `features`: a row of `backbones`; `layout`: a row of "
        "`layouts`; others: a file"
    )

    @field_validator("options")
    @classmethod
    def _files(cls, given: dict[str, Any], row: ValidationInfo) -> dict[str, Any]:
        """With a folder, by which an identity tells a file from other text."""
        part = row.data.get("part", "")
        known = part in registry.INPUTS
        names = (options.constant("input", part, "files") if known else None) or ()
        files = {name: f"./{given[name]}" for name in names if _bare(given.get(name))}
        return {**given, **files}

    @model_validator(mode="after")
    def _possible(self) -> Input:
        options.check("input", self.part, self.options)
        return self

    @property
    def table(self) -> str | None:
        """The table that `source` is a row of; None: it is a file."""
        table: str | None = options.constant("input", self.part, "table")
        return table

    @property
    def file(self) -> Path:
        """The file that `source` names, or where that is not there, ``NAME-mean``."""
        path = Path(self.source)
        mean = path.with_name(f"{path.stem}-mean{path.suffix}")
        return mean if mean.is_file() and not path.is_file() else path

    def of(self, family: str) -> dict[str, Any]:
        """Its identity; files count by their contents, also those that a .txt lists."""
        if self.table is not None:
            return super().of(family)
        files, lines = [self.file], []
        if self.file.suffix == ".txt":
            lines = self.file.read_text(encoding="utf-8", errors="replace").splitlines()
        listed = (line.strip() for line in lines if line.strip() and not line.startswith("#"))
        files += [self.file.parent / name for name in listed]
        return super().of(family) | {"source": "", "files": list(map(str, files))}

    @property
    def chosen(self) -> dict[str, Any]:
        """Its options, defaults included."""
        return options.model("input", self.part)(**self.options).model_dump()

    @property
    def kind(self) -> str:
        """What encoders call it: pooled, grid, layout, ..."""
        return str(options.constant("input", self.part, "kind").format(**self.chosen))

    @property
    def cached(self) -> bool:
        """Whether its backbone's features are, for stages that do not train it."""
        return self.table == "backbones" and self.kind in ("pooled", "grid")

    @property
    def features(self) -> Features:
        return Features(**self.chosen)


class Encoder(Part):
    """An entry of a system's `encoders`."""

    reads: str | None = Field(
        None,
        description="one of the system's `inputs`, or several joined with +, whose features are "
        "put side by side; null: the only one that it can read",
    )

    @property
    def kind(self) -> str:
        return str(options.constant("encoder", self.part, "reads"))

    @property
    def gives_regions(self) -> bool:
        """Whether it gives something to attend to."""
        return bool(options.constant("encoder", self.part, "gives_regions"))

    @property
    def gives_constant(self) -> bool:
        """Whether it gives something to feed at every step."""
        return bool(options.constant("encoder", self.part, "gives_constant"))


def _bare(file: Any) -> bool:
    return isinstance(file, str) and file != "" and "/" not in file and "." not in file


def _sorted(inputs: dict[str, Input]) -> dict[str, Input]:
    return dict(sorted(inputs.items()))


# By name: jobs are given a file for each, in this order.
Inputs = Annotated[dict[Name, Input], AfterValidator(_sorted), Field(min_length=1)]


Task = Literal["caption", "dense"]


class Ensemble(Section):
    """A row of `ensembles`: the last models of some systems, and of all their seeds, as one."""

    systems: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="rows of `systems` that are run; of one vocabulary"
    )
    decoding: Decoding = Field(Decoding(), description="how words are searched for")


class System(Section):
    """A row of `systems`: what it reads, parts, training stages and decoding."""

    task: Task = Field(
        "caption", description="caption: a sentence for a picture; dense: one for each region"
    )
    vocabulary: str = Field(description="a row of `vocabularies`")
    inputs: Inputs = Field(description="what the encoders read, by a name of your own")
    encoders: tuple[Encoder, ...] = Field(
        (), description="their vectors add up, their regions line up; none where the task is dense"
    )
    regions: Regions = Field(Regions(), description="dense: how regions are found")
    decoder: Part = Field(Part(part="lstm"), description="the language model")
    width: Positive = Field(512, description="size of word and picture vectors")
    stages: tuple[Stage, ...] = Field(description="run in order, each from the one before")
    start: Name | None = Field(
        None,
        description="another system, whose last model the first stage starts from; a decoder "
        "`hierarchical` takes an `lstm` for its words; null: fresh weights",
    )
    decoding: Decoding = Field(Decoding(), description="how the models are asked for captions")
    describing: Describing = Field(Describing(), description="dense: the same, and which regions")
    caption_stages: Literal["last", "all"] = Field(
        "all", description="which stages' models are captioned and scored"
    )
    seed: Seed | None = Field(None, description="overrides every stage's seed")

    @model_validator(mode="before")
    @classmethod
    def _objectives(cls, given: Any) -> Any:
        """Stages of the task dense learn by its objective."""
        if not isinstance(given, dict) or given.get("task") != "dense":
            return given
        stages = given.get("stages", ())
        filled = [{"objective": {"part": "dense"}, **one} for one in stages]
        return {**given, "stages": filled}

    @model_validator(mode="after")
    def _consistent(self) -> System:
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"stages need at least one row and distinct names, not {names}")
        if not self.sources("backbones") and any(stage.reads_pictures for stage in self.stages):
            raise ValueError("a stage that reads pictures needs an input of a backbone")
        self._check_task()
        for encoder in self.encoders:
            self._check("encoder", encoder)
        self._check("decoder", self.decoder)
        self._check_inputs()
        self._check_objectives()
        return self

    def _check_task(self) -> None:
        """A row has what its task reads, and nothing else."""
        dense = self.task == "dense"
        for name in ("regions", "describing") if not dense else ("encoders", "decoding"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: the task {self.task} has none")
        if not dense and not self.encoders:
            raise ValueError("encoders: a captioner needs one")
        if dense and [one.kind for one in self.inputs.values()] != ["photo"]:
            raise ValueError("inputs: the task dense reads one, of the part photos")
        objectives = {stage.objective.part for stage in self.stages}
        if dense != ("dense" in objectives) or (dense and len(objectives) > 1):
            raise ValueError(
                "stages: the objective `dense` is that of the task dense, which has no other"
            )

    def _check(self, family: str, part: Part) -> None:
        given = options.check(family, part.part, part.options)
        options.check_rules(family, part.part, {**given, "width": self.width})

    def _check_inputs(self) -> None:
        if self.task == "dense":
            return
        read = {name for encoder in self.encoders for name in self.input_of(encoder).split("+")}
        for name, one in self.inputs.items():
            if name not in read:
                raise ValueError(f"inputs.{name}: {one.source} is read by no encoder")
        decoder = self.decoder.part
        looks = options.constant("decoder", decoder, "reads_regions")
        if looks and not any(encoder.gives_regions for encoder in self.encoders):
            raise ValueError(
                f"the decoder {decoder} looks at regions: take an encoder that gives some, such as "
                "cnn_grid or layout_lstm"
            )
        fed = any(encoder.gives_constant for encoder in self.encoders)
        if fed and not options.takes("decoder", decoder, "constant_size"):
            raise ValueError(f"the decoder {decoder} is fed words alone: leave `constant` out")
        mirrored = any(stage.flip and not stage.reads_pictures for stage in self.stages)
        for name, one in self.inputs.items():
            unmirrored = options.constant("input", one.part, "mirrors") is False
            if unmirrored and any(stage.flip for stage in self.stages):
                raise ValueError(
                    f"a stage with flip: true mirrors what it reads, and of inputs.{name} there is "
                    "nothing mirrored: set flip: false"
                )
            if mirrored and one.cached and not one.features.flip:
                raise ValueError(
                    "a stage with flip: true and a frozen backbone reads the features of mirrored "
                    f"pictures: set flip: true in the options of inputs.{name} too"
                )

    def _check_objectives(self) -> None:
        decoder = self.decoder.part
        given = any(encoder.gives_regions for encoder in self.encoders)
        ways = ("reads_regions", "attends")
        attends = given and any(options.constant("decoder", decoder, way) for way in ways)
        for stage in self.stages:
            row = stage.objective
            chosen = options.complete("objective", row.part, row.options)
            needed = options.constant("objective", row.part, "needs_decoder")
            if needed not in (None, decoder):
                raise ValueError(
                    f"stage {stage.name}: the objective {row.part} needs the decoder {needed}"
                )
            if chosen.get("attention_weight") and not attends:
                raise ValueError(
                    f"stage {stage.name} has an attention_weight, and the decoder {decoder} looks "
                    "at no regions"
                )

    def input_of(self, encoder: Encoder) -> str:
        """The name of the input that an encoder reads, or several joined with +.

        Raises:
            ValueError: there is none of its kind, or it does not say which of several.
        """
        kinds = {name: one.kind for name, one in self.inputs.items()}
        fitting = [name for name, kind in kinds.items() if kind == encoder.kind]
        if encoder.reads is None and len(fitting) == 1:
            return fitting[0]
        names = (encoder.reads or "").split("+")
        if len(set(names)) < len(names):
            raise ValueError(f"the encoder {encoder.part} reads an input twice: {encoder.reads}")
        if set(names) <= set(fitting):
            if len(names) > 1 and encoder.kind not in ("pooled", "grid"):
                raise ValueError(f"the encoder {encoder.part} reads one input, not {encoder.reads}")
            return "+".join(names)
        there = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        which = "say which with `reads`" if fitting else "add one to `inputs`"
        raise ValueError(
            f"the encoder {encoder.part} reads {encoder.kind}: {which}; there: {there}"
        )

    def sources(self, table: str) -> list[str]:
        """The rows of a table that its inputs are taken from, each once."""
        rows = (one.source for one in self.inputs.values() if one.table == table)
        return list(dict.fromkeys(rows))

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


class Training(Section):
    """What one training job depends on: a stage, the parts it trains, and what those read."""

    task: Task = Field("caption", description="see systems")
    inputs: Inputs = Field(description="see systems")
    encoders: tuple[Encoder, ...] = Field(description="see systems; `reads` is filled in")
    decoder: Part = Field(Part(part="lstm"), description="see systems")
    regions: Regions = Field(Regions(), description="see systems")
    width: Positive = Field(512, description="size of word and picture vectors")
    backbones: dict[str, Backbone] = Field({}, description="those that the inputs are taken from")
    geometry: Geometry = Field(Geometry(), description="see resize")
    stage: Stage = Field(description="the stage to train")

    def identity(self) -> dict[str, Any]:
        return {
            **super().identity(),
            "inputs": {name: one.of("input") for name, one in self.inputs.items()},
            "encoders": [part.of("encoder") for part in self.encoders],
            "decoder": self.decoder.of("decoder"),
        }

    def unread(self) -> set[str]:
        """What another task alone reads."""
        return {"task", "regions"} if self.task == "caption" else set()
