"""Train one stage of one system.

Source: neuraltalk2/train.lua for the knobs and their defaults (docs/systems.md lists deviations).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from snakecap import device as devices
from snakecap import provenance, registry
from snakecap.data.inputs import Ahead, CachedFeatures, Pixels
from snakecap.data.sampler import Sampler
from snakecap.data.sampling import choose
from snakecap.files import atomic, captions as packing, model as models, pictures as records
from snakecap.files.vocabulary import Vocabulary
from snakecap.files import vocabulary as vocabularies
from snakecap.log import logger
from snakecap.models.build import build
from snakecap.models.captioner import Captioner
from snakecap.optimisers.group import Group, Numbers
from snakecap.settings import Optimiser, Stage, Training
from snakecap.stages.fit import History, Plan, fit
from snakecap.stages.validate import Validator

Source = CachedFeatures | Pixels
Batch = tuple[dict[str, Tensor], Tensor, Tensor]


def train(
    *,
    captions: Path,
    vocabulary: Path,
    pictures: Path,
    model: Path,
    last: Path,
    history: Path,
    settings: Training,
    images: Path | None = None,
    features: Path | None = None,
    previous: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Train one stage of a system; a killed run continues where it was.

    Args:
        captions: captions.h5, packed.
        vocabulary: vocabulary.json.
        pictures: pictures.json, for the references of the validation split.
        model: where the best model goes, complete enough to caption by itself.
        last: where the last model goes.
        history: where losses and scores go; readable while training.
        settings: the stage, and the parts it trains.
        images: images.h5, when the stage reads pictures.
        features: cached features, when it does not.
        previous: model of the stage before; without one the weights start fresh.
        device: auto, cpu or cuda.
        threads: CPU threads.

    Raises:
        ValueError: a file that the stage needs was not given, or a split is empty.
    """
    place = devices.choose(device, threads)
    inputs = [path for path in (captions, vocabulary, pictures, images, previous) if path]
    sums = {path.name: provenance.file_digest(path) for path in inputs}
    with provenance.work_folder(model, settings.model_dump(mode="json"), sums) as work:
        words = vocabularies.read(vocabulary)
        packed = packing.read(captions)
        captioner = _model(settings, words, previous, place)
        source = _source(settings, packed.files, images, features, place)
        job = _Job(settings, captioner, packed, source, place)
        validator = Validator(captioner, source, packed, words, records.read(pictures), settings)
        past = job.run(validator, work, history)
        _write(model, captioner, settings, words, past)
        captioner.load_state_dict(_weights(work / "last.safetensors"), strict=False)
        _write(last, captioner, settings, words, past)


def _weights(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def _model(
    settings: Training, words: Vocabulary, previous: Path | None, place: torch.device
) -> Captioner:
    torch.manual_seed(settings.stage.seed)
    captioner = build(settings, vocabulary_size=len(words.words))
    if previous is not None:
        weights, header = models.read(previous)
        if header["vocabulary"]["words"] != list(words.words):
            raise ValueError(f"{previous} was trained with another vocabulary")
        captioner.load_state_dict(weights)
    elif captioner.backbone is not None and settings.backbone is not None:
        from snakecap.encoders.weights import load_weights

        load_weights(captioner.backbone, settings.backbone.architecture, settings.backbone.weights)
    return captioner.to(place)


def _source(
    settings: Training,
    files: list[str],
    images: Path | None,
    features: Path | None,
    place: torch.device,
) -> Source | None:
    stage = settings.stage
    if settings.backbone is None:
        return None
    if stage.reads_pictures:
        if images is None:
            raise ValueError(f"stage {stage.name} reads pictures: give --images")
        return pixels(settings, images, place)
    if features is None:
        raise ValueError(f"stage {stage.name} reads cached features: give --features")
    return cached(features, files, place, flip=stage.flip)


def pixels(settings: Training, images: Path, place: torch.device) -> Pixels:
    """Pictures of images.h5, augmented as the stage says."""
    from snakecap.files.images import Images

    assert settings.backbone is not None
    stage = settings.stage
    side = settings.geometry.size
    crop = settings.backbone.preprocess.crop or side
    margin = side - crop if stage.random_crop else 0
    return Pixels(Images(images).read, place, flip=stage.flip, margin=margin)


def cached(features: Path, files: list[str], place: torch.device, *, flip: bool) -> CachedFeatures:
    """Features of the files, in their order, kept on the device."""
    from snakecap.files.features import Features

    store = Features(features)
    plain = torch.from_numpy(store.load(files)).to(place)
    mirrored = None
    if flip:
        mirrored = torch.from_numpy(store.load([f"{file}@flip" for file in files])).to(place)
    return CachedFeatures(plain, mirrored)


class _Job:
    """One stage's batches, optimiser groups and schedule, for the loop."""

    def __init__(
        self,
        settings: Training,
        captioner: Captioner,
        packed: packing.Captions,
        source: Source | None,
        place: torch.device,
    ):
        self.settings = settings
        self.stage = settings.stage
        self.captioner = captioner
        self.source = source
        self.place = place
        rows = torch.tensor(
            [
                row
                for row, split in enumerate(packed.splits)
                if split == "train" and packed.ends[row] > packed.starts[row]
            ]
        )
        self.sampler = Sampler(
            rows,
            batch_size=self.stage.batch_size,
            seed=self.stage.seed,
            shuffle=self.stage.shuffle,
        )
        self.labels = torch.from_numpy(packed.labels.astype("int64"))
        self.starts = torch.from_numpy(packed.starts.astype("int64"))
        self.counts = torch.from_numpy((packed.ends - packed.starts).astype("int64"))
        self.schedule = registry.load("schedule", self.stage.schedule.name)
        self.groups = self._groups()

    @property
    def iterations(self) -> int:
        epochs = self.stage.epochs
        by_epochs = math.inf if epochs is None else epochs * self.sampler.epoch_length
        return max(1, int(min(by_epochs, self.stage.max_iterations or math.inf)))

    def batch(self, iteration: int) -> Batch:
        """Inputs, captions and each caption's picture: a pure function of the iteration."""
        rows, generator = self.sampler.batch(iteration)
        each = self.stage.captions_per_picture
        chosen = choose(self.starts[rows], self.counts[rows], each, generator)
        owners = torch.arange(len(rows)).repeat_interleave(each)
        inputs = self.source.augmented(rows, generator) if self.source else {}
        words = self.labels[chosen.flatten()]
        return inputs, words.to(self.place), owners.to(self.place)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        smoothing = self.stage.label_smoothing
        losses: dict[str, Tensor] = self.captioner(*batch, label_smoothing=smoothing)
        return losses

    def factor(self, iteration: int) -> float:
        options = self.stage.schedule.options
        return float(self.schedule(iteration, self.iterations, **options))

    def _groups(self) -> list[Group]:
        """The parts' group, and the fine-tuned backbone's; the rest of the backbone is frozen."""
        backbone = self.captioner.backbone
        inside: set[int] = set() if backbone is None else {id(p) for p in backbone.parameters()}
        named = list(self.captioner.named_parameters())
        groups = [_group([(n, p) for n, p in named if id(p) not in inside], self.stage.optimiser)]
        if backbone is not None:
            backbone.requires_grad_(False)
            if self.stage.finetune_from is not None:
                from snakecap.encoders.backbones import trainable

                chosen = {id(p) for p in trainable(backbone, self.stage.finetune_from)}
                found = [(n, p) for n, p in named if id(p) in chosen]
                groups.append(_group(found, self.stage.backbone_optimiser))
        return groups

    def active(self, iteration: int) -> list[Group]:
        """The groups that step at an iteration, in training mode."""
        finetunes = len(self.groups) > 1 and iteration >= self.stage.finetune_after
        if len(self.groups) > 1:
            for parameter in self.groups[1].parameters:
                parameter.requires_grad_(finetunes)
        set_training(self.captioner, self.stage, finetunes)
        return self.groups if finetunes else self.groups[:1]

    def run(self, validator: Validator, work: Path, history: Path) -> History:
        stage = self.stage
        plan = Plan(
            iterations=self.iterations,
            validate_every=stage.validate_every or self.sampler.epoch_length,
            log_every=stage.log_every,
            checkpoint_every=stage.checkpoint_every,
            explosion=stage.explosion,
            precision=devices.precision(stage.precision, self.place),
        )
        ahead = Ahead(self.batch, plan.iterations)
        try:
            return fit(
                self.captioner,
                loss=self.loss,
                batch=ahead,
                groups=self.active,
                factor=self.factor,
                validate=validator,
                report=lambda past: _report(history, past, self.settings, self.captioner),
                plan=plan,
                work=work,
                captions_in=lambda batch: len(batch[1]),
                title=f"train {stage.name}",
            )
        finally:
            ahead.close()


def set_training(captioner: Captioner, stage: Stage, finetunes: bool) -> None:
    """Training mode, but for a frozen backbone and for batch statistics not asked for."""
    captioner.train()
    backbone = captioner.backbone
    if backbone is None:
        return
    if not finetunes:
        backbone.eval()
        return
    from snakecap.encoders.backbones import set_mode

    set_mode(backbone, stage.finetune_from, batch_norm=stage.train_batch_norm)


def _group(parameters: list[tuple[str, nn.Parameter]], row: Optimiser) -> Group:
    numbers = Numbers(
        learning_rate=row.learning_rate,
        alpha=row.alpha,
        beta=row.beta,
        epsilon=row.epsilon,
        weight_decay=row.weight_decay,
        decoupled_decay=row.decoupled_decay,
    )
    return Group(parameters, registry.load("optimiser", row.name), numbers, clip=row.grad_clip)


def _facts(settings: Training, captioner: nn.Module) -> dict[str, Any]:
    parameters = sum(p.numel() for p in captioner.parameters())
    return provenance.stamp(settings=settings.model_dump(mode="json"), parameters=parameters)


def _report(path: Path, past: History, settings: Training, captioner: nn.Module) -> None:
    rate = past.captions / past.seconds if past.seconds else 0.0
    facts = _facts(settings, captioner)
    atomic.write_json(path, {**facts, **vars(past), "throughput": rate})


def _write(
    path: Path, captioner: Captioner, settings: Training, words: Vocabulary, past: History
) -> None:
    header = {
        **_facts(settings, captioner),
        "vocabulary": words.as_json(),
        "iteration": past.iteration,
        "best": past.best,
    }
    models.write(path, captioner.state_dict(), header)
    logger.info("wrote %s", path)
