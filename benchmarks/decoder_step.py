"""One training step of the decoder, against the loop that common research code runs.

80 captions of 16 words (NeuralTalk2's batch), vocabulary 9,487, hidden 512, picture features given:
loss, gradients, element-wise clipping and Adam, in each precision. The baseline, in float32, is the
usual LSTMCell loop with a log-softmax over the whole vocabulary at every step, a masked sum, and
torch.optim.Adam. An epoch of COCO's 113,287 pictures, 16 a step, follows from captions as long as
COCO's (10.5 words on average, standard deviation 2.4).

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

CAPTIONS, PICTURES, WORDS, VOCABULARY, SIZE = 80, 16, 16, 9487, 512
PRECISIONS = ("float32", "bfloat16")
COCO_PICTURES = 113_287


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
    parser.add_argument("--processor", action="store_true", help="processor time; one thread")
    chosen = parser.parse_args()
    place = device.choose(chosen.device, chosen.threads)
    torch.manual_seed(0)
    words = torch.randint(1, VOCABULARY + 1, (CAPTIONS, WORDS), device=place)
    summary = torch.randn(CAPTIONS, SIZE, device=place)
    lengths = (10.5 + 2.4 * torch.randn(CAPTIONS, 1, device=place)).round().clamp(5, WORDS)
    coco = words.masked_fill(torch.arange(WORDS, device=place) >= lengths, 0)
    runs = {name: ours(words, summary, name) for name in PRECISIONS}
    runs |= {f"coco_{name}": ours(coco, summary, name) for name in PRECISIONS}
    medians = alternate(
        runs | {"baseline": baseline(words, summary)}, chosen.rounds, processor=chosen.processor
    )
    epoch = COCO_PICTURES / PICTURES
    result = {
        "benchmark": "decoder_step",
        "device": str(place),
        "threads": chosen.threads,
        "seconds": medians,
        "times_faster": {name: medians["baseline"] / medians[name] for name in PRECISIONS},
        "coco_epoch_minutes": {name: epoch * medians[f"coco_{name}"] / 60 for name in PRECISIONS},
    }
    print(json.dumps(result))


def ours(words: torch.Tensor, summary: torch.Tensor, precision: str):
    model = LSTMDecoder(width=SIZE, vocabulary_size=VOCABULARY).to(words.device)
    group = Group(model.named_parameters(), update, Numbers(4e-4), clip=0.1)

    def step() -> None:
        with device.autocast(precision, summary.device):
            loss = caption_loss(model, Memory(Encoded(summary)), words)
        loss.backward()
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
