"""Rows of `detectors` and `layouts`: what finds objects, and how they become a model's input."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from snakecap import registry
from snakecap.config.base import Fraction, NoEffect, Positive, Section, Split
from snakecap.config.options import check as check_options
from snakecap.config.options import complete, constant
from snakecap.config.training import Learning, Optimiser, Schedule


def files_by_split(file: str) -> list[Path]:
    """The files that there are of those that ``{split}`` in a name stands for; else the file.

    Raises:
        FileNotFoundError: there is none.
    """
    if "{split}" not in file:
        return [Path(file)]
    splits = get_args(Split)
    paths = [Path(file.replace("{split}", split)) for split in splits]
    found = [path for path in paths if path.is_file()]
    if not found:
        raise FileNotFoundError(f"there is no file {file} with {', '.join(splits)} for {{split}}")
    return found


class DetectorTraining(Learning):
    """How a detector learns from a data set's own boxes."""

    optimiser: Optimiser = Field(
        Optimiser(learning_rate=1e-3, alpha=0.9, grad_clip=None), description="of all weights"
    )
    schedule: Schedule = Field(Schedule(name="cosine"), description="of the learning rate")
    flip: bool = Field(True, description="mirror pictures at random")
    shift: Fraction = Field(0.2, description="move and scale pictures by up to this share")
    colour: Fraction = Field(0.3, description="change brightness and colours by up to this share")
    validation_pictures: int = Field(1000, ge=-1, description="how many to judge by; -1: all")


class Detector(Section):
    """A row of `detectors`: what says which objects a picture shows, and where."""

    part: str = Field(description=f"what looks: {', '.join(registry.DETECTORS)}")
    options: dict[str, Any] = Field({}, description="keyword arguments of the part")
    file: str | None = Field(
        None,
        description="the weights or the results it reads; `results`: `{split}` in it stands for "
        "train, val, test and extra; null: none, or it is trained",
    )
    training: DetectorTraining | None = Field(
        None, description="train it on the data set's train split; only without a `file`"
    )
    min_score: Fraction = Field(
        0.05, description="weaker detections are not stored; layouts have their own threshold"
    )
    overlap: Fraction = Field(
        0.4, description="IoU above which the weaker of two boxes of a category goes (darknet: .4)"
    )
    limit: Positive = Field(100, description="boxes a picture, the best")
    batch_size: Annotated[Positive, NoEffect] = Field(16, description="pictures at once")

    @model_validator(mode="after")
    def _possible(self) -> Detector:
        check_options("detector", self.part, self.options)
        return self

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"options": complete("detector", self.part, self.options)}

    @property
    def untrained(self) -> Detector:
        """As its training sees it: the rest is how it is asked."""
        return Detector(part=self.part, options=self.options, training=self.training)

    def check_file(self) -> None:
        """Check that the row says where its weights or results come from.

        Raises:
            ValueError: it does not, or says it twice.
        """
        uses = constant("detector", self.part, "uses")
        if uses != "weights" and self.training is not None:
            raise ValueError(f"the detector {self.part} cannot be trained: take `training` out")
        if uses == "file" and self.file is None:
            raise ValueError(f"the detector {self.part} reads a file: set `file`")
        if "{split}" in (self.file or "") and not constant("detector", self.part, "by_split"):
            raise ValueError(f"file: the detector {self.part} reads one file, not one a {{split}}")
        if uses == "weights" and (self.file is None) == (self.training is None):
            raise ValueError(
                f"the detector {self.part} needs weights: set `file` or `training`, one of them"
            )

    @property
    def named(self) -> list[str]:
        """Files that `options` name: darknet's network, and the names of its categories."""
        found = (self.options.get(key) for key in ("cfg", "names"))
        return [path for path in found if isinstance(path, str)]

    @property
    def reads_images(self) -> bool:
        """Whether it looks at pixels; others read annotations or results."""
        return bool(constant("detector", self.part, "reads_images"))

    @property
    def location(self) -> str:
        """``module:object`` of its part."""
        return registry.location("detector", self.part)


class Arrangement(Section):
    """Which objects of a picture a model reads, in which order, and in which frame."""

    order: Literal["detector", "score", "size", "left_to_right"] = Field(
        "detector",
        description="as the detector gives them (darknet: anchor, row, column; `truth`: as "
        "annotated), best first, largest first, or by the centre's x",
    )
    threshold: Fraction = Field(0.24, description="weaker detections are left out (darknet: .24)")
    limit: Positive = Field(96, description="objects a picture, the first; OBJ2TEXT: 96")
    frame: Literal["picture", "letterbox"] = Field(
        "picture",
        description="boxes in 0..1 of the picture, or of the centred square around it as the "
        "original's 608 x 608 letterbox",
    )


class Layout(Arrangement):
    """A row of `layouts`: a picture's objects as a sequence, or a set, that a model reads."""

    detector: str = Field(description="a row of `detectors`")
