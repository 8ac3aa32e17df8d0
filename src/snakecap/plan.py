"""Which jobs a configuration means, and what each of them depends on.

The Snakefile asks here; no torch is imported. A job's dependencies beyond its input files are one
plain dict: the digest of its code (stage and chosen parts), the hash of the lock file, and the
settings that it uses, as canonical JSON. Snakemake compares it as text.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from snakecap.rows.detection import files_by_split
from snakecap import options, provenance, registry, resources, sizes
from snakecap.settings import (
    VALIDATION_METRICS,
    Dataset,
    Features,
    Settings,
    SettingsError,
    Stage,
    System,
)

Job = dict[str, str]


class Plan:
    """The jobs of one configuration; every method's answer is plain text or lists of it.

    Paths start with ``<results>``, which Snakemake replaces (its pathvars).
    """

    def __init__(self, settings: Settings, *, folder: Path):
        """Prepare.

        Args:
            settings: the checked configuration.
            folder: of the checkout, where the lock file is.

        Raises:
            SettingsError: a backbone's file of weights is not there.
        """
        self.settings = settings
        self.dataset = settings.dataset
        self.lock = provenance.lock_digest(folder)
        self.systems: dict[str, System] = settings.runs()
        self.features: dict[str, tuple[str, Features]] = {
            self.features_name(system): (system.backbone, system.features)
            for system in self.systems.values()
            if system.backbone is not None
        }

        self.layouts = sorted({row.layout for row in self.systems.values() if row.layout})
        self.detectors = sorted({settings.layouts[name].detector for name in self.layouts})
        self._check_roots()
        self._check_weights()

    def _check_roots(self) -> None:
        """A recipe's path that was not set would be noticed by the first job alone."""
        for name in self.dataset.split("+"):
            root = self.settings.datasets[name].root
            if root is not None and not Path(root).expanduser().is_dir():
                raise SettingsError(
                    f"datasets.{name}.root: there is no folder {root}; set it to where the data "
                    "set's files are"
                )

    def _check_weights(self) -> None:
        """Snakemake would keep what other weights made, and go on from there."""
        for backbone in dict.fromkeys(system.backbone for system in self.systems.values()):
            for path in self._weights(backbone):
                if not Path(path).is_file():
                    raise SettingsError(
                        f"backbones.{backbone}.weights: no file {path}; give a .pth, .safetensors "
                        "or .npz state dict, `torchvision` or `random`"
                    )
        for name in self.detectors:
            file = self.settings.detectors[name].file
            try:
                if file is not None and not any(path.is_file() for path in files_by_split(file)):
                    raise FileNotFoundError(f"there is no file {file}")
            except FileNotFoundError as error:
                raise SettingsError(f"detectors.{name}.file: {error}") from None

    @property
    def gpus(self) -> int:
        """GPUs that a heavy job asks the cluster for."""
        return self.settings.gpus

    def device(self, gpus: int) -> str:
        """Where a job that was given so many GPUs computes."""
        return "cuda" if gpus and self.settings.device == "auto" else self.settings.device

    # What jobs ask a cluster for.

    def memory(self, rule: str, attempt: int, **wildcards: str) -> int:
        """MB of memory of a job."""
        size = sizes.size(self.settings, self._dataset(wildcards))
        row = resources.kind(rule, self._stage(wildcards) if rule == "train" else None)
        limits = self.settings.cluster
        return resources.memory(row, **size._asdict(), attempt=attempt, cluster=limits)

    def minutes(self, rule: str, attempt: int, gpus: int, **wildcards: str) -> int:
        """Minutes of run time of a job."""
        pictures = sizes.size(self.settings, self._dataset(wildcards)).pictures
        stage = self._stage(wildcards) if rule == "train" else None
        return resources.minutes(
            resources.kind(rule, stage),
            pictures=pictures,
            passes=resources.passes(stage, pictures),
            gpus=gpus,
            attempt=attempt,
            cluster=self.settings.cluster,
        )

    def _dataset(self, wildcards: Mapping[str, str]) -> str:
        return wildcards.get("dataset", wildcards.get("datasets", self.dataset))

    def _stage(self, wildcards: Mapping[str, str]) -> Stage:
        return self.systems[wildcards["system"]].stage(wildcards["stage"])

    # What jobs depend on besides files.

    def job(self, stage: str, options: Any, parts: Iterable[str] = ()) -> Job:
        """A job: the digest of its stage and parts, the lock file's hash, its settings."""
        names = ",".join([f"snakecap.stages.{stage}", *sorted(set(parts))])
        value = options.model_dump(mode="json") if isinstance(options, BaseModel) else options
        return {
            "code": f"{names}={provenance.digest(*names.split(','))}",
            "lock": self.lock,
            "settings": provenance.canonical(value),
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
        sums = [(path.name, provenance.file_digest(path)) for path in sources(row)]
        return {**job, "sources": provenance.canonical(sums)}

    def vocabulary(self, name: str) -> Job:
        """Counting words."""
        row = self.settings.vocabularies[name]
        return self.job("vocabulary", row, [registry.module("tokenizer", row.tokenizer)])

    def encode(self, name: str) -> Job:
        """Packing captions."""
        row = self.settings.vocabularies[name]
        return self.job("encode", row, [registry.module("tokenizer", row.tokenizer)])

    def features_name(self, system: System) -> str:
        """The file name of a system's features: backbone, output, and what else changes them."""
        chosen = system.features
        words = [str(system.backbone), chosen.output]
        return "_".join(words + [word for word in ("flip", "half") if getattr(chosen, word)])

    def features_job(self, name: str) -> Job:
        """Caching a backbone's features."""
        backbone, features = self.features[name]
        row = self.settings.backbones[backbone]
        options = {"backbone": row.model_dump(mode="json"), "features": features.model_dump()}
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

    def batch_size(self, detector: str) -> int:
        """Pictures that a detector sees at once: what it sees in them does not depend on it."""
        return self.settings.detectors[detector].batch_size

    def layout(self, name: str) -> Job:
        """Choosing and ordering objects."""
        settings = self.settings.layouts[name].model_dump(mode="json", exclude={"detector"})
        return self.job("layout", settings)

    def parts(self, system: System) -> list[str]:
        """The modules of the parts that a system's model is composed of."""
        modules = [registry.module("encoder", part.part) for part in system.encoders]
        modules.append(registry.module("decoder", system.decoder.part))
        if system.backbone is not None:
            row = self.settings.backbones[system.backbone]
            modules.append(registry.module("backbone", row.family))
        return modules

    def train(self, system: str, stage: str) -> Job:
        """Training a stage of a system."""
        training = self.settings.training(self.systems[system], stage)
        row = training.stage
        parts = self.parts(self.systems[system])
        parts.append(registry.module("schedule", row.schedule.name))
        parts.append(registry.module("optimiser", row.optimiser.name))
        if row.finetunes:
            parts.append(registry.module("optimiser", row.backbone_optimiser.name))
        if row.language_eval:
            parts += [registry.module("metric", name) for name in VALIDATION_METRICS]
        return self.job("train", training, parts)

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

    # Which files jobs read.

    def folder(self, dataset: str) -> str:
        """Where a data set's downloaded or generated files are."""
        return f"{self.settings.downloads}/{dataset}"

    def manifests(self, dataset: str) -> list[str]:
        """The download manifest of a data set that has something to fetch."""
        row = self.settings.datasets[dataset]
        return [f"<results>/{dataset}/downloads.json"] if row.downloads else []

    def captions(self, dataset: str, system: str) -> str:
        """A system's packed captions."""
        return f"<results>/{dataset}/captions/{self.systems[system].vocabulary}.h5"

    def words(self, dataset: str, system: str) -> str:
        """A system's vocabulary."""
        return f"<results>/{dataset}/vocabularies/{self.systems[system].vocabulary}.json"

    def images(self, dataset: str) -> list[str]:
        """The pictures as squares, for data sets that have any."""
        return [f"<results>/{dataset}/images.h5"] if self.settings.pixels else []

    def detector_weights(self, dataset: str, detector: str) -> list[str]:
        """A detector's weights or results: its file, or what its training makes."""
        row = self.settings.detectors[detector]
        trained = f"<results>/{dataset}/detectors/{detector}/model.safetensors"
        own = row.file is not None and not row.by_split
        return [trained] if row.training else [str(row.file)] if own else []

    def detector_results(self, dataset: str, detector: str) -> list[str]:
        """The results of a detector that has a file a split; the job finds them by their name."""
        row = self.settings.detectors[detector]
        return list(map(str, files_by_split(row.file))) if row.file and row.by_split else []

    def detected_images(self, dataset: str, detector: str) -> list[str]:
        """Pictures, when a detector looks at them: which of them are readable."""
        return self.images(dataset) if self.settings.detectors[detector].reads_images else []

    def detections(self, dataset: str, layout: str, file: str) -> str:
        """A file of the detector of a layout."""
        return f"<results>/{dataset}/detections/{self.settings.layouts[layout].detector}{file}"

    def read_layouts(self, dataset: str, system: str) -> list[str]:
        """Layouts, when a system reads those."""
        name = self.systems[system].layout
        return [f"<results>/{dataset}/layouts/{name}.h5"] if name else []

    def weights(self, features: str) -> list[str]:
        """A backbone's weights when they are a file on this machine."""
        return self._weights(self.features[features][0])

    def _weights(self, backbone: str | None) -> list[str]:
        weights = self.settings.backbones[backbone].weights if backbone else "random"
        if weights in ("random", "torchvision"):
            return []
        return [weights]

    def train_images(self, dataset: str, system: str, stage: str) -> list[str]:
        """Pictures, when a stage reads pixels."""
        reads = self.systems[system].stage(stage).reads_pictures
        return [f"<results>/{dataset}/images.h5"] if reads else []

    def train_features(self, dataset: str, system: str, stage: str) -> list[str]:
        """Cached features, when a stage reads those."""
        row = self.systems[system]
        reads = row.backbone is not None and not row.stage(stage).reads_pictures
        return [f"<results>/{dataset}/features/{self.features_name(row)}.lmdb"] if reads else []

    def previous(self, dataset: str, system: str, stage: str) -> list[str]:
        """The model of the stage before."""
        before = self.systems[system].before(stage)
        return [f"<results>/{dataset}/{system}/{before}/model.safetensors"] if before else []

    def train_weights(self, dataset: str, system: str, stage: str) -> list[str]:
        """The backbone's weights, for the first stage."""
        row = self.systems[system]
        return [] if row.before(stage) else self._weights(row.backbone)

    def caption_images(self, dataset: str, system: str, stage: str, split: str) -> list[str]:
        """Pictures, when a stage's backbone is not the one whose features are cached."""
        changed = self.systems[system].changed_backbone(stage)
        return [f"<results>/{dataset}/images.h5"] if changed else []

    def caption_features(self, dataset: str, system: str, stage: str, split: str) -> list[str]:
        """Cached features, when the stage's backbone is the one that made them."""
        row = self.systems[system]
        reads = row.backbone is not None and not row.changed_backbone(stage)
        return [f"<results>/{dataset}/features/{self.features_name(row)}.lmdb"] if reads else []

    def evaluated(self) -> list[tuple[str, str]]:
        """The (system, stage) pairs whose models are captioned, scored and reported."""
        return [
            (name, stage.name)
            for name, system in self.systems.items()
            for stage in (system.stages if system.caption_stages == "all" else system.stages[-1:])
        ]

    def evaluated_files(self, pattern: str) -> list[str]:
        """One file of every evaluated system and stage, in the same order."""
        folder = f"<results>/{self.dataset}"
        return [f"{folder}/{name}/{stage}/{pattern}" for name, stage in self.evaluated()]

    # What the report shows besides.

    def reads(self) -> list[str]:
        """The layout that each evaluated system reads, or a hyphen."""
        return [self.systems[name].layout or "-" for name, _ in self.evaluated()]

    def layout_files(self) -> list[str]:
        """The layouts that systems read, for people."""
        return [f"<results>/{self.dataset}/layouts/{name}.json" for name in self.layouts]

    def detector_files(self, file: str) -> list[str]:
        """A file of every detector that the layouts come from."""
        return [f"<results>/{self.dataset}/detections/{name}{file}" for name in self.detectors]


def sources(row: Dataset) -> list[Path]:
    """The files in a data set's `root` that its options name; the photos themselves not."""
    if row.root is None:
        return []
    root = Path(row.root).expanduser()
    chosen = options.model("dataset", row.reader)(**row.options).model_dump()
    names = [name for name in chosen.values() if isinstance(name, str) and name]
    # "captions_{name}.json" stands for captions_train.json and others.
    patterns = [re.sub(r"\{\w*\}", "*", glob.escape(str(root / name))) for name in names]
    # Not Path.glob, which takes neither an absolute pattern nor ".".
    found = {Path(path) for pattern in patterns for path in glob.glob(pattern)}  # noqa: PTH207
    return sorted(path for path in found if path.is_file())
