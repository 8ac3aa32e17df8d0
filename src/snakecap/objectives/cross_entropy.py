"""Cross-entropy of captions, by token.

Source: neuraltalk2/misc/LanguageModel.lua LanguageModelCriterion: the mean over all enforced
predictions of the batch, of which a caption of n words has n + 1 (its words, and END).

Dimensions: C captions, T words.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from snakecap import device as devices
from snakecap.inputs.batches import Batch, CaptionTargets
from snakecap.models.captioner import Captioner
from snakecap.models.decoders.decoder import Decoder
from snakecap.models.encoded import Memory


class CrossEntropy:
    """Teacher forcing: each word is predicted from the true words before it.

    Args:
        label_smoothing: share of a target's probability that is spread over all words.
    """

    def __init__(
        self,
        *,
        model: Captioner,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ):
        self.model, self.label_smoothing = model, label_smoothing

    def __call__(self, batch: Batch[CaptionTargets], iteration: int) -> dict[str, Tensor]:
        """Each picture is encoded once, however many captions it has."""
        targets = batch.targets
        memory = self.model.prepare(batch.inputs).select(targets.owners)
        smoothing = self.label_smoothing
        loss = caption_loss(self.model.decoder, memory, targets.words, label_smoothing=smoothing)
        return {"caption": loss}


def caption_loss(
    decoder: Decoder,
    memory: Memory,
    words: Tensor,
    *,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """The mean (or sum) of -log p over words and END, in nats.

    Logits are computed only where there is something to predict, not on padding.

    Args:
        memory: of C pictures, one a caption.
        words: ids, 0-padded on the right, of shape (C, T), on the CPU.
        label_smoothing: see `CrossEntropy`.
        reduction: ``mean`` or ``sum``.
    """
    lengths = (words != 0).sum(1)
    words = words[:, : int(lengths.max())]
    enforced = torch.arange(words.shape[1] + 1, device=words.device) <= lengths.unsqueeze(1)
    places = enforced.flatten().nonzero().squeeze(1)
    targets = F.pad(words, (0, 1)).flatten()[places]
    device = memory.encoded.summary.device
    words, places, targets = (devices.send(values, device) for values in (words, places, targets))
    states = decoder.hidden(memory, words).flatten(0, 1)
    logits = decoder.logits(states.index_select(0, places))
    return F.cross_entropy(
        logits.float(), targets, label_smoothing=label_smoothing, reduction=reduction
    )
