"""Captioning 64 pictures from given features, against beam search picture by picture.

Vocabulary 9,487, hidden 512, 16 words at most, random weights. Once without ends and with all words
alike, so that every caption has 16 words and hardly any two of them are equal: the worst case. Once
like a trained model: captions end as COCO's do (10.5 words on average, standard deviation 2.4), and
words are as frequent as in a language (Zipf's law). The baselines, in float32, search each picture
alone, with a log-softmax of the vocabulary for every beam: beam by beam with a sort, and all the
steps that there can be, as NeuralTalk2 does; and with its beams as one batch, without a sort, until
all have ended, as code after it.

Then top-down attention and a transformer (6 + 6 layers, 512, 2,048) over 36 regions of 2,048
numbers, with 5 beams, the worst case, against `peers`.

    python benchmarks/decode.py --threads 2
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import torch
from decoder_step import FEATURES, PEERS, PRECISIONS, REGIONS, compared, ours_of
from measure import alternate
from peers import search as peers_search
from torch import Tensor

from snakecap import device
from snakecap.config.settings import Decoding
from snakecap.models.captioner import stepper
from snakecap.models.decoders.decoder import State
from snakecap.models.decoders.lstm import LSTMDecoder
from snakecap.models.encoded import Encoded, Memory
from snakecap.search import beam

Search = Callable[[LSTMDecoder, Memory, int], list[int]]
PICTURES, WORDS, VOCABULARY, SIZE = 64, 16, 9487, 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processor", action="store_true", help="processor time; one thread")
    parser.add_argument("--models", nargs="+", default=["lstm", *PEERS], choices=["lstm", *PEERS])
    chosen = parser.parse_args()
    place = device.choose(chosen.device, chosen.threads)
    report = {"benchmark": "decode", "device": str(place), "threads": chosen.threads}
    for name in chosen.models:
        torch.manual_seed(0)
        if name in PEERS:
            report[name] = over_regions(name, place, chosen)
            continue
        for kind, decoder in (("worst", LSTMDecoder), ("trained", Trained)):
            model = decoder(width=SIZE, vocabulary_size=VOCABULARY).eval().to(place)
            report[kind] = compare(model, place, chosen)
    print(json.dumps(report))


class Trained(LSTMDecoder):
    """COCO's lengths and a language's words; the state also counts down to the end."""

    def __init__(self, *, width: int, vocabulary_size: int):
        super().__init__(width=width, vocabulary_size=vocabulary_size)
        self.output.bias.data[1:] = -torch.arange(1.0, vocabulary_size + 1).log()

    def start(self, memory: Memory) -> State:
        """The decoder's state, and how many words are left."""
        generator = torch.Generator().manual_seed(1)
        left = 10.5 + 2.4 * torch.randn(len(memory.encoded.summary), 1, generator=generator)
        return (*super().start(memory), left.to(memory.encoded.summary.device))

    def step(self, words: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """One word further, and nearer to the end."""
        *lstm, left = state
        logits, lstm = super().step(words, tuple(lstm), memory)
        logits[:, 0] -= 8 * left[:, 0]
        return logits, (*lstm, left - 1)


def compare(
    model: LSTMDecoder, place: torch.device, chosen: argparse.Namespace
) -> dict[str, object]:
    """All ways of searching, at three widths."""
    memory = model.prepare(Encoded(torch.randn(PICTURES, SIZE, device=place)))
    found = {}
    for width in (1, 2, 5):
        medians = alternate(
            {
                **{p: lambda w=width, p=p: ours(model, memory, w, p) for p in PRECISIONS},
                "beam_by_beam": lambda w=width: one_by_one(beam_by_beam, model, memory, w),
                "batch_of_beams": lambda w=width: one_by_one(batch_of_beams, model, memory, w),
            },
            chosen.rounds,
            processor=chosen.processor,
        )
        found[f"beam_{width}"] = {
            "pictures_per_second": {name: PICTURES / took for name, took in medians.items()},
            "times_faster": {
                precision: {name: took / medians[precision] for name, took in medians.items()}
                for precision in PRECISIONS
            },
        }
    return found


def over_regions(name: str, place: torch.device, chosen: argparse.Namespace) -> dict[str, object]:
    """Beam 5 of a model that looks at regions, in each precision, and a peer's."""
    grid = torch.randn(PICTURES, REGIONS, FEATURES, device=place)
    model, peer = ours_of(PEERS[name]), PEERS[name](VOCABULARY, SIZE, FEATURES)
    for one, output in ((model, model.decoder.output), (peer, peer.output)):
        one.eval().to(place)
        output.bias.data[0] = -100  # END is never said

    @torch.no_grad()
    def run(precision: str) -> None:
        with device.autocast(precision, place):
            step, state, _ = model.start({"picture": {"grid": grid}})
            beam.search(step, state, Decoding(beam_width=5, max_length=WORDS), PICTURES)

    runs = {p: lambda p=p: run(p) for p in PRECISIONS}
    runs["baseline"] = lambda: peers_search(peer, grid, 5, WORDS)
    return compared(alternate(runs, chosen.rounds, processor=chosen.processor))


@torch.no_grad()
def ours(model: LSTMDecoder, memory: Memory, width: int, precision: str) -> None:
    with device.autocast(precision, memory.encoded.summary.device):
        step = stepper(model, memory)
        decoding = Decoding(beam_width=width, max_length=WORDS)
        beam.search(step, model.start(memory), decoding, PICTURES)


@torch.no_grad()
def one_by_one(search: Search, model: LSTMDecoder, memory: Memory, width: int) -> None:
    for row in range(PICTURES):
        alone = memory.select(torch.tensor([row], device=memory.encoded.summary.device))
        search(model, alone, width)


def beam_by_beam(model: LSTMDecoder, memory: Memory, width: int) -> list[int]:
    """NeuralTalk2's sample_beam: sorted candidates in Python lists, one state a beam."""
    beams = [([], 0.0, model.start(memory))]
    done = []
    for t in range(WORDS):
        candidates = []
        for words, total, state in beams:
            last = torch.tensor([words[-1] if words else 0], device=memory.encoded.summary.device)
            logits, state = model.step(last, state, memory)
            values, indices = logits.log_softmax(1)[0].sort(descending=True)
            for value, index in zip(values[:width].tolist(), indices[:width].tolist(), strict=True):
                candidates.append(([*words, index], total + value, state))
        candidates.sort(key=lambda candidate: -candidate[1])
        beams = candidates[:width]
        done += [beam_ for beam_ in beams if beam_[0][-1] == 0 or t == WORDS - 1]
    return max(done, key=lambda finished: finished[1])[0]


def batch_of_beams(model: LSTMDecoder, memory: Memory, width: int) -> list[int]:
    """One step for all beams of the picture, the best words without a sort, and an end.

    As Show, Attend and Tell's best known port to PyTorch: a beam that has said END is done and
    leaves, the others are so many fewer, and the picture is done with its last one.
    """
    device = memory.encoded.summary.device
    state = model.start(memory)
    said, totals = torch.zeros(1, 1, dtype=torch.long, device=device), torch.zeros(1, device=device)
    done: list[tuple[float, list[int]]] = []
    for t in range(WORDS):
        logits, state = model.step(said[:, -1], state, memory)
        scores = totals.unsqueeze(1) + logits.log_softmax(1)
        totals, places = scores.flatten().topk(width - len(done))
        parents, words = places // scores.shape[1], places % scores.shape[1]
        said = torch.cat([said[parents], words.unsqueeze(1)], 1)
        ended = (words == 0) | (t == WORDS - 1)
        done += zip(totals[ended].tolist(), said[ended, 1:].tolist(), strict=True)
        if len(done) == width:
            break
        said, totals, parents = (part[~ended] for part in (said, totals, parents))
        state = tuple(part[parents] for part in state)
    return max(done)[1]


if __name__ == "__main__":
    main()
