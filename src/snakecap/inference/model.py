"""A trained model, ready to caption: weights, vocabulary and preprocessing from one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from snakecap import device as devices
from snakecap import registry
from snakecap.config import errors
from snakecap.config.settings import Decoding, Training
from snakecap.formats import model as models
from snakecap.formats.vocabulary import VOCABULARY
from snakecap.inference.attention import Attention, attend
from snakecap.inputs.input import Inputs, Request, as_request, build_inputs
from snakecap.inputs.layout import LayoutInput
from snakecap.log import logger
from snakecap.models.captioner import build
from snakecap.objects.categories import canonical
from snakecap.search.hypothesis import Constraints, Hypothesis, State, Step, widen
from snakecap.text.function_words import BAD_ENDINGS, content_words
from snakecap.text.written import writer

Alternatives = list[list[tuple[str, float]]]  # of a caption: for each place, words and chances


class Model:
    """A captioner with everything it needs to caption a photo.

    Args:
        path: its model.safetensors.
        device: auto, cpu or cuda.
        threads: CPU threads.
        detector: finds the objects in photos, for models that read layouts; see
            `snakecap.inference.detector.PhotoDetector.of`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a model of snakecap.
    """

    def __init__(
        self,
        path: Path | str,
        device: str = "auto",
        threads: int | None = None,
        detector: str | Path | Mapping[str, Any] | None = None,
    ):
        self.path = path
        self.place = devices.choose(device, threads)
        self.detector = None
        if detector is not None:
            from snakecap.inference.detector import PhotoDetector

            self.detector = PhotoDetector.of(detector, self.place)
        weights, self.header = models.read(Path(path))
        if "settings" not in self.header or "vocabulary" not in self.header:
            what = "a detector" if "categories" in self.header else "no captioner"
            raise ValueError(f"{path} is {what}: give a system's model.safetensors")
        if self.header["settings"].get("task") == "dense":
            raise ValueError(
                f"{path} describes regions: use `snakecap describe`, `load().describe`"
            )
        try:
            self.training = Training.model_validate(self.header["settings"])
            self.vocabulary = VOCABULARY.validate_python(self.header["vocabulary"])
            self.inputs = build_inputs(self.training, self.place)
            for name, one in self.inputs.items():
                one.restore(self.header["inputs"][name])
        except (ValidationError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} was made by another version of snakecap, or is damaged: {error}"
            ) from None
        self._check_detector()
        sizes = {name: one.sizes() for name, one in self.inputs.items()}
        words = self.vocabulary
        self.captioner = build(
            self.training, vocabulary_size=len(words), sizes=sizes, full_stop=words.full_stop
        )
        models.fill(self.captioner, weights, str(path))
        self.captioner.eval().to(self.place)

    @property
    def layouts(self) -> list[LayoutInput]:
        """The inputs that are layouts of objects."""
        return [one for one in self.inputs.values() if isinstance(one, LayoutInput)]

    def _check_detector(self) -> None:
        """A detector of other categories would fail at the first object that it finds."""
        if self.detector is None:
            return
        if not self.layouts:
            logger.warning("%s reads no layouts: the detector is not used", self.path)
        for one in self.layouts:
            known = one.facts()["categories"]
            seen = map(canonical, self.detector.detector.categories)
            unknown = [name for name in seen if name not in known]
            if unknown:
                row = self.detector.row
                raise ValueError(
                    f"the detector {row.file or row.part} sees categories that {self.path} does "
                    f"not know: {', '.join(unknown[:10])}; it knows {', '.join(known[:10])}"
                )

    def caption(self, requests: Any, decoding: Decoding | None = None, **options: Any) -> Any:
        """Caption photos or layouts.

        Args:
            requests: a path or the bytes of an image file, a `Layout`, the layout of one picture
                as a mapping (``{"objects": [{"category", "box"}]}``), a `Request`, or a list.
            decoding: how to search.
            **options: fields of `decoding`, such as ``beam_width=5``.

        Returns:
            The best caption of each: one string for one request, a list for a list. With
            ``n_best`` over 1, a list of so many captions in the place of each, best first.

        Raises:
            ValueError: a photo cannot be read, a layout is wrong, or the model needs what was not
                given; names it.
            TypeError: `requests` is something else.
        """
        chosen = _decoding(decoding or Decoding(), options)
        if not isinstance(requests, list | tuple):
            return self.caption([requests], chosen)[0]
        asked = [as_request(request) for request in requests]
        texts, write = list[Any](), writer(chosen)
        for start in range(0, len(asked), chosen.batch_size):
            some = [self.read(request) for request in asked[start : start + chosen.batch_size]]
            for best in self.search(self.join(some), seeded(chosen, start)):
                said = [write(self.text(hypothesis)) for hypothesis in best]
                texts.append(said if chosen.n_best > 1 else said[0])
        return texts

    def read(self, request: Request) -> Inputs:
        """What the encoders read of a request, as a batch of one."""
        if request.layout is None and request.photo is not None and self.detector and self.layouts:
            request = Request(request.photo, self.detector(request.photo))
        return {name: one.of(request) for name, one in self.inputs.items()}

    def join(self, parts: Sequence[Inputs]) -> Inputs:
        """What `read` gave for several requests, as one batch."""
        return {name: one.join([part[name] for part in parts]) for name, one in self.inputs.items()}

    def text(self, hypothesis: Hypothesis) -> str:
        """A hypothesis as a sentence."""
        return self.vocabulary.decode(hypothesis.words)

    def start(self, inputs: Inputs) -> tuple[Step, State, int]:
        """What a search needs: a step function, the state of each picture, and how many."""
        return self.captioner.start(inputs)

    @torch.no_grad()
    def seen(self, inputs: Inputs, precision: str = "auto") -> Inputs:
        """With features in the place of pixels: what follows then need not look again."""
        with devices.autocast(precision, self.place):
            return {n: dict(one) for n, one in self.captioner.seen(inputs).items()}

    @torch.no_grad()  # inference_mode would cast the weights anew for every word
    def search(self, inputs: Inputs, decoding: Decoding) -> list[list[Hypothesis]]:
        """The best captions of a batch, best first."""
        search = registry.load("search", decoding.method)
        with devices.autocast(decoding.precision, self.place):
            step, state, pictures = self.start(inputs)
            found: list[list[Hypothesis]] = search(
                step, state, decoding, pictures, self.constraints(decoding)
            )
        return found

    def attention(
        self, inputs: Inputs, best: Sequence[Hypothesis], precision: str = "auto"
    ) -> Attention:
        """What each word of captions looks at."""
        side = self.training.geometry.size
        with devices.autocast(precision, self.place):
            return attend(self.captioner, inputs, self._words(best), side)

    def _words(self, best: Sequence[Hypothesis]) -> torch.Tensor:
        """Captions as ids (B, T), 0 behind the last word."""
        longest = max((len(one.words) for one in best), default=0)
        rows = [[*one.words, *[0] * (longest - len(one.words))] for one in best]
        return torch.tensor(rows, dtype=torch.long, device=self.place).view(len(best), longest)

    @torch.no_grad()
    def alternatives(
        self, inputs: Inputs, best: Sequence[Hypothesis], number: int, precision: str = "auto"
    ) -> list[Alternatives]:
        """The model's likeliest words after the beginnings of captions, with probabilities.

        Returns:
            For each caption, for each of its words and its END (``<end>``), `number` pairs of a
            word and its probability, the likeliest first; whatever the constraints of a search.
        """
        words, names = self._words(best), ["<end>", *self.vocabulary]
        found: list[Alternatives] = [[] for _ in best]
        with devices.autocast(precision, self.place):
            step, state, pictures = self.start(inputs)
            said, active = torch.zeros_like(words[:, :1].sum(1)), torch.arange(pictures)
            for t in range(words.shape[1] + 1):
                logits, state = step(said, state, active.to(self.place))
                likeliest = widen(logits).softmax(1).topk(min(number, len(names)))
                rows = zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
                for place, (ids, chances) in enumerate(rows):
                    if t <= len(best[place].words):
                        pairs = zip(ids, chances, strict=True)
                        found[place].append([(names[one], chance) for one, chance in pairs])
                said = words[:, t] if t < words.shape[1] else said
        return found

    def constraints(self, decoding: Decoding) -> Constraints:
        """What captions may not say, by id."""
        unknown = self.vocabulary.unknown
        suppress = (unknown,) if decoding.suppress_unknown and unknown is not None else ()
        once, bad = None, None
        if decoding.no_repeat_words:
            once = torch.as_tensor(content_words(self.vocabulary), device=self.place)
        if decoding.no_bad_endings:
            ends = [word in BAD_ENDINGS for word in self.vocabulary]
            bad = torch.tensor([False, *ends], device=self.place)
        rarity = torch.tensor(self.vocabulary.rarity)
        shortest, ngram = decoding.min_length, decoding.no_repeat_ngram
        return Constraints(suppress, ngram, once, shortest, bad, rarity)

    def results(
        self,
        ids: Sequence[int | str],
        files: Sequence[str],
        found: Sequence[list[Hypothesis]],
        attention: Attention = Attention(),
        write: Callable[[str], str] = str,
    ) -> list[dict[str, Any]]:
        """COCO results of some pictures: the best caption, its log-probability, and the n-best.

        Also how much each of its words looks at each object, and what the alphas' grid covers,
        unless `write`, which makes texts of captions, changed the words.
        """
        records = []
        for at, (key, file, best) in enumerate(zip(ids, files, found, strict=True)):
            each = [{"caption": write(self.text(one)), "log_prob": one.log_prob} for one in best]
            record: dict[str, Any] = {"image_id": key, "file_name": file, **each[0]}
            if len(best) > 1:
                record["n_best"] = each
            as_said = record["caption"] == self.text(best[0])
            if as_said and attention.objects is not None:
                record["attention"] = attention.objects[at]
            if as_said and attention.alphas is not None:
                record["grid"] = round(attention.covers, 4)
            records.append(record)
        return records


def seeded(decoding: Decoding, first: int) -> Decoding:
    """The decoding of the batch that starts at picture `first`: with random numbers of its own."""
    return decoding.model_copy(update={"seed": decoding.seed + first})


def _decoding(decoding: Decoding, options: Mapping[str, Any]) -> Decoding:
    try:
        return Decoding.model_validate({**decoding.model_dump(), **options})
    except ValidationError as error:
        reason = errors.explain(error, kind="option", known=Decoding.model_fields)
        raise ValueError(f"caption: {reason}") from None
