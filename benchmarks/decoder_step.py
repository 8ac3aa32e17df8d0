"""One training step of each decoder, against the loop that common research code runs.

80 captions of 16 words (NeuralTalk2's batch), vocabulary 9,487, hidden 512, picture features given:
loss, gradients, element-wise clipping and Adam, in each precision. The baseline, in float32, is the
usual LSTMCell loop with a log-softmax over the whole vocabulary at every step, a masked sum, and
torch.optim.Adam. An epoch of COCO's 113,287 pictures, 16 a step, follows from captions as long as
COCO's (10.5 words on average, standard deviation 2.4).

Then decoders over 36 regions of 2,048 numbers, which are projected too, of 16 pictures with five
captions each: top-down attention, and a transformer (6 + 6 layers, 512, 2,048), against `peers`.

    python benchmarks/decoder_step.py --threads 2
"""

from __future__ import annotations

import argparse
import json

import torch
from measure import alternate
from peers import Transformer, UpDown
from torch import nn

from snakecap import device
from snakecap.inputs.batches import Batch, CaptionTargets
from snakecap.models.captioner import Captioner
from snakecap.models.decoders.lstm import LSTMDecoder
from snakecap.models.decoders.transformer import TransformerDecoder
from snakecap.models.decoders.updown import UpDownDecoder
from snakecap.models.encoded import Encoded, Memory
from snakecap.models.encoders.cnn_grid import CNNGridEncoder
from snakecap.objectives.cross_entropy import CrossEntropy, caption_loss
from snakecap.training.optimisers import Group, Numbers
from snakecap.training.optimisers import adam as update

CAPTIONS, PICTURES, WORDS, VOCABULARY, SIZE = 80, 16, 16, 9487, 512
PRECISIONS = ("float32", "bfloat16")
COCO_PICTURES = 113_287
REGIONS, FEATURES = 36, 2048
PEERS = {"updown": UpDown, "transformer": Transformer}


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
    parser.add_argument("--models", nargs="+", default=["lstm", *PEERS], choices=["lstm", *PEERS])
    chosen = parser.parse_args()
    place = device.choose(chosen.device, chosen.threads)
    torch.manual_seed(0)
    words = torch.randint(1, VOCABULARY + 1, (CAPTIONS, WORDS), device=place)
    result = {"benchmark": "decoder_step", "device": str(place), "threads": chosen.threads}
    for name in chosen.models:
        result[name] = (
            over_regions(words, PEERS[name], chosen) if name in PEERS else plain(words, chosen)
        )
    print(json.dumps(result))


def plain(words: torch.Tensor, chosen: argparse.Namespace) -> dict[str, object]:
    """The LSTM without regions."""
    place = words.device
    summary = torch.randn(CAPTIONS, SIZE, device=place)
    lengths = (10.5 + 2.4 * torch.randn(CAPTIONS, 1, device=place)).round().clamp(5, WORDS)
    coco = words.masked_fill(torch.arange(WORDS, device=place) >= lengths, 0)
    runs = {name: ours(words, summary, name) for name in PRECISIONS}
    runs |= {f"coco_{name}": ours(coco, summary, name) for name in PRECISIONS}
    runs["baseline"] = baseline(Baseline().to(place), words, summary)
    medians = alternate(runs, chosen.rounds, processor=chosen.processor)
    epoch = COCO_PICTURES / PICTURES
    return {
        **compared(medians),
        "coco_epoch_minutes": {name: epoch * medians[f"coco_{name}"] / 60 for name in PRECISIONS},
    }


def compared(medians: dict[str, float]) -> dict[str, object]:
    faster = {name: medians["baseline"] / medians[name] for name in PRECISIONS}
    return {"seconds": medians, "times_faster": faster}


def over_regions(
    words: torch.Tensor, peer: type[UpDown | Transformer], chosen: argparse.Namespace
) -> dict[str, object]:
    """Ours in each precision against a peer."""
    grid = torch.randn(PICTURES, REGIONS, FEATURES, device=words.device)
    runs = {name: looking(words, grid, ours_of(peer), name) for name in PRECISIONS}
    model = peer(VOCABULARY, SIZE, FEATURES).to(words.device)
    runs["baseline"] = baseline(model, words, grid)
    return compared(alternate(runs, chosen.rounds, processor=chosen.processor))


def ours_of(peer: type[UpDown | Transformer]) -> Captioner:
    """The same model as ours."""
    size = {"width": SIZE, "vocabulary_size": VOCABULARY}
    decoder = TransformerDecoder(**size, encoder_layers=6) if peer is Transformer else None
    encoder = CNNGridEncoder(width=SIZE, size=FEATURES)
    return Captioner([encoder], decoder or UpDownDecoder(**size), ["picture"])


def looking(words: torch.Tensor, grid: torch.Tensor, model: Captioner, precision: str):
    model.to(grid.device)
    group = Group(model.named_parameters(), update, Numbers(4e-4), clip=0.1)
    owners = torch.arange(PICTURES, device=grid.device).repeat_interleave(CAPTIONS // PICTURES)
    inputs = {"picture": {"grid": grid}}
    batch = Batch(torch.arange(PICTURES), inputs, CaptionTargets(words.cpu(), owners))
    objective = CrossEntropy(model=model)

    def step() -> None:
        with device.autocast(precision, grid.device):
            loss = objective(batch, 0)["caption"]
        loss.backward()
        group.step()

    return step


def ours(words: torch.Tensor, summary: torch.Tensor, precision: str):
    model = LSTMDecoder(width=SIZE, vocabulary_size=VOCABULARY).to(words.device)
    group = Group(model.named_parameters(), update, Numbers(4e-4), clip=0.1)

    def step() -> None:
        with device.autocast(precision, summary.device):
            loss = caption_loss(model, Memory(Encoded(summary)), words)
        loss.backward()
        group.step()

    return step


def baseline(model: nn.Module, words: torch.Tensor, seen: torch.Tensor):
    optimiser = torch.optim.Adam(model.parameters(), 4e-4, betas=(0.8, 0.999))
    inputs = torch.cat([torch.zeros_like(words[:, :1]), words], 1)
    targets = torch.cat([words, torch.zeros_like(words[:, :1])], 1)
    mask = torch.ones_like(targets, dtype=torch.float32)

    def step() -> None:
        optimiser.zero_grad()
        log_probs = model(seen, inputs)
        chosen = log_probs.gather(2, targets.unsqueeze(2)).squeeze(2)
        (-(chosen * mask).sum() / mask.sum()).backward()
        for parameter in model.parameters():
            parameter.grad.clamp_(-0.1, 0.1)
        optimiser.step()

    return step


if __name__ == "__main__":
    main()
