"""Every knob, its default and the reason for it; checked before any job starts.

``config.yaml`` is one `Settings`. Sources of the defaults: NeuralTalk2's prepro.py, train.py and
eval.py (Karpathy, 2015), the Show-and-Tell tutorial (yunjey/pytorch-tutorial), and measurements
in docs/log.md. Imports no torch: a dry run reads this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from snakecap import registry
from snakecap.options import check as check_options

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]  # a row's: it becomes a folder's
Split = Literal["train", "val", "test", "extra"]


# METEOR would start a Java program at every validation.
VALIDATION_METRICS = ("Bleu", "ROUGE_L", "CIDEr")


class SettingsError(ValueError):
    """A setting is unknown, of the wrong type or out of range; the message says which."""


class Model(BaseModel):
    """Base of all settings: immutable, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Download(Model):
    """One file that a data set needs from the network."""

    url: str = Field(description="http(s) address, file:// address, or a path on this machine")
    sha256: str | None = Field(None, description="null: the first download records it")
    size: Count | None = Field(None, description="bytes, when the publisher says")
    unpack: bool = Field(False, description="a zip or tar archive to unpack beside the download")


class Dataset(Model):
    """A row of `datasets`: where pictures and captions come from."""

    reader: str = Field(description="how to read it: a name in registry.DATASETS")
    root: str | None = Field(
        None, description="folder with the files; used in place, nothing is downloaded into it"
    )
    downloads: tuple[Download, ...] = Field((), description="fetched into `downloads/{dataset}`")
    options: dict[str, Any] = Field({}, description="keyword arguments of the reader")

    @model_validator(mode="after")
    def _known(self) -> Dataset:
        check_options("dataset", self.reader, self.options)
        return self


class Geometry(Model):
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

    max_rejected: Fraction = Field(
        0.01, description="the run fails when a larger share of the pictures is unreadable"
    )


class Vocabulary(Model):
    """A row of `vocabularies`: captions to words to ids."""

    tokenizer: str = Field("neuraltalk2", description="a name in registry.TOKENIZERS")
    min_count: Count = Field(5, description="NeuralTalk2 keeps words seen more than 5 times")
    inclusive: bool = Field(
        False, description="true keeps words seen exactly min_count times (the tutorial's rule)"
    )
    splits: tuple[Split, ...] = Field(
        ("train",), description="splits that are counted; the original counted all of them"
    )
    max_length: Positive = Field(16, description="words; longer captions are clipped")

    @model_validator(mode="after")
    def _known(self) -> Vocabulary:
        registry.location("tokenizer", self.tokenizer)
        return self


class Preprocess(Model):
    """Square uint8 RGB pictures to what a backbone was trained on."""

    crop: Positive | None = Field(224, description="centre crop in pixels; null: the whole picture")
    scale: float = Field(255.0, gt=0, description="pixels are divided by this first")
    mean: tuple[float, float, float] = Field((0.485, 0.456, 0.406), description="RGB, after scale")
    std: tuple[float, float, float] = Field((0.229, 0.224, 0.225), description="RGB, after scale")
    bgr: bool = Field(False, description="Caffe's channel order")


class Backbone(Model):
    """A row of `backbones`: a convolutional network and how to feed it."""

    architecture: str = Field(
        "resnet50", description="any torchvision classification model, or `tiny`, ours"
    )
    weights: str = Field(
        "torchvision",
        description="`torchvision`, `random`, or a .pth, .safetensors or .npz state dict",
    )
    preprocess: Preprocess = Field(Preprocess(), description="what its weights were trained on")
    class_scores: bool = Field(
        False, description="append the softmax over the classes to the pooled features"
    )

    @property
    def family(self) -> str:
        """Which row of registry.BACKBONES builds it."""
        return self.architecture if self.architecture in registry.BACKBONES else "torchvision"


class Features(Model):
    """How backbone features are cached."""

    output: Literal["pooled", "grid"] = Field(
        "pooled", description="one vector a picture, or one for each cell of the last feature map"
    )
    flip: bool = Field(False, description="store the mirrored picture's features too")
    half: bool = Field(False, description="float16: half the disk, 3 decimal digits")
    batch_size: Positive = Field(32, description="pictures at once")


class Part(Model):
    """A part of a model by name, with its keyword options checked against its constructor."""

    part: str = Field(description="a name in the registry, see below")
    options: dict[str, Any] = Field({}, description="keyword arguments of the part")


class Optimiser(Model):
    """One parameter group's optimiser (NeuralTalk2's optim_updates.lua, and AdamW)."""

    name: str = Field("adam", description="a name in registry.OPTIMISERS")
    learning_rate: Annotated[float, Field(gt=0)] = Field(
        4e-4, description="NeuralTalk2's; times the schedule's factor"
    )
    alpha: Fraction = Field(0.8, description="Adam's beta 1, momentum, or RMSProp's decay")
    beta: Fraction = Field(0.999, description="Adam's beta 2")
    epsilon: Annotated[float, Field(gt=0)] = Field(1e-8, description="added to the denominator")
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        0.0, description="L2, added to the gradient before clipping (cnn_weight_decay)"
    )
    decoupled_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="AdamW's own")
    grad_clip: Annotated[float, Field(gt=0)] | None = Field(
        0.1, description="each gradient element to +-this; NeuralTalk2's sweep found 0.1 best"
    )

    @model_validator(mode="after")
    def _known(self) -> Optimiser:
        registry.location("optimiser", self.name)
        return self


class Schedule(Model):
    """Learning-rate factor by iteration; the same for every optimiser of a stage."""

    name: str = Field("constant", description="a name in registry.SCHEDULES")
    options: dict[str, Any] = Field({}, description="keyword arguments of the schedule")

    @model_validator(mode="after")
    def _known(self) -> Schedule:
        check_options("schedule", self.name, self.options)
        return self


class Stage(Model):
    """One training stage; it starts from the model of the stage before it."""

    name: Name = Field(description="of the stage and of its folder")
    epochs: Annotated[float, Field(gt=0)] | None = Field(10, description="passes over the pictures")
    max_iterations: Positive | None = Field(None, description="whichever ends first")
    batch_size: Positive = Field(16, description="pictures a step")
    captions_per_picture: Positive = Field(5, description="NeuralTalk2's seq_per_img")
    shuffle: bool = Field(True, description="false: file order, as NeuralTalk2")
    optimiser: Optimiser = Field(Optimiser(), description="of all but the backbone")
    finetune_from: str | None = Field(
        None,
        description="train the backbone from this layer up (`all`, or a prefix such as layer3); "
        "null: frozen",
    )
    finetune_after: Count = Field(0, description="iteration at which backbone training starts")
    backbone_optimiser: Optimiser = Field(
        Optimiser(learning_rate=1e-5), description="of the fine-tuned layers"
    )
    train_batch_norm: bool = Field(
        False, description="batch statistics in the fine-tuned layers; needs large batches"
    )
    schedule: Schedule = Field(Schedule(), description="of every learning rate of the stage")
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of a target's probability that is spread over all words"
    )
    flip: bool = Field(False, description="mirror pictures at random")
    random_crop: bool = Field(False, description="NeuralTalk2's random crop; reads pictures")
    seed: int = Field(123, description="of weights, order, captions and augmentation")
    validate_every: Positive | None = Field(None, description="iterations; null: every epoch")
    validation_pictures: int = Field(
        3200, ge=-1, description="how many of the validation split to use; -1: all"
    )
    language_eval: bool = Field(
        True, description="choose the best model by validation CIDEr, else by validation loss"
    )
    log_every: Positive = Field(25, description="iterations between entries of the loss history")
    checkpoint_every: Annotated[float, Field(gt=0)] = Field(
        60.0, description="seconds between checkpoints that a killed run continues from"
    )
    explosion: Annotated[float, Field(gt=1)] = Field(
        20.0, description="stop when the loss exceeds this many times the first"
    )
    precision: Literal["float32", "bfloat16", "auto"] = Field(
        "auto", description="auto: bfloat16 autocast on GPU, float32 on CPU"
    )

    @property
    def finetunes(self) -> bool:
        """Whether this stage changes the backbone."""
        return self.finetune_from is not None

    @property
    def reads_pictures(self) -> bool:
        """Whether this stage needs pixels rather than cached features."""
        return self.finetunes or self.random_crop

    @model_validator(mode="after")
    def _ends(self) -> Stage:
        if self.epochs is None and self.max_iterations is None:
            raise ValueError("give epochs or max_iterations: training must end")
        return self


class Decoding(Model):
    """How words are searched for."""

    method: Literal["beam", "greedy", "sample"] = Field("beam", description="kind of search")
    beam_width: Positive = Field(
        2, description="NeuralTalk2: 2 or 3 works well, more is not better"
    )
    max_length: Positive = Field(16, description="words; a caption that gets there is cut")
    temperature: Annotated[float, Field(gt=0)] = Field(
        1.0, description="sampling: logits are divided by it"
    )
    top_k: Count = Field(0, description="sample among the k likeliest words; 0: all")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="sample among the likeliest words that together have this probability"
    )
    length_normalisation: Annotated[float, Field(ge=0)] = Field(
        0.0, description="divide a caption's log-probability by (words + 1) to this power"
    )
    no_repeat_ngram: Count = Field(0, description="forbid a second n-gram of this size; 0: allow")
    no_repeat_words: bool = Field(False, description="forbid a second use of a content word")
    suppress_unknown: bool = Field(True, description="never say UNK")
    n_best: Positive = Field(1, description="captions a picture, with their log-probabilities")
    batch_size: Positive = Field(64, description="pictures at once")
    seed: int = Field(123, description="of sampling, and of the shuffled-image control")


class System(Model):
    """A row of `systems`: parts, training stages and decoding."""

    vocabulary: str = Field(description="a row of `vocabularies`")
    backbone: str | None = Field(None, description="a row of `backbones`; null: reads no pictures")
    features: Features = Field(Features(), description="what frozen stages read")
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
    seed: int | None = Field(None, description="overrides every stage's seed")

    @model_validator(mode="after")
    def _consistent(self) -> System:
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"stages need at least one row and distinct names, not {names}")
        if self.backbone is None and any(stage.reads_pictures for stage in self.stages):
            raise ValueError("a stage that reads pictures needs a backbone")
        for family, parts in (("encoder", self.encoders), ("decoder", (self.decoder,))):
            for part in parts:
                check_options(family, part.part, part.options)
        from_cache = self.backbone is not None and not self.features.flip
        if from_cache and any(row.flip and not row.reads_pictures for row in self.stages):
            raise ValueError(
                "a stage with flip: true and a frozen backbone reads the features of mirrored "
                "pictures: set features.flip too"
            )
        return self

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
    geometry: Geometry = Field(Geometry(), description="see resize")
    stage: Stage = Field(description="the stage to train")


class Score(Model):
    """Metrics and their intervals."""

    metrics: tuple[str, ...] = Field(
        ("Bleu", "METEOR", "ROUGE_L", "CIDEr"), description="names in registry.METRICS"
    )
    bootstrap: Count = Field(1000, description="resamples for the 95 % intervals; 0: none")
    seed: int = Field(123, description="of the resampling")

    @model_validator(mode="after")
    def _known(self) -> Score:
        for metric in self.metrics:
            registry.location("metric", metric)
        return self


class Report(Model):
    """The static page and the plots."""

    title: str = Field("Image captioning systems compared", description="of the page")
    shown: Count = Field(200, description="pictures on the page; 0: all")
    thumbnail: Positive = Field(256, description="side in pixels of the embedded pictures")


class Settings(Model):
    """The whole of ``config.yaml``."""

    dataset: str = Field("shapes", description="a row of `datasets`, or several joined with +")
    pathvars: dict[Literal["results", "logs"], str] = Field(
        {"results": "results", "logs": "results/logs"}, description="where results and logs go"
    )
    downloads: str = Field("downloads", description="where downloads go")
    compare: tuple[str, ...] | None = Field(None, description="rows of `systems`; null: all")
    seeds: tuple[int, ...] = Field((), description="train every system once for each seed")
    evaluate: tuple[Split, ...] = Field(("test",), description="splits to caption and score")
    datasets: dict[Name, Dataset] = Field(description="where pictures and captions come from")
    resize: Resize = Field(Resize(), description="one size for all pictures")
    vocabularies: dict[Name, Vocabulary] = Field({}, description="words and ids")
    backbones: dict[Name, Backbone] = Field({}, description="networks that look")
    systems: dict[Name, System] = Field({}, description="what is compared")
    score: Score = Field(Score(), description="how captions are judged")
    report: Report = Field(Report(), description="what people look at")
    threads: Positive = Field(1, description="CPU threads of a training or feature job")
    gpus: Count = Field(0, description="GPUs that a training or feature job asks a cluster for")

    @model_validator(mode="after")
    def _references(self) -> Settings:
        for name in self.dataset.split("+"):
            _row("dataset", name, "datasets", self.datasets)
        for name in self.compare or ():
            _row("compare", name, "systems", self.systems)
        for name, system in self.systems.items():
            place = f"systems.{name}"
            _row(f"{place}.vocabulary", system.vocabulary, "vocabularies", self.vocabularies)
            if system.backbone is not None:
                _row(f"{place}.backbone", system.backbone, "backbones", self.backbones)
        for system in self.runs().values():
            self._check_crop(system.backbone)
        return self

    def _check_crop(self, backbone: str | None) -> None:
        crop = None if backbone is None else self.backbones[backbone].preprocess.crop
        if crop is not None and crop > self.resize.size:
            raise ValueError(
                f"backbones.{backbone}.preprocess.crop: {crop} pixels do not fit in pictures of "
                f"resize.size {self.resize.size}"
            )

    def training(self, system: System, stage: str) -> Training:
        """What the job that trains `stage` of `system` depends on, and nothing else."""
        row = None if system.backbone is None else self.backbones[system.backbone]
        geometry = {name: getattr(self.resize, name) for name in Geometry.model_fields}
        return Training(
            encoders=system.encoders,
            decoder=system.decoder,
            width=system.width,
            backbone=row,
            geometry=Geometry(**geometry),
            stage=system.stage(stage),
        )

    def runs(self) -> dict[str, System]:
        """The systems to run: those compared, once for each seed."""
        chosen = {name: self.systems[name] for name in self.compare or self.systems}
        if not self.seeds:
            return chosen
        return {
            f"{name}_seed{seed}": system.model_copy(update={"seed": seed})
            for name, system in chosen.items()
            for seed in self.seeds
        }


def _row(place: str, name: str, table: str, rows: Mapping[str, Any]) -> None:
    if name not in rows:
        known = ", ".join(rows) or "none"
        raise ValueError(f"{place}: no row {name!r} in {table}; known: {known}")


def read(raw: Mapping[str, Any]) -> Settings:
    """Check a configuration.

    Raises:
        SettingsError: with a line for each mistake: the place, the value, what is allowed.
    """
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(item) for item in error.errors()]
        raise SettingsError("the configuration has mistakes:\n" + "\n".join(lines)) from None


def _explain(item: Any) -> str:
    """One mistake: its place, what is wrong, and the value when the message lacks it."""
    place = "".join(f"{part}." for part in item["loc"])[:-1]
    if item["type"] == "extra_forbidden":
        known = ", ".join(_keys_at(item["loc"][:-1]))
        return f"  {place}: unknown setting; known here: {known}"
    message = item["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list")
    shown = "" if isinstance(item["input"], dict | BaseModel) else f" (it is {item['input']!r})"
    return f"  {place}: {message}{shown}" if place else f"  {message}"


def _keys_at(place: tuple[str | int, ...]) -> list[str]:
    """The settings known at a place such as ("systems", "neuraltalk2", "stages", 0)."""
    model: type[Model] = Settings
    for part in place:
        field = model.model_fields.get(str(part))
        found = _models_in(field.annotation) if field else []
        model = found[0] if found else model
    return list(model.model_fields)


def _models_in(annotation: Any) -> list[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return [annotation]
    inner = getattr(annotation, "__args__", ())
    return [model for argument in inner for model in _models_in(argument)]
