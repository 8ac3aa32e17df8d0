"""Encoders and a decoder as one model; it never opens a file.

Dimensions: B pictures, C captions, T words, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from snakecap.decoders.decoder import Decoder, State
from snakecap.encoded import Encoded, merge
from snakecap.losses.caption import caption_loss

if TYPE_CHECKING:
    from snakecap.encoders.backbone import Backbone

Step = Callable[[Tensor, State, Tensor], tuple[Tensor, State]]


class Captioner(nn.Module):
    """Pictures to captions."""

    def __init__(self, encoders: Sequence[nn.Module], decoder: Decoder):
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.decoder = decoder

    @property
    def backbone(self) -> Backbone | None:
        """The convolutional network of the first encoder that has one."""
        found = (getattr(encoder, "backbone", None) for encoder in self.encoders)
        return next((backbone for backbone in found if backbone is not None), None)

    def encode(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """All encoders' results merged; `inputs` holds what each of them reads."""
        return merge([encoder(inputs) for encoder in self.encoders])

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        words: Tensor,
        owners: Tensor,
        *,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
    ) -> dict[str, Tensor]:
        """Named losses of a batch.

        Args:
            inputs: of B pictures; each is encoded once, however many captions it has.
            words: ids of C captions, 0-padded, of shape (C, T).
            owners: each caption's picture in the batch, of shape (C,).
            label_smoothing: see `caption_loss`.
            reduction: ``mean`` over the batch's tokens, or ``sum``.
        """
        encoded = self.encode(inputs).select(owners)
        loss = caption_loss(
            self.decoder, encoded, words, label_smoothing=label_smoothing, reduction=reduction
        )
        return {"caption": loss}

    def start(self, inputs: Mapping[str, Tensor]) -> tuple[Step, State, int]:
        """What a search needs: a step function, the state of each picture, and how many."""
        encoded = self.encode(inputs)
        return stepper(self.decoder, encoded), self.decoder.start(encoded), len(encoded.summary)


def stepper(decoder: Decoder, encoded: Encoded) -> Step:
    """A decoder's step over the pictures that a search still works on."""

    def step(words: Tensor, state: State, active: Tensor) -> tuple[Tensor, State]:
        chosen = encoded if len(active) == len(encoded.summary) else encoded.select(active)
        return decoder.step(words, state, chosen)

    return step
