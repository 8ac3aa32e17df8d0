"""Several trained models that caption together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snakecap.inference.attention import Attention
from snakecap.inference.model import Model
from snakecap.inputs.input import Inputs, Request
from snakecap.search.ensemble import joined
from snakecap.search.hypothesis import Hypothesis, State, Step


class Ensemble(Model):
    """Models of one vocabulary as one; the probability of a word is the mean of theirs.

    Its inputs are those of all, named ``0.picture``, ``1.picture`` ...; no attention is kept.

    Args:
        paths: each model's model.safetensors; `Model` explains the other arguments.

    Raises:
        ValueError: the models do not know the same words; names two of them.
    """

    def __init__(
        self,
        paths: Sequence[Path | str],
        device: str = "auto",
        threads: int | None = None,
        detector: str | Path | Mapping[str, Any] | None = None,
    ):
        self.members = [Model(path, device, threads, detector) for path in paths]
        first = self.members[0]
        for other in self.members[1:]:
            if other.vocabulary.words != first.vocabulary.words:
                raise ValueError(
                    f"{other.path} knows other words than {first.path}: models of an ensemble "
                    "need one vocabulary"
                )
        self.path, self.place, self.detector = first.path, first.place, first.detector
        self.vocabulary = first.vocabulary
        self.inputs = {
            f"{number}.{name}": one
            for number, member in enumerate(self.members)
            for name, one in member.inputs.items()
        }

    def start(self, inputs: Inputs) -> tuple[Step, State, int]:
        starts = [member.start(self._own(inputs, n)) for n, member in enumerate(self.members)]
        steps, states, pictures = zip(*starts, strict=True)
        return *joined(steps, states), pictures[0]

    def _own(self, inputs: Inputs, number: int) -> Inputs:
        """The inputs of one member."""
        return {name: inputs[f"{number}.{name}"] for name in self.members[number].inputs}

    def read(self, request: Request) -> Inputs:
        read = [member.read(request) for member in self.members]
        return {f"{n}.{name}": one for n, own in enumerate(read) for name, one in own.items()}

    def seen(self, inputs: Inputs, precision: str = "auto") -> Inputs:
        each = [one.seen(self._own(inputs, n), precision) for n, one in enumerate(self.members)]
        return {f"{n}.{name}": one for n, own in enumerate(each) for name, one in own.items()}

    def attention(
        self, inputs: Inputs, best: Sequence[Hypothesis], precision: str = "auto"
    ) -> Attention:
        return Attention()


def load(
    paths: Sequence[Path | str],
    device: str = "auto",
    threads: int | None = None,
    detector: str | Path | Mapping[str, Any] | None = None,
) -> Model:
    """One model, or several as an ensemble."""
    if len(paths) == 1:
        return Model(paths[0], device, threads, detector)
    return Ensemble(paths, device, threads, detector)
