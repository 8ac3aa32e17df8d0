"""Cross-entropy of captions, by token.

Source: neuraltalk2/misc/LanguageModel.lua LanguageModelCriterion: the mean over all enforced
predictions of the batch, of which a caption of n words has n + 1 (its words, and END). What is
asked of attention: Xu et al., "Show, Attend and Tell", ICML 2015, eq. 14, as a mean over regions.

Dimensions: C captions, T words, R regions.
"""

from __future__ import annotations

from typing import Annotated, Any

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
        attention_weight: of (1 - what a caption looks at a region in all)^2, of a decoder that
            attends; 1 in Show, Attend and Tell.

    Raises:
        ValueError: an `attention_weight`, and the decoder does not attend.
    """

    def __init__(
        self,
        *,
        model: Captioner,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        attention_weight: Annotated[float, Field(ge=0)] = 0.0,
    ):
        if attention_weight and not hasattr(model.decoder, "attend"):
            raise ValueError("attention_weight: the decoder looks at no regions")
        self.model, self.label_smoothing = model, label_smoothing
        self.attention_weight = attention_weight

    def __call__(self, batch: Batch[CaptionTargets], iteration: int) -> dict[str, Tensor]:
        """Each picture is encoded once, however many captions it has."""
        targets = batch.targets
        memory = self.model.prepare(batch.inputs).select(targets.owners)
        decoder: Any = self.model.decoder  # not named: every system would depend on attention
        smoothing = self.label_smoothing
        if not self.attention_weight:
            loss = caption_loss(decoder, memory, targets.words, label_smoothing=smoothing)
            return {"caption": loss}
        words, places, following = enforced(targets.words, memory.encoded.summary.device)
        states, weights = decoder.attend(memory, words)
        return {
            "caption": predicted(decoder, states, places, following, label_smoothing=smoothing),
            "attention": self.attention_weight * neglect(weights, words, memory.encoded.mask),
        }


def neglect(weights: Tensor, words: Tensor, mask: Tensor | None) -> Tensor:
    """The mean over regions of (1 - the sum of a caption's weights)^2.

    Args:
        weights: of each word and END, of shape (C, T + 1, R).
        words: ids, 0-padded on the right, of shape (C, T).
        mask: true where a region exists, of shape (C, R).
    """
    said = F.pad(words != 0, (1, 0), value=True)  # each word, and the END behind the last
    missing = (1 - (weights.float() * said.unsqueeze(2)).sum(1)).square()
    exists = torch.ones_like(missing) if mask is None else mask.to(missing.dtype)
    return (missing * exists).sum() / exists.sum().clamp(min=1)


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
    words, places, targets = enforced(words, memory.encoded.summary.device)
    states = decoder.hidden(memory, words)
    return predicted(
        decoder, states, places, targets, label_smoothing=label_smoothing, reduction=reduction
    )


def enforced(words: Tensor, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """What a batch of captions (C, T) has to predict, on a device.

    Returns:
        The words up to the longest caption's end, the places of predictions among all of theirs,
        and what is predicted there.
    """
    lengths = (words != 0).sum(1)
    words = words[:, : int(lengths.max())]
    counted = torch.arange(words.shape[1] + 1, device=words.device) <= lengths.unsqueeze(1)
    places = counted.flatten().nonzero().squeeze(1)
    targets = F.pad(words, (0, 1)).flatten()[places]
    words, places, targets = (devices.send(values, device) for values in (words, places, targets))
    return words, places, targets


def predicted(
    decoder: Decoder,
    states: Tensor,
    places: Tensor,
    targets: Tensor,
    *,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """The loss of what `enforced` gave, of the states (C, T + 1, H) that predict."""
    logits = decoder.logits(states.flatten(0, 1).index_select(0, places))
    return F.cross_entropy(
        logits.float(), targets, label_smoothing=label_smoothing, reduction=reduction
    )
