"""Teacher forcing less and less: a word is predicted from what the model itself would have said.

Sources: Bengio et al., "Scheduled Sampling for Sequence Prediction with Recurrent Neural Networks"
(2015); DeepCaption's `--teacher_forcing` (its `get_teacher_prob`); self-critical.pytorch's
`scheduled_sampling_*`, which is the decay `epochs`.

Known deviations: DeepCaption leaves the last word of the longest captions out, and starts its
schedule anew when it resumes. self-critical.pytorch draws the model's word by its probability; it
is the likeliest here, as in DeepCaption. A predicted END reads as START, which has the same id.

Dimensions: C captions, T words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from snakecap import device as devices
from snakecap.inputs.batches import Batch, CaptionTargets
from snakecap.models.captioner import Captioner
from snakecap.models.decoders.decoder import Decoder
from snakecap.models.encoded import Memory
from snakecap.objectives.cross_entropy import caption_loss


class ScheduledSampling:
    """Cross-entropy whose previous words are true with a probability p that falls.

    Args:
        epoch_length: iterations an epoch.
        mode: with 1 - p, the model's own word is read (`sampled`) or a mean of both, p of the
            true one's vector (`additive_sampled`); or that mean always (`additive`).
        draw: one random number a step for the whole batch, as DeepCaption, or for each word.
        decay: `sigmoid`, p = k / (k + exp(beta i / k)) at iteration i of the stage; or `epochs`.
        k: how late p falls, usually thousands; 0: never.
        beta: how fast it falls then.
        start: of `epochs`: the epoch from which on 1 - p grows.
        every: epochs after which it grows again.
        rate: how much it grows.
        most: where it ends.
    """

    def __init__(
        self,
        *,
        model: Captioner,
        epoch_length: int,
        mode: Literal["sampled", "additive", "additive_sampled"] = "sampled",
        draw: Literal["batch", "word"] = "batch",
        decay: Literal["sigmoid", "epochs"] = "sigmoid",
        k: Annotated[float, Field(ge=0)] = 6500.0,
        beta: Annotated[float, Field(ge=0)] = 0.3,
        start: Annotated[int, Field(ge=0)] = 0,
        every: Annotated[int, Field(ge=1)] = 5,
        rate: Annotated[float, Field(ge=0, le=1)] = 0.05,
        most: Annotated[float, Field(ge=0, le=1)] = 0.25,
    ):
        self.model, self.epoch_length, self.mode, self.draw = model, epoch_length, mode, draw
        self.decay, self.k, self.beta = decay, k, beta
        self.start, self.every, self.rate, self.most = start, every, rate, most

    def __call__(self, batch: Batch[CaptionTargets], iteration: int) -> dict[str, Tensor]:
        memory = self.model.prepare(batch.inputs).select(batch.targets.owners)
        words, p = batch.targets.words, self.true_share(iteration)
        if p == 1:  # all words are known at once
            return {"caption": caption_loss(self.model.decoder, memory, words)}
        return {"caption": self.loss(memory, words, p)}

    def true_share(self, iteration: int) -> float:
        """P at an iteration of the stage, from 0."""
        if self.decay == "sigmoid":
            return sigmoid(iteration, self.k, self.beta)
        epochs = max(0, iteration // self.epoch_length - self.start)
        return 1 - min(self.most, self.rate * (epochs // self.every))

    def loss(self, memory: Memory, words: Tensor, p: float) -> Tensor:
        """The mean of -log p over words and END; arguments as of `caption_loss`."""
        decoder, lengths = self.model.decoder, (words != 0).sum(1)
        longest = int(lengths.max())
        device = memory.encoded.summary.device
        targets = devices.send(F.pad(words[:, :longest], (0, 1)), device)
        state, read = decoder.start(memory), targets.new_zeros(len(words))
        total = torch.zeros((), device=device)
        with mixed(decoder) as mix:
            mix.update(other=read, share=torch.ones(1, 1, device=device))
            for t in range(longest + 1):
                logits, state = decoder.step(read, state, memory)
                live = devices.send((lengths >= t).nonzero().squeeze(1), device)
                said = logits.float().index_select(0, live)
                total = total + F.cross_entropy(said, targets[live, t], reduction="sum")
                read = targets[:, t]
                mix.update(other=logits.argmax(1), share=self._shares(len(words), p).to(device))
        return total / (int(lengths.sum()) + len(words))

    def _shares(self, captions: int, p: float) -> Tensor:
        """The true word's share in what is read, of shape (C, 1) or (1, 1)."""
        least = 0.0 if self.mode == "sampled" else p
        if self.mode == "additive":
            return torch.full((1, 1), least)
        true = torch.rand(captions if self.draw == "word" else 1, 1) < p
        return torch.where(true, 1.0, least)


def sigmoid(iteration: int, k: float, beta: float) -> float:
    """K / (k + exp(beta i / k)): DeepCaption's probability of the true word; 1 where k is 0."""
    return k / (k + math.exp(min(700.0, beta * iteration / k))) if k else 1.0


@contextmanager
def mixed(decoder: Decoder) -> Iterator[dict[str, Tensor]]:
    """What a decoder reads is a mean of two vectors: `share` of its own word's, and of `other`'s.

    Whatever the decoder is: its word vectors are its module `words`, which gives the mean instead.
    """
    mix: dict[str, Tensor] = {}
    vectors = next(one for name, one in decoder.named_modules() if name.split(".")[-1] == "words")

    def read(module: nn.Module, _: object, true: Tensor) -> Tensor:
        other: Tensor = module.forward(mix["other"])
        return other.lerp(true.view_as(other), mix["share"].to(true.dtype)).view_as(true)

    handle = vectors.register_forward_hook(read)
    try:
        yield mix
    finally:
        handle.remove()
