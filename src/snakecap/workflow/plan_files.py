"""Which files the jobs of a configuration read, and whether those are there that nobody makes.

No torch is imported: the Snakefile asks here, through `snakecap.workflow.plan`.
"""

from __future__ import annotations

from pathlib import Path

from snakecap.config.detection import files_by_split
from snakecap.config.settings import Features, Settings, SettingsError, System
from snakecap.config.system import Input


class Files:
    """The files of one configuration; every method's answer is plain text or lists of it.

    Paths start with ``<results>``, which Snakemake replaces (its pathvars).
    """

    def __init__(self, settings: Settings):
        """Prepare.

        Args:
            settings: the checked configuration.

        Raises:
            SettingsError: a data set's folder, a backbone's weights or a detector's file is not
                there.
        """
        self.settings = settings
        self.dataset = settings.dataset
        self.systems: dict[str, System] = settings.runs()
        inputs = [one for system in self.systems.values() for one in system.inputs.values()]
        self.features: dict[str, tuple[str, Features]] = {
            features_name(one): (one.source, one.features)
            for one in inputs
            if one.table == "backbones"
        }
        self.layouts = sorted({one.source for one in inputs if one.table == "layouts"})
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
        used = [row for system in self.systems.values() for row in system.sources("backbones")]
        for backbone in dict.fromkeys(used):
            for path in self._weights(backbone):
                if not Path(path).is_file():
                    raise SettingsError(
                        f"backbones.{backbone}.weights: no file {path}; give a .pth, .safetensors "
                        "or .npz state dict, `torchvision` or `random`"
                    )
        for name, system in self.systems.items():
            for key, one in system.inputs.items():
                if one.table is None and not Path(one.source).is_file():
                    place = f"systems.{name}.inputs.{key}.source"
                    raise SettingsError(f"{place}: there is no file {one.source}")
        for name in self.detectors:
            row = self.settings.detectors[name]
            for path in row.named:
                if not Path(path).is_file():
                    raise SettingsError(f"detectors.{name}.options: there is no file {path}")
            file = row.file
            try:
                if file is not None and not any(path.is_file() for path in files_by_split(file)):
                    raise FileNotFoundError(f"there is no file {file}")
            except FileNotFoundError as error:
                raise SettingsError(f"detectors.{name}.file: {error}") from None

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

    def detector_named(self, detector: str) -> list[str]:
        """Files that a detector's options name."""
        return self.settings.detectors[detector].named

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

    def weights(self, features: str) -> list[str]:
        """A backbone's weights when they are a file on this machine."""
        return self._weights(self.features[features][0])

    def _weights(self, backbone: str) -> list[str]:
        weights = self.settings.backbones[backbone].weights
        if weights in ("random", "torchvision"):
            return []
        return [weights]

    def train_inputs(self, dataset: str, system: str, stage: str) -> list[str]:
        """A file for each of a system's inputs: pixels, when the stage looks at them itself."""
        return self._inputs(dataset, system, self.systems[system].stage(stage).reads_pictures)

    def caption_inputs(self, dataset: str, system: str, stage: str, split: str) -> list[str]:
        """The same for captions: pixels, when the backbone is not the one that was cached."""
        return self._inputs(dataset, system, self.systems[system].changed_backbone(stage))

    def _inputs(self, dataset: str, system: str, pixels: bool) -> list[str]:
        folder = f"<results>/{dataset}"
        found = []
        for one in self.systems[system].inputs.values():
            if one.table == "layouts":
                found.append(f"{folder}/layouts/{one.source}.h5")
            elif one.table is None:
                found.append(one.source)
            elif pixels:
                found.append(f"{folder}/images.h5")
            else:
                found.append(f"{folder}/features/{features_name(one)}.lmdb")
        return found

    def previous(self, dataset: str, system: str, stage: str) -> list[str]:
        """The model of the stage before."""
        before = self.systems[system].before(stage)
        return [f"<results>/{dataset}/{system}/{before}/model.safetensors"] if before else []

    def train_weights(self, dataset: str, system: str, stage: str) -> list[str]:
        """The backbone's weights, for the first stage."""
        row = self.systems[system]
        if row.before(stage):
            return []
        return [path for one in row.sources("backbones") for path in self._weights(one)]

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
        """The layout that each evaluated system reads, the first, or a hyphen."""
        shown = (self.systems[name].sources("layouts") for name, _ in self.evaluated())
        return [layouts[0] if layouts else "-" for layouts in shown]

    def layout_files(self) -> list[str]:
        """The layouts that systems read, for people."""
        return [f"<results>/{self.dataset}/layouts/{name}.json" for name in self.layouts]

    def detector_files(self, file: str) -> list[str]:
        """A file of every detector that the layouts come from."""
        return [f"<results>/{self.dataset}/detections/{name}{file}" for name in self.detectors]


def features_name(one: Input) -> str:
    """The file name of an input's features: backbone, output, and what else changes them."""
    kept = one.features
    words = [one.source, kept.output]
    return "_".join(words + [word for word in ("flip", "half") if getattr(kept, word)])
