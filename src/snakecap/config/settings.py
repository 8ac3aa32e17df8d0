"""Every knob, its default and the reason for it; checked before any job starts.

``config.yaml`` is one `Settings`. Sources of the defaults: NeuralTalk2's prepro.py, train.py and
eval.py (Karpathy, 2015), the Show-and-Tell tutorial (yunjey/pytorch-tutorial), and measurements
in docs/log.md. The rows are in the modules beside this one; here they are put together and checked
against each other. Imports no torch: a dry run reads this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from snakecap.config import errors, options
from snakecap.config.base import Count, Name, Positive, Section, Seed, SettingsError, Split
from snakecap.config.cluster import Cluster
from snakecap.config.data import Dataset, Download, Geometry, Resize, Vocabulary
from snakecap.config.detection import Arrangement, Detector, DetectorTraining, Layout
from snakecap.config.evaluation import Decoding, Report, Score
from snakecap.config.parts import Backbone, Extraction, Features, Part, Preprocess
from snakecap.config.system import Ensemble, System, Training
from snakecap.config.training import VALIDATION_METRICS, Optimiser, Schedule, Stage

__all__ = [
    "VALIDATION_METRICS",
    "Arrangement",
    "Backbone",
    "Cluster",
    "Dataset",
    "Decoding",
    "Detector",
    "DetectorTraining",
    "Download",
    "Extraction",
    "Features",
    "Geometry",
    "Layout",
    "Optimiser",
    "Part",
    "Preprocess",
    "Report",
    "Resize",
    "Schedule",
    "Score",
    "Section",
    "Settings",
    "SettingsError",
    "Stage",
    "System",
    "Training",
    "Vocabulary",
    "read",
]


class Settings(Section):
    """The whole of ``config.yaml``."""

    dataset: str = Field("shapes", description="a row of `datasets`, or several joined with +")
    pathvars: dict[Literal["results", "logs"], str] = Field(
        {"results": "results", "logs": "results/logs"}, description="where results and logs go"
    )
    downloads: str = Field("downloads", description="where downloads go")
    cache: str | None = Field(
        None,
        description="folder for what working copies and users share (docs/caches.md); null: that "
        "of SNAKECAP_CACHE, if it is set",
    )
    compare: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None, description="rows of `systems`; null: all"
    )
    seeds: tuple[Seed, ...] = Field((), description="train every system once for each seed")
    evaluate: tuple[Split, ...] = Field(("test",), description="splits to caption and score")
    caption: tuple[Split, ...] = Field(
        (), description="splits to caption alone: of pictures that nobody described"
    )
    datasets: dict[Name, Dataset] = Field(description="where pictures and captions come from")
    resize: Resize = Field(Resize(), description="one size for all pictures")
    vocabularies: dict[Name, Vocabulary] = Field({}, description="words and ids")
    backbones: dict[Name, Backbone] = Field({}, description="networks that look")
    detectors: dict[Name, Detector] = Field({}, description="what finds objects")
    layouts: dict[Name, Layout] = Field({}, description="objects as systems read them")
    systems: dict[Name, System] = Field({}, description="what is compared")
    ensembles: dict[Name, Ensemble] = Field(
        {},
        description="systems that caption together; run where all of them are compared and there "
        "are two models or more, such as those of several seeds",
    )
    score: Score = Field(Score(), description="how captions are judged")
    report: Report = Field(Report(), description="what people look at")
    threads: Positive = Field(1, description="CPU threads of a training or feature job")
    gpus: Count = Field(
        0,
        description="GPUs of a heavy job; with several, training, features and captioning run in a "
        "process for each",
    )
    device: Literal["auto", "cpu"] = Field(
        "auto",
        description="auto: a GPU when there is one, and an error when `gpus` asked for one that is "
        "not there; cpu: none, whatever `gpus` says",
    )
    photos: Literal["times", "contents", "trust"] = Field(
        "times",
        description="how photos are compared with those that results were made from: by names, "
        "sizes and times; by every byte, where copies have other times; or not at all, where the "
        "file system is slow (docs/caches.md)",
    )
    cluster: Cluster = Field(Cluster(), description="where SLURM puts jobs; docs/slurm.md")

    @model_validator(mode="after")
    def _references(self) -> Settings:
        for name in self.dataset.split("+"):
            _row("dataset", name, "datasets", self.datasets)
        for name in self.compare or ():
            _row("compare", name, "systems", self.systems)
        for name, system in self.systems.items():
            place = f"systems.{name}"
            _row(f"{place}.vocabulary", system.vocabulary, "vocabularies", self.vocabularies)
            self._check_sentences(place, system)
            for key, one in system.inputs.items():
                if one.table is not None:
                    _row(
                        f"{place}.inputs.{key}.source",
                        one.source,
                        one.table,
                        getattr(self, one.table),
                    )
        for name, detector in self.detectors.items():
            try:
                detector.check_file()
            except ValueError as error:
                raise ValueError(f"detectors.{name}: {error}") from None
        for name, layout in self.layouts.items():
            _row(f"layouts.{name}.detector", layout.detector, "detectors", self.detectors)
        for name in (name for pair in self.report.pairs for name in pair):
            _row("report.pairs", name, "systems", {**self.systems, **self.ensembles})
        self._check_runs()
        for name, ensemble in self.ensembles.items():
            try:
                self._check_ensemble(name, ensemble)
            except ValueError as error:
                raise ValueError(f"ensembles.{name}: {error}") from None
        if "CIDEr" not in self.score.metrics:
            raise ValueError("score.metrics: the report compares systems by CIDEr: add it")
        return self

    def _check_sentences(self, place: str, system: System) -> None:
        """A decoder of paragraphs hears where a sentence ends."""
        decoder, tokenizer = system.decoder.part, self.vocabularies[system.vocabulary].tokenizer
        keeps = options.literal("tokenizer", tokenizer, "KEEPS_FULL_STOPS")
        if "full_stop" in options.needs("decoder", decoder) and not keeps:
            raise ValueError(
                f"{place}: the decoder {decoder} says sentences that end in a full stop, of which "
                f"the tokenizer {tokenizer} keeps none: take treebank in vocabularies."
                f"{system.vocabulary}"
            )

    def _check_ensemble(self, name: str, ensemble: Ensemble) -> None:
        for one in ensemble.systems:
            _row("systems", one, "systems", self.systems)
        if name in self.runs() or name in self.systems:
            raise ValueError("a system has that name")
        words = dict.fromkeys(self.systems[one].vocabulary for one in ensemble.systems)
        if len(words) > 1:
            raise ValueError(f"its systems need one vocabulary; they have {', '.join(words)}")

    def joint(self) -> dict[str, Ensemble]:
        """The ensembles to run: of systems that are compared, and of two models or more."""
        compared = set(self.compare or self.systems)
        return {
            name: one
            for name, one in self.ensembles.items()
            if compared.issuperset(one.systems) and len(self.members(one)) > 1
        }

    def members(self, ensemble: Ensemble) -> list[str]:
        """The runs whose models are in an ensemble."""
        rows = {name: name for name in self.runs()}
        if self.seeds:
            rows = {f"{name}_seed{n}": name for name in ensemble.systems for n in self.seeds}
        return [run for run, name in rows.items() if name in ensemble.systems]

    def _check_runs(self) -> None:
        lists = {name: getattr(self, name) for name in ("compare", "evaluate", "caption", "seeds")}
        for place, names in {"dataset": self.dataset.split("+"), **lists}.items():
            if names is not None and len(set(names)) < len(names):
                raise ValueError(f"{place}: {names} names something twice")
        runs = self.runs()
        if not runs or not (self.evaluate or self.caption):
            raise ValueError(
                "nothing to do: `systems`, `compare` and `evaluate` (or `caption`) need entries"
            )
        taken = set(runs) & set(self.systems) if self.seeds else set()
        if taken:
            raise ValueError(f"systems.{min(taken)}: with `seeds`, another system gets that name")
        for name, system in runs.items():
            if system.start is not None:
                _check_start(name, system, runs)
            for backbone in system.sources("backbones"):
                self._check_backbone(name, system, backbone)
            looks = None if self.pixels else self._looks_at_pictures(name, system)
            if looks:
                raise ValueError(
                    f"{looks} reads pictures, and the data set {self.dataset} has none "
                    "(pixels: false): compare systems of layouts alone"
                )

    @property
    def pixels(self) -> bool:
        """Whether the data set has image files."""
        return all(self.datasets[name].pixels for name in self.dataset.split("+"))

    def _looks_at_pictures(self, name: str, system: System) -> str | None:
        """What of a system looks at pictures: itself, its detector, or nothing (None)."""
        if system.sources("backbones"):
            return f"systems.{name}"
        detectors = [self.layouts[row].detector for row in system.sources("layouts")]
        looking = (detector for detector in detectors if self.detectors[detector].reads_images)
        return next((f"systems.{name}: its detector {detector}" for detector in looking), None)

    def _check_backbone(self, name: str, system: System, backbone: str) -> None:
        row = self.backbones[backbone]
        crop, size = row.preprocess.crop, self.resize.size
        if crop is not None and crop > size:
            raise ValueError(
                f"backbones.{backbone}.preprocess.crop: {crop} pixels do not fit in "
                f"pictures of resize.size {size}"
            )
        for stage in system.stages:
            try:
                row.check_layer("all" if stage.finetune_from is None else stage.finetune_from)
            except ValueError as error:
                raise ValueError(f"systems.{name}.stages.{stage.name}.{error}") from None

    def training(self, system: System, stage: str) -> Training:
        """What the job that trains `stage` of `system` depends on, and nothing else."""
        geometry = {name: getattr(self.resize, name) for name in Geometry.model_fields}
        return Training(
            task=system.task,
            regions=system.regions,
            inputs=system.inputs,
            encoders=tuple(
                encoder.model_copy(update={"reads": system.input_of(encoder)})
                for encoder in system.encoders
            ),
            decoder=system.decoder,
            width=system.width,
            backbones={name: self.backbones[name] for name in system.sources("backbones")},
            geometry=Geometry(**geometry),
            stage=system.stage(stage),
        )

    def runs(self) -> dict[str, System]:
        """The systems to run: those compared, once for each seed."""
        chosen = {name: self.systems[name] for name in self.compare or self.systems}
        if not self.seeds:
            return chosen
        return {
            f"{name}_seed{seed}": system.model_copy(
                update={"seed": seed, "start": system.start and f"{system.start}_seed{seed}"}
            )
            for name, system in chosen.items()
            for seed in self.seeds
        }


def _check_start(name: str, system: System, runs: Mapping[str, System]) -> None:
    """What a system starts from is run too, starts from nothing itself, and knows its words."""
    place, first = f"systems.{name}.start", runs.get(system.start or "")
    if first is None:
        raise ValueError(f"{place}: {system.start} is not run: name it in `compare` too")
    if first.start is not None:
        raise ValueError(f"{place}: {system.start} starts from another system itself")
    if first.vocabulary != system.vocabulary:
        raise ValueError(f"{place}: {system.start} has the vocabulary {first.vocabulary}")
    cached = next((stage.name for stage in system.stages if not stage.reads_pictures), None)
    if cached and system.sources("backbones") and first.changed_backbone(first.stages[-1].name):
        raise ValueError(
            f"{place}: stage {cached} reads cached features, and {system.start} fine-tuned their "
            "backbone: fine-tune it there too"
        )


def _row(place: str, name: str, table: str, rows: Mapping[str, Any]) -> None:
    if name not in rows:
        known = ", ".join(rows) or "none"
        raise ValueError(f"{place}: no row {name!r} in {table}; known: {known}")


def read(raw: Mapping[str, Any]) -> Settings:
    """Check a configuration.

    Raises:
        SettingsError: with a line for each error: the place, the value, what is allowed.
    """
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(item) for item in error.errors()]
        raise SettingsError("the configuration has mistakes:\n" + "\n".join(lines)) from None


def _explain(item: Any) -> str:
    if item["type"] != "extra_forbidden":
        return f"  {errors.describe(item)}"
    place, known = ".".join(map(str, item["loc"])), ", ".join(_keys_at(item["loc"][:-1]))
    return f"  {place}: unknown setting; known here: {known}"


def _keys_at(place: tuple[str | int, ...]) -> list[str]:
    """The settings known at a place such as ("systems", "neuraltalk2", "stages", 0)."""
    model: type[Section] = Settings
    for part in place:
        field = model.model_fields.get(str(part))
        found = _models_in(field.annotation) if field else []
        model = found[0] if found else model
    return list(model.model_fields)


def _models_in(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    inner = getattr(annotation, "__args__", ())
    return [model for argument in inner for model in _models_in(argument)]
