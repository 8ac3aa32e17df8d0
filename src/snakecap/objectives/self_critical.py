"""Self-critical training: captions that the model says itself are rewarded by how good they are.

Sources: Rennie et al., "Self-Critical Sequence Training for Image Captioning" (CVPR 2017), whose
baseline is the greedy caption; Luo, "A Better Variant of Self-Critical Sequence Training" (2020),
whose baseline is the mean of a picture's other samples; DeepCaption and self-critical.pytorch. With
reward r of a sampled caption w and its baseline b, which does not depend on w, the loss is the mean
over all sampled words and ENDs of -(r - b) log p(w).

Known deviation: DeepCaption adds numbers to the loss that no gradient flows through (diversity,
repetition, BLEU), so that they teach nothing; here they are reported beside it.

Dimensions: P pictures, K captions of each, T words.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from snakecap.formats.captions import Captions
from snakecap.inputs.batches import Batch, CaptionTargets
from snakecap.metrics.metric import Array
from snakecap.models.captioner import Captioner, stepper
from snakecap.models.encoded import Memory
from snakecap.objectives.cross_entropy import caption_loss
from snakecap.objectives.reward import Reward
from snakecap.search.greedy import likeliest
from snakecap.search.hypothesis import NONE
from snakecap.search.sample import by_chance
from snakecap.search.unroll import Choose, unroll


def check(*, cider: float, bleu: float, baseline: str, samples: int) -> None:
    """There must be a reward, and something to compare with."""
    if not cider + bleu:
        raise ValueError("a reward of nothing teaches nothing: cider or bleu must be above 0")
    if baseline == "leave_one_out" and samples < 2:
        raise ValueError("leave_one_out compares a picture's samples: it needs 2 or more")


class SelfCritical:
    """Samples in training mode; their likelihood rises with what they gain on the baseline.

    Args:
        references: all pictures'; of what a picture's batch has, only `cross_entropy` reads.
        mirror: what each word becomes where a picture is flipped, (V + 1,): so it is judged.
        cider: weight of CIDEr-D, from 0 to 10, in the reward.
        bleu: weight of BLEU-4, from 0 to 1.
        baseline: the greedy caption's reward, without dropout, or the mean of the other samples'.
        samples: K.
        cross_entropy: share of cross-entropy in the loss; the rest is self-critical.
    """

    def __init__(
        self,
        *,
        model: Captioner,
        references: Captions,
        mirror: Tensor,
        cider: Annotated[float, Field(ge=0)] = 1.0,
        bleu: Annotated[float, Field(ge=0)] = 0.0,
        baseline: Literal["greedy", "leave_one_out"] = "leave_one_out",
        samples: Annotated[int, Field(ge=1)] = 5,
        cross_entropy: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ):
        check(cider=cider, bleu=bleu, baseline=baseline, samples=samples)
        self.model, self.references, self.mirror = model, references, mirror
        self.agreement = Reward(references)
        self.cider, self.bleu, self.baseline = cider, bleu, baseline
        self.samples, self.cross_entropy = samples, cross_entropy

    def __call__(self, batch: Batch[CaptionTargets], iteration: int) -> dict[str, Tensor]:
        memory = self.model.prepare(batch.inputs)
        said, log_probs = self._say(memory, by_chance, self.samples)
        rewards, reported = self._judge(batch, said)
        gains = torch.from_numpy(rewards - self._baseline(batch, rewards)).to(log_probs.device)
        words = (said != 0).sum(2)
        spoken = (words + (words < said.shape[2])).sum()  # ENDs too, of captions that have one
        loss = -(gains * log_probs).sum() / spoken
        share, losses = self.cross_entropy, {"self_critical": loss.float()}
        if share:
            targets = batch.targets
            enforced = caption_loss(
                self.model.decoder, memory.select(targets.owners), targets.words
            )
            losses = {"self_critical": (1 - share) * losses["self_critical"]}
            losses["caption"] = share * enforced
        return losses | {name: loss.new_tensor(value).float() for name, value in reported.items()}

    def _say(self, memory: Memory, choose: Choose, copies: int) -> tuple[Tensor, Tensor]:
        """Captions (P, K, T), and their log-probabilities (P, K)."""
        decoder = self.model.decoder
        return unroll(
            stepper(decoder, memory),
            decoder.start(memory),
            choose,
            pictures=len(memory.encoded.summary),
            copies=copies,
            max_length=self.references.labels.shape[1],
            constraints=NONE,
        )

    def _judge(self, batch: Batch[CaptionTargets], said: Tensor) -> tuple[Array, dict[str, float]]:
        """Rewards (P, K), and numbers to report.

        Raises:
            ValueError: a reward is not finite; names the pictures.
        """
        said, flipped = said.cpu(), batch.targets.flipped
        if flipped is not None:
            said = torch.where(flipped.view(-1, 1, 1), self.mirror[said], said)
        found = self.agreement(batch.rows.numpy(), said.numpy())
        rewards = self.cider * found.cider + self.bleu * found.bleu
        wrong = batch.rows.numpy()[~np.isfinite(rewards).all(1)]
        if len(wrong):
            names = ", ".join(self.references.files[row] for row in wrong)
            raise ValueError(f"the reward of captions of {names} is not a finite number")
        return rewards, {
            "reward": float(rewards.mean()),
            "Bleu_4": float(found.bleu.mean()),
            "diversity": found.diversity,
            "repetition": found.repetition,
        }

    def _baseline(self, batch: Batch[CaptionTargets], rewards: Array) -> Array:
        """What a sample's reward is compared with, (P, K) or (P, 1)."""
        if self.baseline == "leave_one_out":
            others: Array = rewards.sum(1, keepdims=True) - rewards
            return others / (self.samples - 1)
        with evaluating(self.model), torch.no_grad():
            said, _ = self._say(self.model.prepare(batch.inputs), likeliest, 1)
        return self._judge(batch, said)[0]


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and then each module's own mode again: frozen ones stay in evaluation."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
