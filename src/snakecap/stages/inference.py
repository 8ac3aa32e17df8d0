"""A trained model, ready to caption: weights, vocabulary and preprocessing from one file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from snakecap import device as devices
from snakecap import registry
from snakecap.files import model as models
from snakecap.files.vocabulary import Vocabulary
from snakecap.models.build import build
from snakecap.search.constraints import Constraints
from snakecap.search.hypothesis import Hypothesis
from snakecap.settings import Decoding, Training
from snakecap.text.function_words import content_words


class Model:
    """A captioner with everything it needs to caption a photo.

    Attributes:
        captioner: the network, in evaluation mode.
        vocabulary: its words.
        training: the settings it was trained with.
        header: all that the file records.
    """

    def __init__(self, path: Path | str, device: str = "auto", threads: int | None = None):
        """Load ``model.safetensors``.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not a model of snakecap.
        """
        self.place = devices.choose(device, threads)
        weights, self.header = models.read(Path(path))
        try:
            self.training = Training.model_validate(self.header["settings"])
            self.vocabulary = Vocabulary.from_json(self.header["vocabulary"])
        except (ValidationError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} was made by another version of snakecap, or is damaged: {error}"
            ) from None
        self.captioner = build(self.training, vocabulary_size=len(self.vocabulary))
        self.captioner.load_state_dict(weights)
        self.captioner.eval().to(self.place)

    def caption(self, photos: Any, decoding: Decoding | None = None, **options: Any) -> Any:
        """Caption photos.

        Args:
            photos: a path, the bytes of an image file, or a list of them.
            decoding: how to search; `options` are its fields, such as ``beam_width=5``.
            **options: see `snakecap.settings.Decoding`.

        Returns:
            The best caption of each photo: one string for one photo, a list for a list.

        Raises:
            ValueError: a photo cannot be read; names it.
            TypeError: `photos` is something else.
        """
        chosen = Decoding.model_validate({**(decoding or Decoding()).model_dump(), **options})
        if isinstance(photos, str | bytes | Path):
            return self.caption([photos], chosen)[0]
        if not isinstance(photos, list | tuple):
            raise TypeError(
                f"photos are paths, the bytes of image files, or a list of them, not a "
                f"{type(photos).__name__}"
            )
        texts = []
        for start in range(0, len(photos), chosen.batch_size):
            images = np.stack([self.read(p) for p in photos[start : start + chosen.batch_size]])
            found = self.search(self.pixels(images), seeded(chosen, start))
            texts += [self.text(best[0]) for best in found]
        return texts

    def read(self, photo: str | bytes | Path) -> NDArray[np.uint8]:
        """A photo as this model wants it: uint8 of shape (3, S, S).

        Raises:
            ValueError: it cannot be read; names it.
        """
        from snakecap.files.decode import Unreadable, load

        try:
            return load(photo, **self.training.geometry.model_dump())
        except Unreadable as error:
            name = "the image" if isinstance(photo, bytes) else photo
            raise Unreadable(f"{name}: {error}") from None

    def pixels(self, images: NDArray[np.uint8]) -> dict[str, Tensor]:
        """Encoder inputs for uint8 pictures of shape (B, 3, S, S)."""
        return {"images": torch.from_numpy(images).to(self.place)}

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

    def constraints(self, decoding: Decoding) -> Constraints:
        """What captions may not say, by id."""
        unknown = self.vocabulary.unknown
        suppress = (unknown,) if decoding.suppress_unknown and unknown is not None else ()
        once = None
        if decoding.no_repeat_words:
            once = torch.as_tensor(content_words(self.vocabulary), device=self.place)
        return Constraints(suppress, decoding.no_repeat_ngram, once)


def seeded(decoding: Decoding, first: int) -> Decoding:
    """The decoding of the batch that starts at picture `first`: with random numbers of its own."""
    return decoding.model_copy(update={"seed": decoding.seed + first})


def results(
    model: Model,
    ids: Sequence[int | str],
    files: Sequence[str],
    found: Iterable[list[Hypothesis]],
) -> list[dict[str, Any]]:
    """COCO results of some pictures: the best caption, its log-probability, and the n-best."""
    records: list[dict[str, Any]] = []
    for key, file, best in zip(ids, files, found, strict=True):
        record: dict[str, Any] = {"image_id": key, "file_name": file}
        record.update(caption=model.text(best[0]), log_prob=best[0].log_prob)
        if len(best) > 1:
            alternatives = [{"caption": model.text(h), "log_prob": h.log_prob} for h in best]
            record["n_best"] = alternatives
        records.append(record)
    return records
