"""Encoders and a decoder as one model; it never opens a file.

Dimensions: B pictures, C captions, T words, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from snakecap.models.decoders.decoder import Decoder, State
from snakecap.models.encoded import Encoded, merge
from snakecap.objectives.cross_entropy import caption_loss

if TYPE_CHECKING:
    from snakecap.models.backbones.backbone import Backbone

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
            words: ids of C captions, 0-padded, of shape (C, T), on the CPU (see `caption_loss`).
            owners: each caption's picture in the batch, of shape (C,).
            label_smoothing: see `caption_loss`.
            reduction: ``mean`` over the batch's tokens, or ``sum``.
        """
        encoded = self.encode(inputs).select(owners)
        loss = caption_loss(
            self.decoder, encoded, words, label_smoothing=label_smoothing, reduction=reduction
        )
        return {"caption": loss}

    def attention(self, inputs: Mapping[str, Tensor], words: Tensor) -> Tensor | None:
        """How much each word of a caption looks at each object of its picture's layout.

        Args:
            inputs: of B pictures.
            words: ids of their captions, 0-padded, of shape (B, T).

        Returns:
            Of shape (B, T + 1, R), the last row of a caption for END; None when the decoder has no
            attention, or no encoder has a region for each object.
        """
        weigh = getattr(self.decoder, "weights", None)
        looks = [getattr(encoder, "by_object", False) for encoder in self.encoders]
        if weigh is None or not any(looks):
            return None
        parts = [encoder(inputs) for encoder in self.encoders]
        earlier = parts[: looks.index(True)]
        before = sum(part.regions.shape[1] for part in earlier if part.regions is not None)
        objects = inputs["categories"].shape[1]
        weights: Tensor = weigh(merge(parts), words)
        return weights[:, :, before : before + objects]

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
