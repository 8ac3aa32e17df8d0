"""Which jobs a configuration means, and what each of them depends on.

The Snakefile asks here; no torch is imported. A job's dependencies beyond its input files are one
plain dict: the digest of its code (stage and chosen parts), the hash of the lock file, and the
settings that it uses, as canonical JSON. Snakemake compares it as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from snakecap import registry
from snakecap.config.settings import VALIDATION_METRICS, Detector, Settings, Stage, System
from snakecap.provenance import code
from snakecap.provenance.reads import sources
from snakecap.workflow import resources, sizes
from snakecap.workflow.plan_files import Files

Job = dict[str, str]


class Plan(Files):
    """The jobs of one configuration and their files (`snakecap.workflow.plan_files`)."""

    def __init__(self, settings: Settings, *, folder: Path):
        """Prepare.

        Args:
            settings: the checked configuration.
            folder: of the checkout, where the lock file is.

        Raises:
            SettingsError: a file that no job makes is not there.
        """
        super().__init__(settings)
        self.lock = code.lock_digest(folder)

    @property
    def gpus(self) -> int:
        """GPUs that a heavy job asks the cluster for."""
        return self.settings.gpus

    def device(self, gpus: int) -> str:
        """Where a job that was given so many GPUs computes."""
        return "cuda" if gpus and self.settings.device == "auto" else self.settings.device

    # What jobs ask a cluster for.

    def memory(self, rule: str, attempt: int, processes: int = 1, **wildcards: str) -> int:
        """MB of memory of a job with so many processes on a node."""
        size = sizes.size(self.settings, self._dataset(wildcards))
        row = resources.kind(rule, self._stage(wildcards) if rule == "train" else None)
        limits = self.settings.cluster
        return resources.memory(
            row, **size._asdict(), attempt=attempt, cluster=limits, processes=processes
        )

    def minutes(self, rule: str, attempt: int, gpus: int, **wildcards: str) -> int:
        """Minutes of run time of a job."""
        pictures = sizes.size(self.settings, self._dataset(wildcards)).pictures
        stage = self._stage(wildcards) if rule == "train" else None
        return resources.minutes(
            resources.kind(rule, stage),
            pictures=pictures,
            passes=self._passes(rule, stage, pictures, wildcards),
            gpus=gpus,
            attempt=attempt,
            cluster=self.settings.cluster,
        )

    def _passes(
        self, rule: str, stage: Stage | None, pictures: int, wildcards: Mapping[str, str]
    ) -> float:
        """How often a job goes over the data set."""
        if rule == "features":
            return 2 if self.features[wildcards["features"]][1].flip else 1
        if rule == "train_detector":
            return resources.passes(self._detector(wildcards).training, pictures)
        return resources.passes(stage, pictures)

    def _dataset(self, wildcards: Mapping[str, str]) -> str:
        return wildcards.get("dataset", wildcards.get("datasets", self.dataset))

    def _stage(self, wildcards: Mapping[str, str]) -> Stage:
        return self.systems[wildcards["system"]].stage(wildcards["stage"])

    def _detector(self, wildcards: Mapping[str, str]) -> Detector:
        return self.settings.detectors[wildcards["detector"]]

    # What jobs depend on besides files.

    def job(self, stage: str, options: Any, parts: Iterable[str] = ()) -> Job:
        """A job: the digest of its script and parts, the lock file's hash, its settings."""
        names = ",".join([f"{code.SCRIPTS}.{stage}", *sorted(set(parts))])
        value = options.model_dump(mode="json") if isinstance(options, BaseModel) else options
        return {
            "code": f"{names}={code.digest(*names.split(','))}",
            "lock": self.lock,
            "settings": code.canonical(value),
        }

    def download(self, dataset: str) -> Job:
        """Fetching a data set's files."""
        rows = self.settings.datasets[dataset].downloads
        return self.job("download", [row.model_dump(mode="json") for row in rows])

    def annotations(self, dataset: str) -> Job:
        """Reading a data set; other captions or splits in its `root` are another job.

        By content, not by date: a copy of a data set must not train everything again.
        """
        row = self.settings.datasets[dataset]
        job = self.job("annotations", row, [registry.module("dataset", row.reader)])
        sums = [(path.name, code.file_digest(path)) for path in sources(row)]
        return {**job, "sources": code.canonical(sums)}

    def vocabulary(self, name: str) -> Job:
        """Counting words."""
        row = self.settings.vocabularies[name]
        return self.job("vocabulary", row, [registry.module("tokenizer", row.tokenizer)])

    def encode(self, name: str) -> Job:
        """Packing captions."""
        row = self.settings.vocabularies[name]
        return self.job("encode", row, [registry.module("tokenizer", row.tokenizer)])

    def features_job(self, name: str) -> Job:
        """Caching a backbone's features."""
        backbone, features = self.features[name]
        row = self.settings.backbones[backbone]
        options = {
            "backbone": row.model_dump(mode="json", exclude={"batch_size"}),
            "features": features.model_dump(),
        }
        return self.job("features", options, [registry.module("backbone", row.family)])

    def train_detector(self, name: str) -> Job:
        """Training a detector."""
        row = self.settings.detectors[name]
        assert row.training is not None, f"no job trains {name}"
        parts = [row.module, registry.module("schedule", row.training.schedule.name)]
        parts.append(registry.module("optimiser", row.training.optimiser.name))
        # The rest is how it is asked: another score threshold must not train it again.
        settings = row.model_dump(mode="json", include={"part", "options", "training"})
        return self.job("train_detector", settings, parts)

    def detect(self, name: str) -> Job:
        """Looking for objects; how it was trained is in its weights."""
        row = self.settings.detectors[name]
        settings = row.model_dump(mode="json", exclude={"batch_size", "training"})
        return self.job("detect", settings, [row.module])

    def batch_size(self, *, detector: str = "", features: str = "") -> int:
        """Pictures that are seen at once: what is seen in them does not depend on it."""
        if features:
            return self.settings.backbones[self.features[features][0]].batch_size
        return self.settings.detectors[detector].batch_size

    def layout(self, name: str) -> Job:
        """Choosing and ordering objects."""
        settings = self.settings.layouts[name].model_dump(mode="json", exclude={"detector"})
        return self.job("layout", settings)

    def parts(self, system: System) -> list[str]:
        """The modules of the parts that a system's model is composed of."""
        modules = [registry.module("encoder", part.part) for part in system.encoders]
        modules += [registry.module("input", one.part) for one in system.inputs.values()]
        modules.append(registry.module("decoder", system.decoder.part))
        rows = (self.settings.backbones[name] for name in system.sources("backbones"))
        return modules + [registry.module("backbone", row.family) for row in rows]

    def train(self, system: str, stage: str) -> Job:
        """Training a stage of a system."""
        training = self.settings.training(self.systems[system], stage)
        row = training.stage
        parts = self.parts(self.systems[system])
        parts.append(registry.module("objective", row.objective.part))
        parts.append(registry.module("schedule", row.schedule.name))
        parts.append(registry.module("optimiser", row.optimiser.name))
        if row.finetunes:
            parts.append(registry.module("optimiser", row.backbone_optimiser.name))
        if row.language_eval:
            parts += [registry.module("metric", name) for name in VALIDATION_METRICS]
        settings = training.model_dump(
            mode="json", exclude={"backbones": {"__all__": {"batch_size"}}}
        )
        return self.job("train", settings, parts)

    def caption(self, system: str) -> Job:
        """Captioning a split."""
        row = self.systems[system]
        search = registry.module("search", row.decoding.method)
        return self.job("caption", row.decoding, [*self.parts(row), search])

    def score(self) -> Job:
        """Scoring captions."""
        row = self.settings.score
        return self.job("score", row, [registry.module("metric", name) for name in row.metrics])

    def report(self) -> Job:
        """Comparing systems."""
        return self.job("report", self.settings.report)
