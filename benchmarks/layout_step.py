"""Training step and captioning of the layout systems of workflow/recipes/coco_layouts.yaml.

Sixteen layouts (1 to 40 objects, their numbers spread as COCO's) with five captions each, width
256, 2,220 words. The step is loss, gradients and AdamW; the baseline encodes a layout once for each
of its captions, packed, with an LSTMCell decoder, as the ports of OBJ2TEXT do. Captioning is beam 3
over 64 layouts. An epoch is the 219 steps of 17,500 captions.

    python benchmarks/layout_step.py --threads 2
"""

from __future__ import annotations

import argparse
import json

import torch
from decoder_step import Baseline as Decoder
from measure import alternate
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from snakecap import device
from snakecap.config.settings import Decoding
from snakecap.inputs.batches import Batch, CaptionTargets
from snakecap.models.captioner import Captioner
from snakecap.models.decoders.attention import AttentionDecoder
from snakecap.models.decoders.lstm import LSTMDecoder
from snakecap.models.encoders.layout_lstm import LayoutLSTMEncoder
from snakecap.models.encoders.layout_set import LayoutSetEncoder
from snakecap.objectives.cross_entropy import CrossEntropy
from snakecap.search import beam
from snakecap.training.optimisers import Group, Numbers
from snakecap.training.optimisers import adamw as update

PICTURES, EACH, WORDS, VOCABULARY, WIDTH, CATEGORIES, STEPS = 16, 5, 16, 2220, 256, 80, 219


def layouts(number: int) -> dict[str, torch.Tensor]:
    """Categories and boxes; lengths are geometric with mean 7, as in COCO."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.empty(number).geometric_(1 / 7, generator=generator).clamp(1, 40).long()
    exists = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
    ids = torch.randint(1, CATEGORIES + 1, exists.shape, generator=generator) * exists
    return {"categories": ids, "boxes": torch.rand(*ids.shape, 4, generator=generator) / 2}


def models() -> dict[str, Captioner]:
    size = {"width": WIDTH, "vocabulary_size": VOCABULARY, "hidden_size": WIDTH}
    objects = {"width": WIDTH, "categories": CATEGORIES}
    return {
        name: Captioner([encoder(**objects)], decoder(**size), ["objects"])
        for name, encoder, decoder in (
            ("lstm", LayoutLSTMEncoder, LSTMDecoder),
            ("lstm_attention", LayoutLSTMEncoder, AttentionDecoder),
            ("set_attention", LayoutSetEncoder, AttentionDecoder),
        )
    }


class Port(nn.Module):
    """The usual port: a layout is encoded for every caption, and words go one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.names = nn.Embedding(CATEGORIES + 1, WIDTH)
        self.place = nn.Linear(4, WIDTH)
        self.lstm = nn.LSTM(WIDTH, WIDTH, batch_first=True)
        self.decoder = Decoder(VOCABULARY, WIDTH)

    def forward(self, inputs: dict[str, torch.Tensor], words: torch.Tensor) -> torch.Tensor:
        """Log-probabilities after each word, of shape (B, T, V + 1)."""
        lengths = (inputs["categories"] > 0).sum(1).cpu()
        objects = self.names(inputs["categories"]) + self.place(inputs["boxes"])
        packed = pack_padded_sequence(objects, lengths, batch_first=True, enforce_sorted=False)
        return self.decoder(self.lstm(packed)[1][0][0], words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    place = device.choose(chosen.device, chosen.threads)
    torch.manual_seed(0)
    words = torch.randint(1, VOCABULARY + 1, (PICTURES * EACH, WORDS))  # on the CPU, as in training
    some = {name: value.to(place) for name, value in layouts(PICTURES).items()}
    many = {name: value.to(place) for name, value in layouts(64).items()}
    every = {name: model.to(place) for name, model in models().items()}
    runs = {name: step(model, some, words) for name, model in every.items()}
    runs |= {f"beam_{name}": search(model, many) for name, model in every.items()}
    medians = alternate(runs | {"port": port(some, words)}, chosen.rounds)
    result = {"benchmark": "layout_step", "device": str(place), "threads": chosen.threads}
    for name in every:
        result |= {
            f"{name}_step_seconds": medians[name],
            f"{name}_epoch_seconds": STEPS * medians[name],
            f"{name}_beam_3_layouts_per_second": 64 / medians[f"beam_{name}"],
        }
    result["port_step_seconds"] = medians["port"]
    result["times_faster"] = medians["port"] / medians["lstm"]
    print(json.dumps(result))


def step(model: Captioner, inputs: dict[str, torch.Tensor], words: torch.Tensor):
    group = Group(model.named_parameters(), update, Numbers(3e-3), clip=0.1)
    place = next(model.parameters()).device
    owners = torch.arange(PICTURES, device=place).repeat_interleave(EACH)
    batch = Batch(torch.arange(PICTURES), {"objects": inputs}, CaptionTargets(words, owners))
    objective = CrossEntropy(model=model, label_smoothing=0.1)

    def run() -> None:
        model.train()
        objective(batch, 0)["caption"].backward()
        group.step()

    return run


def search(model: Captioner, inputs: dict[str, torch.Tensor]):
    @torch.inference_mode()
    def run() -> None:
        model.eval()
        step, state, number = model.start({"objects": inputs})
        beam.search(step, state, Decoding(beam_width=3, max_length=WORDS), number)

    return run


def port(inputs: dict[str, torch.Tensor], words: torch.Tensor):
    model = Port().to(words.device)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    repeated = {name: value.repeat_interleave(EACH, 0) for name, value in inputs.items()}
    inputs_ = torch.cat([torch.zeros_like(words[:, :1]), words], 1)
    targets = torch.cat([words, torch.zeros_like(words[:, :1])], 1)

    def run() -> None:
        optimiser.zero_grad()
        log_probs = model(repeated, inputs_)
        (-log_probs.gather(2, targets.unsqueeze(2)).mean()).backward()
        optimiser.step()

    return run


if __name__ == "__main__":
    main()
