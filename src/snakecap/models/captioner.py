"""Backbones, encoders and a decoder as one model; it never opens a file.

What it reads is, by the name of each of the system's inputs, that input's tensors of B pictures.

Dimensions: B pictures, C captions, T words, V vocabulary, R regions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from snakecap import registry
from snakecap.config import options, settings
from snakecap.models.backbones.preprocess import look
from snakecap.models.decoders.decoder import Decoder, State
from snakecap.models.encoded import Encoded, Memory, merge

if TYPE_CHECKING:
    from snakecap.models.backbones.backbone import Backbone

Inputs = Mapping[str, Mapping[str, Tensor]]
Step = Callable[[Tensor, State, Tensor], tuple[Tensor, State]]


class Look(NamedTuple):
    """How an input's pixels become features."""

    backbone: str
    output: str  # of the backbone: pooled or grid
    preprocessing: Mapping[str, Any]  # arguments of `preprocess` that it was trained with


class Captioner(nn.Module):
    """Pictures to captions.

    Args:
        encoders: modules, of what one input gives to `Encoded`.
        reads: the name of the input that each encoder reads, or several joined with +.
        looks: for inputs whose pixels a backbone must see first, by the input's name.
    """

    def __init__(
        self,
        encoders: Sequence[nn.Module],
        decoder: Decoder,
        reads: Sequence[str],
        backbones: Mapping[str, Backbone] | None = None,
        looks: Mapping[str, Look] | None = None,
    ):
        super().__init__()
        self.backbones = nn.ModuleDict(backbones)
        self.encoders = nn.ModuleList(encoders)
        self.decoder = decoder
        self.reads = tuple(reads)
        self.looks = dict(looks or {})

    def encode(self, inputs: Inputs) -> Encoded:
        """All encoders' results merged."""
        return merge(self._encoded(inputs))

    def seen(self, inputs: Inputs) -> Inputs:
        """With features in the place of pixels, so that what asks several times looks once."""
        return {name: self._seen(name, values) for name, values in inputs.items()}

    def _encoded(self, inputs: Inputs) -> list[Encoded]:
        seen = self.seen(inputs)
        pairs = zip(self.encoders, self.reads, strict=True)
        return [encoder(_side_by_side(seen, name)) for encoder, name in pairs]

    def _seen(self, name: str, values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Features of an input's pixels; anything else as it is."""
        if "images" not in values:
            return values
        at = self.looks[name]
        backbone: Any = self.backbones[at.backbone]
        offset, flip = values.get("offset"), values.get("flip", False)
        features = look(
            backbone, values["images"], at.output, **at.preprocessing, offset=offset, flip=flip
        )
        return {at.output: features}

    def prepare(self, inputs: Inputs) -> Memory:
        return self.decoder.prepare(self.encode(inputs))

    def start(self, inputs: Inputs) -> tuple[Step, State, int]:
        """What a search needs: a step function, the state of each picture, and how many."""
        memory = self.prepare(inputs)
        pictures = len(memory.encoded.summary)
        return stepper(self.decoder, memory), self.decoder.start(memory), pictures

    def attention(self, inputs: Inputs, words: Tensor) -> list[Tensor | None]:
        """How much each word of captions (B, T) looks at each region of each encoder.

        Returns:
            For each encoder, of shape (B, T + 1, R), the last row of a caption for END; None for
            one without regions, and for all when the decoder has no attention.
        """
        weigh = getattr(self.decoder, "weights", None)
        if weigh is None:
            return [None] * len(self.encoders)
        parts = self._encoded(inputs)
        numbers = [0 if part.regions is None else part.regions.shape[1] for part in parts]
        each = weigh(self.decoder.prepare(merge(parts)), words).split(numbers, 2)
        pairs = zip(parts, each, strict=True)
        return [None if part.regions is None else weights for part, weights in pairs]


def _side_by_side(inputs: Inputs, names: str) -> Mapping[str, Tensor]:
    """What an encoder reads of several inputs of a kind: their features (..., F) as one."""
    parts = [inputs[name] for name in names.split("+")]
    if len(parts) == 1:
        return parts[0]
    return {name: torch.cat([part[name] for part in parts], -1) for name in parts[0]}


def stepper(decoder: Decoder, memory: Memory) -> Step:
    """A decoder's step over the pictures that a search still works on."""
    pictures = len(memory.encoded.summary)

    def step(words: Tensor, state: State, active: Tensor) -> tuple[Tensor, State]:
        chosen = memory if len(active) == pictures else memory.select(active)
        return decoder.step(words, state, chosen)

    return step


def build(
    training: settings.Training,
    *,
    vocabulary_size: int,
    sizes: Mapping[str, Mapping[str, int]],
    full_stop: int | None = None,
) -> Captioner:
    """Compose the model of a training job, with fresh weights.

    Args:
        vocabulary_size: V, words without START and END.
        full_stop: the word that ends a sentence, for decoders that ask for it.
        sizes: arguments of encoders that follow from what an input reads, by the input's name.
    """
    backbones = {
        name: registry.load("backbone", row.family)(row.architecture, row.class_scores)
        for name, row in training.backbones.items()
    }
    looks = {
        name: Look(one.source, one.kind, training.backbones[one.source].preprocess.model_dump())
        for name, one in training.inputs.items()
        if one.table == "backbones"
    }
    seen = {name: {"size": _size(backbones[look.backbone], look)} for name, look in looks.items()}
    known = {**sizes, **seen}
    encoders, reads = [], []
    for row in training.encoders:
        assert row.reads is not None, "settings fill it in"
        read = [known[name] for name in row.reads.split("+")]
        given = {"width": training.width, **read[0]}
        if len(read) > 1:
            given["size"] = sum(one["size"] for one in read)
        encoders.append(options.build("encoder", row.part, row.options, given))
        reads.append(row.reads)
    given = {
        "width": training.width,
        "vocabulary_size": vocabulary_size,
        "constant_size": sum(getattr(encoder, "constant_size", 0) for encoder in encoders),
        **({} if full_stop is None else {"full_stop": full_stop}),
    }
    decoder = options.build("decoder", training.decoder.part, training.decoder.options, given)
    return Captioner(encoders, decoder, reads, backbones, looks)


def _size(backbone: Backbone, look: Look) -> int:
    return backbone.grid_width if look.output == "grid" else backbone.width
