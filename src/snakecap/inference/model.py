"""A trained model, ready to caption: weights, vocabulary and preprocessing from one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from snakecap.config.settings import Decoding, Training
from snakecap.formats import layouts as layout_files
from snakecap.formats import model as models
from snakecap.formats.vocabulary import Vocabulary
from snakecap.inference.requests import Photo, Subject, as_subject
from snakecap.inference.results import seeded
from snakecap.log import logger
from snakecap.models.build import build
from snakecap.objects.categories import canonical
from snakecap.objects.layout import Layout, Reading, encode
from snakecap.search.constraints import Constraints
from snakecap.search.hypothesis import Hypothesis
from snakecap.text.function_words import content_words


class Model:
    """A captioner with everything it needs to caption a photo.

    Attributes:
        captioner: the network, in evaluation mode.
        vocabulary: its words.
        training: the settings it was trained with.
        reading: how it reads layouts, or None.
        header: all that the file records.
    """

    def __init__(
        self,
        path: Path | str,
        device: str = "auto",
        threads: int | None = None,
        detector: str | Path | Mapping[str, Any] | None = None,
    ):
        """Load ``model.safetensors``.

        Args:
            path: the file.
            device: auto, cpu or cuda.
            threads: CPU threads.
            detector: finds the objects in photos, for models that read layouts; see
                `snakecap.inference.detector.make_finder`.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not a model of snakecap.
        """
        self.path = path
        self.place = devices.choose(device, threads)
        self.finder = None
        if detector is not None:
            from snakecap.inference.detector import make_finder

            self.finder = make_finder(detector, self.place)
        weights, self.header = models.read(Path(path))
        if "settings" not in self.header or "vocabulary" not in self.header:
            what = "a detector" if "categories" in self.header else "no captioner"
            raise ValueError(f"{path} is {what}: give a system's model.safetensors")
        try:
            self.training = Training.model_validate(self.header["settings"])
            self.vocabulary = Vocabulary.from_json(self.header["vocabulary"])
            layout = self.header.get("layout")
            self.reading = Reading.from_json(layout) if layout else None
        except (ValidationError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} was made by another version of snakecap, or is damaged: {error}"
            ) from None
        self._check_finder()
        categories = len(self.reading.categories) if self.reading else None
        self.captioner = build(
            self.training, vocabulary_size=len(self.vocabulary), categories=categories
        )
        self.captioner.load_state_dict(weights)
        self.captioner.eval().to(self.place)

    def _check_finder(self) -> None:
        """A detector of other categories would fail at the first object that it finds."""
        if self.finder is None:
            return
        if self.reading is None:
            logger.warning("%s reads no layouts: the detector is not used", self.path)
            return
        seen = map(canonical, self.finder.detector.categories)
        unknown = [name for name in seen if name not in self.reading.categories]
        if unknown:
            raise ValueError(
                f"the detector {self.finder.row.file or self.finder.row.part} sees categories that "
                f"{self.path} does not know: {', '.join(unknown[:10])}; it knows "
                f"{', '.join(self.reading.categories[:10])}"
            )

    def caption(self, subjects: Any, decoding: Decoding | None = None, **options: Any) -> Any:
        """Caption photos or layouts.

        Args:
            subjects: a path or the bytes of an image file, a `Layout`, the layout of one picture
                as a mapping (``{"objects": [{"category", "box"}]}``), a `Subject`, or a list.
            decoding: how to search; `options` are its fields, such as ``beam_width=5``.
            **options: see `snakecap.config.settings.Decoding`.

        Returns:
            The best caption of each: one string for one subject, a list for a list. With
            ``n_best`` over 1, a list of so many captions in the place of each, best first.

        Raises:
            ValueError: a photo cannot be read, a layout is wrong, or the model needs what was not
                given; names it.
            TypeError: `subjects` is something else.
        """
        chosen = _decoding(decoding or Decoding(), options)
        if not isinstance(subjects, list | tuple):
            return self.caption([subjects], chosen)[0]
        asked = [as_subject(subject) for subject in subjects]
        texts: list[Any] = []
        for start in range(0, len(asked), chosen.batch_size):
            inputs = self.inputs(asked[start : start + chosen.batch_size])
            for best in self.search(inputs, seeded(chosen, start)):
                said = [self.text(hypothesis) for hypothesis in best]
                texts.append(said if chosen.n_best > 1 else said[0])
        return texts

    def inputs(self, subjects: Sequence[Subject]) -> dict[str, Tensor]:
        """What the encoders read of some subjects.

        Raises:
            ValueError: see `caption`.
        """
        inputs: dict[str, Tensor] = {}
        if self.training.backbone is not None:
            inputs.update(self.pixels(np.stack([self.read(self._photo(s)) for s in subjects])))
        if self.reading is not None:
            inputs.update(self.objects([self._layout(s) for s in subjects]))
        return inputs

    def _photo(self, subject: Subject) -> Photo:
        if subject.photo is None:
            raise ValueError(f"{self.path} looks at pictures: a layout alone is not enough")
        return subject.photo

    def _layout(self, subject: Subject) -> Layout:
        if subject.layout is not None:
            return subject.layout
        if self.finder is None or subject.photo is None:
            raise ValueError(
                f"{self.path} reads the layout of objects: give layouts (.json), or photos and "
                "a detector"
            )
        return self.finder(subject.photo)

    def read(self, photo: Photo) -> NDArray[np.uint8]:
        """A photo as this model wants it: uint8 of shape (3, S, S).

        Raises:
            ValueError: it cannot be read; names it.
        """
        from snakecap.formats.decode import Unreadable, load

        try:
            return load(photo, **self.training.geometry.model_dump())
        except Unreadable as error:
            name = "the image" if isinstance(photo, bytes) else photo
            raise Unreadable(f"{name}: {error}") from None

    def pixels(self, images: NDArray[np.uint8]) -> dict[str, Tensor]:
        """Encoder inputs for uint8 pictures of shape (B, 3, S, S)."""
        return {"images": torch.from_numpy(images).to(self.place)}

    def objects(self, layouts: Sequence[Layout]) -> dict[str, Tensor]:
        """Encoder inputs for layouts: ``categories`` (B, R) and ``boxes`` (B, R, 4)."""
        assert self.reading is not None
        ids, boxes = layout_files.pad([encode(layout, self.reading) for layout in layouts])
        return self.arrays(ids, boxes)

    def arrays(self, ids: NDArray[np.int64], boxes: NDArray[np.float32]) -> dict[str, Tensor]:
        """Encoder inputs for padded layouts; as long as the longest of them."""
        longest = int((ids > 0).sum(1).max(initial=0))
        return {
            "categories": torch.from_numpy(ids[:, :longest]).to(self.place),
            "boxes": torch.from_numpy(boxes[:, :longest]).to(self.place),
        }

    def text(self, hypothesis: Hypothesis) -> str:
        """A hypothesis as a sentence."""
        return self.vocabulary.decode(hypothesis.words)

    @torch.inference_mode()
    def search(self, inputs: Mapping[str, Tensor], decoding: Decoding) -> list[list[Hypothesis]]:
        """The best captions of a batch, best first."""
        step, state, pictures = self.captioner.start(inputs)
        search = registry.load("search", decoding.method)
        found: list[list[Hypothesis]] = search(
            step, state, decoding, pictures, self.constraints(decoding)
        )
        return found

    @torch.inference_mode()
    def attention(
        self, inputs: Mapping[str, Tensor], best: Sequence[Hypothesis]
    ) -> list[list[list[float]]] | None:
        """How much each word of a caption looks at each object; None without such attention.

        Returns:
            For each caption, for each of its words, a weight for each object of the layout.
        """
        lengths = [len(hypothesis.words) for hypothesis in best]
        words = torch.zeros(len(best), max(lengths, default=0), dtype=torch.long)
        for row, hypothesis in enumerate(best):
            words[row, : lengths[row]] = torch.tensor(hypothesis.words, dtype=torch.long)
        weights = self.captioner.attention(inputs, words.to(self.place))
        if weights is None:
            return None
        objects = (inputs["categories"] > 0).sum(1).tolist()
        rows = weights.double().cpu().numpy().round(3)
        return [
            row[:length, :number].tolist()
            for row, length, number in zip(rows, lengths, objects, strict=True)
        ]

    def constraints(self, decoding: Decoding) -> Constraints:
        """What captions may not say, by id."""
        unknown = self.vocabulary.unknown
        suppress = (unknown,) if decoding.suppress_unknown and unknown is not None else ()
        once = None
        if decoding.no_repeat_words:
            once = torch.as_tensor(content_words(self.vocabulary), device=self.place)
        rarity = torch.tensor(self.vocabulary.rarity)
        return Constraints(suppress, decoding.no_repeat_ngram, once, rarity)


def _decoding(decoding: Decoding, options: Mapping[str, Any]) -> Decoding:
    try:
        return Decoding.model_validate({**decoding.model_dump(), **options})
    except ValidationError as error:
        reason = errors.explain(error, kind="option", known=Decoding.model_fields)
        raise ValueError(f"caption: {reason}") from None
