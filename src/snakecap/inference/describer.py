"""A trained dense captioner, ready to describe photos: all that it needs is in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from snakecap import device as devices
from snakecap import registry
from snakecap.config import errors
from snakecap.config.dense import Describing
from snakecap.config.settings import Training
from snakecap.formats import model as models
from snakecap.formats.dense import Described
from snakecap.formats.pictures import Picture
from snakecap.formats.vocabulary import VOCABULARY
from snakecap.inference.regions import Found, captions, described, find, likelihood, recognise
from snakecap.inputs.input import Inputs, Request, build_inputs
from snakecap.inputs.photos import PhotosInput
from snakecap.models.dense.dense_captioner import build
from snakecap.search.hypothesis import Constraints

Photo = str | bytes | Path


class Describer:
    """A dense captioner with everything it needs to describe a photo.

    Args:
        path: its model.safetensors.
        device: auto, cpu or cuda.
        threads: CPU threads.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a dense model of snakecap.
    """

    def __init__(self, path: Path | str, device: str = "auto", threads: int | None = None):
        self.path, self.place = path, devices.choose(device, threads)
        weights, self.header = models.read(Path(path))
        if self.header.get("settings", {}).get("task") != "dense":
            raise ValueError(
                f"{path} describes no regions: give a dense system's model.safetensors"
            )
        try:
            self.training = Training.model_validate(self.header["settings"])
            self.vocabulary = VOCABULARY.validate_python(self.header["vocabulary"])
            [(self.name, photos)] = build_inputs(self.training, self.place).items()
            photos.restore(self.header["inputs"][self.name])
        except (ValidationError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} was made by another version of snakecap, or is damaged: {error}"
            ) from None
        assert isinstance(photos, PhotosInput), "the settings allow no other"
        self.photos = photos
        self.model = build(self.training, vocabulary_size=len(self.vocabulary), published=False)
        models.fill(self.model, weights, str(path))
        self.model.eval().to(self.place)

    def describe(
        self, photos: Any, boxes: Any = None, query: str | None = None, **options: Any
    ) -> Any:
        """Describe the regions of photos.

        Args:
            photos: a path, the bytes of an image file, or a list of them.
            boxes: given ones, [x, y, width, height] in pixels of the photo, (N, 4), which are
                captioned as they are and in their order; of a list of photos a list of them.
            query: what is looked for: it stands as every region's caption, with its
                log-probability, the likeliest region first.
            **options: fields of `config.dense.Describing`, such as ``proposals=1000``.

        Returns:
            `formats.dense.Described` in pixels of the photo: of one photo one, of a list a list.

        Raises:
            ValueError: a photo cannot be read, boxes are none, or no model knows a word of the
                query; names it.
        """
        settings = _settings(options)
        if not isinstance(photos, list | tuple):
            return self.describe([photos], None if boxes is None else [boxes], query, **options)[0]
        if boxes is not None and len(boxes) != len(photos):
            raise ValueError(f"boxes of {len(boxes)} photos are given for {len(photos)}")
        found: list[Described] = []
        for start in range(0, len(photos), settings.batch_size):
            some = slice(start, start + settings.batch_size)
            pictures, inputs = self.read(photos[some])
            given = None if boxes is None else boxes[some]
            found += self.batch(pictures, inputs, settings, given, query)[0]
        return found

    def read(self, photos: Sequence[Photo]) -> tuple[list[Picture], Inputs]:
        """Records of photos, which say how large they are, and what the model reads of them."""
        each = [self.photos.of(Request(photo=photo)) for photo in photos]
        pictures = [
            Picture(_id(photo), _file(photo), "extra", width=int(w), height=int(h))
            for photo, one in zip(photos, each, strict=True)
            for w, h in one["originals"].tolist()
        ]
        return pictures, {self.name: self.photos.join(each)}

    @torch.no_grad()
    def batch(
        self,
        pictures: Sequence[Picture],
        inputs: Inputs,
        settings: Describing,
        boxes: Sequence[Any] | None = None,
        query: str | None = None,
    ) -> tuple[list[Described], Found]:
        """The regions of a batch of pictures; see `describe`."""
        sizes = inputs[self.name]["sizes"]
        with devices.autocast(settings.precision, self.place):
            if boxes is None:
                found = find(self.model, inputs, settings)
            else:
                pairs = zip(pictures, sizes.tolist(), boxes, strict=True)
                corners = [_corners(*each).to(self.place) for each in pairs]
                found = recognise(self.model, inputs, corners)
            if query is not None:
                chances = likelihood(self.model, found.encoded, self.words(query))
                found, values = _sorted(found, chances)
                texts = [query] * len(values)
            else:
                rules = self.constraints(settings)
                said = captions(self.model, found.encoded, settings, rules)
                texts = [self.vocabulary.decode(one.words) for one in said]
                values = [one.log_prob for one in said]
        return described(pictures, sizes, found, texts, values), found

    def words(self, text: str) -> list[int]:
        """The ids of a text's words.

        Raises:
            ValueError: the model does not know one of them, or there is none.
        """
        words = registry.load("tokenizer", self.vocabulary.tokenizer)(text)
        if unknown := [word for word in words if word not in self.vocabulary.ids]:
            raise ValueError(f"query {text!r}: {self.path} never learnt {', '.join(unknown)}")
        if not words:
            raise ValueError(f"query {text!r} has no words")
        return self.vocabulary.encode(words)

    def constraints(self, settings: Describing) -> Constraints:
        """What captions may not say, by id."""
        unknown = self.vocabulary.unknown
        suppress = (unknown,) if settings.suppress_unknown and unknown is not None else ()
        return Constraints(suppress, settings.no_repeat_ngram, min_length=settings.min_length)

    @torch.no_grad()
    def say(self, codes: NDArray[np.float32], **options: Any) -> list[str]:
        """The captions of regions from their codes (N, F), which `batch` found.

        Raises:
            ValueError: the decoder looks at more than codes, or they are another model's.
        """
        encoder = self.model.encoder
        if encoder.cells is not None:
            raise ValueError(f"the decoder of {self.path} looks at cells, which codes are without")
        size = encoder.size
        if codes.ndim != 2 or codes.shape[1] != size:
            raise ValueError(f"codes are of shape {codes.shape}; {self.path} reads (N, {size})")
        settings = _settings(options)
        with devices.autocast(settings.precision, self.place):
            encoded = encoder(torch.from_numpy(codes).to(self.place))
            said = captions(self.model, encoded, settings, self.constraints(settings))
        return [self.vocabulary.decode(one.words) for one in said]


def _settings(options: dict[str, Any]) -> Describing:
    try:
        return Describing.model_validate(options)
    except ValidationError as error:
        reason = errors.explain(error, kind="option", known=Describing.model_fields)
        raise ValueError(f"describe: {reason}") from None


def _file(photo: Photo) -> str:
    return "the image" if isinstance(photo, bytes) else str(photo)


def _id(photo: Photo) -> str:
    return "the image" if isinstance(photo, bytes) else Path(photo).stem


def _corners(picture: Picture, size: Sequence[float], boxes: Any) -> Tensor:
    """Boxes [x, y, width, height] of a photo as corners (N, 4) in the network's image."""
    try:
        given = np.asarray(boxes, np.float32)
        given = given.reshape(-1, 4) if given.size == 0 else given
    except (TypeError, ValueError):
        given = np.empty(0, np.float32)
    if given.ndim != 2 or given.shape[1] != 4:
        raise ValueError(f"boxes of {picture.file}: give a list of [x, y, width, height]")
    edges = np.concatenate([given[:, :2], given[:, :2] + given[:, 2:]], 1)
    there = np.isfinite(given).all(1) & (given[:, 2:] > 0).all(1) & (edges[:, 2:] > 0).all(1)
    wrong = np.flatnonzero(~(there & (edges[:, :2] < [picture.width, picture.height]).all(1)))
    if wrong.size:
        raise ValueError(
            f"boxes of {picture.file}: entry {wrong[0] + 1}, {given[wrong[0]].tolist()}, covers "
            f"nothing of {picture.width} x {picture.height} pixels: give [x, y, width, height]"
        )
    scales = np.array([size[0] / picture.width, size[1] / picture.height] * 2, np.float32)
    return torch.from_numpy(edges * scales)


def _sorted(found: Found, values: Tensor) -> tuple[Found, list[float]]:
    """Regions by falling value, picture by picture."""
    order = values.argsort(descending=True, stable=True)
    order = order[found.owners[order].sort(stable=True).indices]
    return found.select(order), values[order].tolist()
