"""Cross-entropy of captions, by token.

Source: neuraltalk2/misc/LanguageModel.lua LanguageModelCriterion: the mean over all enforced
predictions of the batch, of which a caption of n words has n + 1 (its words, and END).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from snakecap.models.encoded import Encoded


class LanguageModel(Protocol):
    """What the loss needs of a decoder."""

    def hidden(self, encoded: Encoded, words: Tensor) -> Tensor:
        """What predicts each word and END, of shape (B, T + 1, H)."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Unnormalised log-probabilities, of shape (..., V + 1)."""


def caption_loss(
    decoder: LanguageModel,
    encoded: Encoded,
    words: Tensor,
    *,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """The mean (or sum) of -log p over words and END, in nats.

    Logits are computed only where there is something to predict, not on padding.

    Args:
        decoder: gives states and logits.
        encoded: B pictures, one a caption.
        words: ids, 0-padded on the right, of shape (B, T); on the CPU, so that nothing has to wait
            for a GPU to know what there is to predict, or where the pictures are.
        label_smoothing: share of the target spread over all outputs.
        reduction: ``mean`` or ``sum``.
    """
    lengths = (words != 0).sum(1)
    words = words[:, : int(lengths.max())]
    enforced = torch.arange(words.shape[1] + 1, device=words.device) <= lengths.unsqueeze(1)
    places = enforced.flatten().nonzero().squeeze(1)
    targets = F.pad(words, (0, 1)).flatten()[places]
    words, places, targets = (
        values.to(encoded.summary.device, non_blocking=True) for values in (words, places, targets)
    )
    states = decoder.hidden(encoded, words).flatten(0, 1)
    logits = decoder.logits(states.index_select(0, places))
    return F.cross_entropy(
        logits.float(), targets, label_smoothing=label_smoothing, reduction=reduction
    )
