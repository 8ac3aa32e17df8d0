"""One training step of the decoder, against the loop that common research code runs.

80 captions of 16 words (NeuralTalk2's batch), vocabulary 9,487, hidden 512, picture features given:
loss, gradients, element-wise clipping and Adam. The baseline is the usual LSTMCell loop with a
log-softmax over the whole vocabulary at every step, a masked sum, and torch.optim.Adam.

    python benchmarks/decoder_step.py --threads 2
"""

from __future__ import annotations

import argparse
import json

import torch
from measure import alternate
from torch import nn

from snakecap import device
from snakecap.models.decoders.lstm import LSTMDecoder
from snakecap.models.encoded import Encoded, Memory
from snakecap.objectives.cross_entropy import caption_loss
from snakecap.training.optimisers import Group, Numbers
from snakecap.training.optimisers import adam as update

CAPTIONS, WORDS, VOCABULARY, SIZE = 80, 16, 9487, 512


class Baseline(nn.Module):
    """A decoder as tutorials and self-critical.pytorch write it."""

    def __init__(self, vocabulary: int = VOCABULARY, size: int = SIZE) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary + 1, size)
        self.cell = nn.LSTMCell(size, size)
        self.output = nn.Linear(size, vocabulary + 1)

    def forward(self, summary: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Log-probabilities after each word, of shape (B, T, V + 1)."""
        state = self.cell(summary)
        steps = []
        for t in range(words.shape[1]):
            state = self.cell(self.words(words[:, t]), state)
            steps.append(self.output(torch.dropout(state[0], 0.5, True)).log_softmax(1))
        return torch.stack(steps, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    place = device.choose(chosen.device, chosen.threads)
    torch.manual_seed(0)
    words = torch.randint(1, VOCABULARY + 1, (CAPTIONS, WORDS), device=place)
    summary = torch.randn(CAPTIONS, SIZE, device=place)
    medians = alternate(
        {"ours": ours(words, summary), "baseline": baseline(words, summary)}, chosen.rounds
    )
    print(
        json.dumps(
            {
                "benchmark": "decoder_step",
                "device": str(place),
                "threads": chosen.threads,
                "seconds": medians["ours"],
                "baseline_seconds": medians["baseline"],
                "times_faster": medians["baseline"] / medians["ours"],
            }
        )
    )


def ours(words: torch.Tensor, summary: torch.Tensor):
    model = LSTMDecoder(width=SIZE, vocabulary_size=VOCABULARY).to(words.device)
    group = Group(model.named_parameters(), update, Numbers(4e-4), clip=0.1)

    def step() -> None:
        caption_loss(model, Memory(Encoded(summary)), words).backward()
        group.step()

    return step


def baseline(words: torch.Tensor, summary: torch.Tensor):
    model = Baseline().to(words.device)
    optimiser = torch.optim.Adam(model.parameters(), 4e-4, betas=(0.8, 0.999))
    inputs = torch.cat([torch.zeros_like(words[:, :1]), words], 1)
    targets = torch.cat([words, torch.zeros_like(words[:, :1])], 1)
    mask = torch.ones_like(targets, dtype=torch.float32)

    def step() -> None:
        optimiser.zero_grad()
        log_probs = model(summary, inputs)
        chosen = log_probs.gather(2, targets.unsqueeze(2)).squeeze(2)
        (-(chosen * mask).sum() / mask.sum()).backward()
        for parameter in model.parameters():
            parameter.grad.clamp_(-0.1, 0.1)
        optimiser.step()

    return step


if __name__ == "__main__":
    main()
