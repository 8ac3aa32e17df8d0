"""Which jobs a configuration means: their files, and what they depend on.

The Snakefile asks here; no torch is imported. THE place that says where a result is: the rules'
output patterns and these methods agree, which every run shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from snakecap import registry
from snakecap.config.data import Phrases
from snakecap.config.settings import (
    VALIDATION_METRICS,
    Arrangement,
    Extraction,
    Features,
    Settings,
    System,
)
from snakecap.config.system import Ensemble, Input
from snakecap.provenance import code, identity, sidecar
from snakecap.workflow import checks

ENSEMBLE = "ensemble"  # what stands for the stage of a model that was not trained as one


class Job(NamedTuple):
    """What a rule's job is compared by, and the settings that its step is given.

    Attributes:
        identity: plain text by name; Snakemake compares it.
        settings: JSON, with the paths as they are today; not compared.
    """

    identity: dict[str, str]
    settings: str


class Plan:
    """The jobs of one configuration; every path starts with ``<results>``, a pathvar."""

    def __init__(self, settings: Settings):
        """Prepare.

        Raises:
            SettingsError: a file that no job makes is not there, or a name is taken.
        """
        self.settings = settings
        self.dataset = settings.dataset
        self.systems: dict[str, System] = settings.runs()
        self.ensembles = settings.joint()
        inputs = [one for system in self.systems.values() for one in system.inputs.values()]
        self.features: dict[str, tuple[str, Features]] = {
            features_name(one): (one.source, one.features) for one in inputs if one.cached
        }
        self.layouts = sorted({one.source for one in inputs if one.table == "layouts"})
        self.detectors = sorted({settings.layouts[name].detector for name in self.layouts})
        checks.names(self.dataset, self.systems, self.ensembles)
        checks.roots(settings)
        checks.weights(settings, dict.fromkeys(backbone for backbone, _ in self.features.values()))
        checks.sources(settings, self.systems)
        checks.detectors(settings, self.detectors)

    # Files.

    def folder(self, dataset: str) -> Path:
        """Where a data set's downloaded or generated files are."""
        return Path(self.settings.downloads, dataset)

    def manifests(self, dataset: str) -> list[str]:
        """The download manifest of a data set that has something to fetch."""
        row = self.settings.datasets[dataset]
        return [f"<results>/{dataset}/downloads.json"] if row.downloads else []

    def captions(self, dataset: str, system: str) -> str:
        return f"<results>/{dataset}/captions/{self.systems[system].vocabulary}.h5"

    def described(self, dataset: str, vocabulary: str) -> str:
        """The pictures whose captions, or regions' phrases, are counted and packed."""
        of_regions = self.settings.vocabularies[vocabulary].of == "regions"
        return f"<results>/{dataset}/" + (
            f"regions/{vocabulary}.json" if of_regions else "pictures.json"
        )

    def encoded_images(self, dataset: str, vocabulary: str) -> list[str]:
        """The squares that packed captions are of; dense systems read photos."""
        of_regions = self.settings.vocabularies[vocabulary].of == "regions"
        return [] if of_regions else self.images(dataset)

    def pictures(self, dataset: str, system: str) -> str:
        """The records that a system learns from."""
        return self.described(dataset, self.systems[system].vocabulary)

    def words(self, dataset: str, system: str) -> str:
        return f"<results>/{dataset}/vocabularies/{self.systems[system].vocabulary}.json"

    def images(self, dataset: str) -> list[str]:
        """The pictures as squares, for data sets that have any."""
        return [f"<results>/{dataset}/images.h5"] if self.settings.pixels else []

    def trained_detector(self, dataset: str, detector: str) -> list[str]:
        """The weights of a detector that is trained here."""
        trained = self.settings.detectors[detector].training
        return [f"<results>/{dataset}/detectors/{detector}/model.safetensors"] if trained else []

    def detected_images(self, dataset: str, detector: str) -> list[str]:
        """Pictures, when a detector looks at them: which of them are readable."""
        return self.images(dataset) if self.settings.detectors[detector].reads_images else []

    def detections(self, dataset: str, layout: str, file: str) -> str:
        """A file of the detector of a layout."""
        return f"<results>/{dataset}/detections/{self.settings.layouts[layout].detector}{file}"

    def train_inputs(self, dataset: str, system: str, stage: str) -> list[str]:
        """A file for each of a system's inputs: pixels, when the stage looks at them itself."""
        return self._inputs(dataset, system, self.systems[system].stage(stage).reads_pictures)

    def caption_inputs(self, dataset: str, system: str, stage: str, split: str) -> list[str]:
        """The same for captions: pixels, when the backbone is not the one that was cached."""
        return [
            path
            for run, last in self.models(system, stage)
            for path in self._inputs(dataset, run, self.systems[run].changed_backbone(last))
        ]

    def models(self, system: str, stage: str) -> list[tuple[str, str]]:
        """The (system, stage) pairs whose models caption together: of an ensemble, its members."""
        if system not in self.ensembles:
            return [(system, stage)]
        runs = self.settings.members(self.ensembles[system])
        return [(run, self.systems[run].stages[-1].name) for run in runs]

    def model_files(self, dataset: str, system: str, stage: str, split: str) -> list[str]:
        """The models of a captioning job."""
        pairs = self.models(system, stage)
        return [f"<results>/{dataset}/{run}/{last}/model.safetensors" for run, last in pairs]

    def _inputs(self, dataset: str, system: str, pixels: bool) -> list[str]:
        folder = f"<results>/{dataset}"
        found = []
        for one in self.systems[system].inputs.values():
            if one.table == "layouts":
                found.append(f"{folder}/layouts/{one.source}.h5")
            elif one.table is None:
                found.append(str(one.file))
            elif not one.cached:
                found.append(self.pictures(dataset, system))
            elif pixels:
                found.append(f"{folder}/images.h5")
            else:
                found.append(f"{folder}/features/{features_name(one)}.lmdb")
        return found

    def previous(self, dataset: str, system: str, stage: str) -> list[str]:
        """The model of the stage before; of a first stage that of the system it starts from."""
        row = self.systems[system]
        before, start = row.before(stage), row.start
        if before is None and start is not None:
            system, before = start, self.systems[start].stages[-1].name
        return [f"<results>/{dataset}/{system}/{before}/model.safetensors"] if before else []

    def evaluated(self) -> list[tuple[str, str]]:
        """The (system, stage) pairs that are captioned, scored and reported."""
        return [*self.trained(), *((name, ENSEMBLE) for name in self.ensembles)]

    def trained(self) -> list[tuple[str, str]]:
        """Those of one model, which has a history."""
        return self._stages("caption")

    def dense(self) -> list[tuple[str, str]]:
        """The (system, stage) pairs that describe regions."""
        return self._stages("dense")

    def _stages(self, task: str) -> list[tuple[str, str]]:
        return [
            (name, stage.name)
            for name, system in self.systems.items()
            for stage in (system.stages if system.caption_stages == "all" else system.stages[-1:])
            if system.task == task
        ]

    def dense_files(self, pattern: str) -> list[str]:
        """One file of every system and stage that describes regions."""
        return self._files(self.dense(), pattern)

    def evaluated_files(self, pattern: str) -> list[str]:
        """One file of every evaluated system and stage, in the same order."""
        return self._files(self.evaluated(), pattern)

    def histories(self) -> list[str]:
        """The histories of those that are `trained`."""
        return self._files(self.trained(), "history.json")

    def _files(self, pairs: Iterable[tuple[str, str]], pattern: str) -> list[str]:
        folder = f"<results>/{self.dataset}"
        return [f"{folder}/{name}/{stage}/{pattern}" for name, stage in pairs]

    def reads(self) -> list[str]:
        """The layout that each evaluated system reads, the first, or a dot (no name has one)."""
        first = (self.models(name, stage)[0][0] for name, stage in self.evaluated())
        shown = (self.systems[name].sources("layouts") for name in first)
        return [layouts[0] if layouts else "." for layouts in shown]

    def layout_files(self) -> list[str]:
        """The layouts that systems read, for people."""
        return [f"<results>/{self.dataset}/layouts/{name}.json" for name in self.layouts]

    def detector_files(self, file: str) -> list[str]:
        """A file of every detector that the layouts come from."""
        return [f"<results>/{self.dataset}/detections/{name}{file}" for name in self.detectors]

    # What jobs depend on besides their input files.

    def job(self, rule: str, value: Any, parts: Iterable[str] = (), **more: str) -> Job:
        """A job that is compared by its code, its settings and more."""
        compared = identity.params(rule, value, parts) | more
        return Job(compared, code.canonical(identity.plain(value)))

    def download(self, dataset: str) -> Job:
        return self.job("download", self.settings.datasets[dataset].downloads)

    def annotations(self, dataset: str) -> Job:
        """Reading a data set; other captions or splits in its files are another job."""
        row = self.settings.datasets[dataset]
        root = self.root(dataset)
        more = {"sources": identity.source_digest(row, root)}
        if "+" in self.dataset:  # the names of a combined set's files depend on where they are
            more["root"] = str(root.absolute())
        return self.job("annotations", row, [registry.location("dataset", row.reader)], **more)

    def root(self, dataset: str) -> Path:
        root = self.settings.datasets[dataset].root
        return self.folder(dataset) if root is None else Path(root).expanduser()

    def moved_root(self, dataset: str) -> str:
        """Where photos are now, as words of a command; pictures.json says where they were."""
        row = self.settings.datasets.get(dataset)
        return "" if row is None or row.root is None else str(self.root(dataset))

    def photos(self, dataset: str, result: str) -> str:
        """The state of the photos that pictures.json lists; empty until there is one.

        Args:
            dataset: a row of `datasets`, or several joined with +.
            result: what was made of them before, under the data set's results.
        """
        how, folder = self.settings.photos, Path(self.settings.pathvars["results"], dataset)
        place, made = folder / "pictures.json", folder / result
        if how == "trust" or not place.is_file():
            return ""
        written, names = checks.listed(place, place.stat().st_mtime_ns)
        root = Path(self.moved_root(dataset) or written)
        record = sidecar.read(made) if made.exists() else None
        return sidecar.photos_since(root, names, record, contents=how == "contents")[:16]

    def resize(self, dataset: str) -> Job:
        return self.job("resize", self.settings.resize, photos=self.photos(dataset, "images.h5"))

    def regions(self, dataset: str, vocabulary: str) -> Job:
        """Choosing the regions that are learnt; which words are frequent changes nothing."""
        row = self.settings.vocabularies[vocabulary]
        chosen = Phrases(**{name: getattr(row, name) for name in Phrases.model_fields})
        photos = self.photos(dataset, f"regions/{vocabulary}.json")
        parts = [registry.location("tokenizer", row.tokenizer)]
        return self.job("regions", chosen, parts, photos=photos)

    def text(self, rule: str, vocabulary: str) -> Job:
        """Counting words (`vocabulary`), or packing captions (`encode`)."""
        row = self.settings.vocabularies[vocabulary]
        return self.job(rule, row, [registry.location("tokenizer", row.tokenizer)])

    def features_job(self, name: str) -> Job:
        backbone, features = self.features[name]
        row = self.settings.backbones[backbone]
        parts = [registry.location("backbone", row.family)]
        return self.job("features", Extraction(backbone=row, features=features), parts)

    def train_detector(self, dataset: str, detector: str) -> Job:
        row = self.settings.detectors[detector]
        assert row.training is not None, f"no job trains {detector}"
        parts = [row.location, registry.location("schedule", row.training.schedule.name)]
        parts.append(registry.location("optimiser", row.training.optimiser.name))
        photos = self.photos(dataset, f"detectors/{detector}/model.safetensors")
        return self.job("train_detector", row.untrained, parts, photos=photos)

    def detect(self, dataset: str, detector: str) -> Job:
        """Looking for objects; how it was trained is in its weights."""
        row = self.settings.detectors[detector].model_copy(update={"training": None})
        place = f"detections/{detector}.json"
        photos = self.photos(dataset, place) if row.reads_images else ""
        return self.job("detect", row, [row.location], photos=photos)

    def layout(self, name: str) -> Job:
        row = self.settings.layouts[name]
        chosen = {key: getattr(row, key) for key in Arrangement.model_fields}
        return self.job("layout", Arrangement(**chosen))

    def parts(self, system: System) -> list[str]:
        rows = (self.settings.backbones[name] for name in system.sources("backbones"))
        return [
            *(registry.location("encoder", part.part) for part in system.encoders),
            *(registry.location("input", one.part) for one in system.inputs.values()),
            registry.location("decoder", system.decoder.part),
            *(registry.location("backbone", row.family) for row in rows),
        ]

    def train(self, system: str, stage: str) -> Job:
        training = self.settings.training(self.systems[system], stage)
        row = training.stage
        optimisers = [row.optimiser, *([row.backbone_optimiser] if row.finetunes else [])]
        metrics = VALIDATION_METRICS if row.language_eval else ()
        parts = [
            *self.parts(self.systems[system]),
            registry.location("task", training.task),
            registry.location("objective", row.objective.part),
            registry.location("schedule", row.schedule.name),
            *(registry.location("optimiser", optimiser.name) for optimiser in optimisers),
            *(registry.location("metric", name) for name in metrics),
        ]
        return self.job("train", training, parts)

    def caption(self, system: str) -> Job:
        rows: dict[str, System | Ensemble] = {**self.systems, **self.ensembles}
        decoding = rows[system].decoding
        members = [self.systems[name] for name, _ in self.models(system, ENSEMBLE)]
        parts = dict.fromkeys(part for row in members for part in self.parts(row))
        search = registry.location("search", decoding.method)
        return self.job("caption", decoding, [*parts, search])

    def describe(self, system: str) -> Job:
        row = self.systems[system]
        search = registry.location("search", row.describing.method)
        return self.job("describe", row.describing, [*self.parts(row), search])

    def score(self) -> Job:
        row = self.settings.score
        return self.job("score", row, [registry.location("metric", name) for name in row.metrics])

    def report(self) -> Job:
        return self.job("report", self.settings.report)

    def configuration(self, split: str) -> list[str]:
        """``FILE=DIGEST`` of the settings of each job behind a report, FILE relative to its data.

        Results record the same digest of what they were made with.
        """
        jobs = (*self._data(), *self._objects(), *self._captioned(split))
        return [f"{file}={code.settings_digest(job.identity['settings'])}" for file, job in jobs]

    def _data(self) -> Iterator[tuple[str, Job]]:
        for name in self.dataset.split("+"):
            yield f"../{name}/pictures.json", self.annotations(name)
        if self.settings.pixels:
            yield "images.h5", self.resize(self.dataset)
        for name in dict.fromkeys(system.vocabulary for system in self.systems.values()):
            if self.settings.vocabularies[name].of == "regions":
                yield f"regions/{name}.json", self.regions(self.dataset, name)
            yield f"vocabularies/{name}.json", self.text("vocabulary", name)
            yield f"captions/{name}.h5", self.text("encode", name)
        for name in self.features:
            yield f"features/{name}.lmdb", self.features_job(name)

    def _objects(self) -> Iterator[tuple[str, Job]]:
        for name in self.detectors:
            if self.settings.detectors[name].training:
                model = f"detectors/{name}/model.safetensors"
                yield model, self.train_detector(self.dataset, name)
            yield f"detections/{name}.json", self.detect(self.dataset, name)
        for name in self.layouts:
            yield f"layouts/{name}.h5", self.layout(name)

    def _captioned(self, split: str) -> Iterator[tuple[str, Job]]:
        for name, system in self.systems.items():
            for stage in system.stages:
                yield f"{name}/{stage.name}/model.safetensors", self.train(name, stage.name)
        for name, last in self.evaluated():
            yield f"{name}/{last}/captions/{split}.json", self.caption(name)
            yield f"{name}/{last}/scores/{split}.json", self.score()
        for name, last in self.dense():
            yield f"{name}/{last}/describe/{split}.json", self.describe(name)


def features_name(one: Input) -> str:
    """The file name of an input's features: backbone, output, and what else changes them."""
    kept = one.features
    words = [one.source, kept.output]
    return "_".join(words + [word for word in ("flip", "half") if getattr(kept, word)])
