"""One self-critical training step against one of cross-entropy, and the reward alone.

16 pictures' features, five captions of each (sampled, or true and as long as COCO's), vocabulary
9,487, hidden 512, captions of at most 16 words: loss, gradients, clipping and Adam. The untrained
model's samples hardly ever end, so that the step is the dearest there can be. `reward` is CIDEr-D
and BLEU-4 of 80 captions, with document frequencies of `--pictures`.

    python benchmarks/self_critical.py --threads 2
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch
from measure import alternate

from snakecap import device
from snakecap.formats.captions import Captions
from snakecap.inputs.batches import Batch, CaptionTargets
from snakecap.models.captioner import Captioner
from snakecap.models.decoders.lstm import LSTMDecoder
from snakecap.models.encoders.cnn import CNNEncoder
from snakecap.objectives.cross_entropy import CrossEntropy
from snakecap.objectives.self_critical import SelfCritical
from snakecap.training.optimisers import Group, Numbers
from snakecap.training.optimisers import adam as update

PICTURES, EACH, WORDS, VOCABULARY, SIZE = 16, 5, 16, 9487, 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=20_000, help="COCO has 113,287")
    parser.add_argument("--precision", default="float32")
    chosen = parser.parse_args()
    place = device.choose(chosen.device, chosen.threads)
    torch.manual_seed(0)
    references = captions(chosen.pictures)
    rows = torch.arange(PICTURES)
    words = torch.from_numpy(references.labels[: PICTURES * EACH])
    owners = rows.repeat_interleave(EACH).to(place)
    inputs = {"picture": {"pooled": torch.randn(PICTURES, SIZE, device=place)}}
    batch = Batch(rows, inputs, CaptionTargets(words, owners))
    model = Captioner(
        [CNNEncoder(width=SIZE, size=SIZE)],
        LSTMDecoder(width=SIZE, vocabulary_size=VOCABULARY),
        ["picture"],
    ).to(place)
    start = time.perf_counter()
    given = {"model": model, "references": references, "mirror": torch.arange(VOCABULARY + 1)}
    critical = SelfCritical(**given)
    counting = time.perf_counter() - start
    greedy = SelfCritical(**given, baseline="greedy")
    said = words.view(PICTURES, EACH, WORDS).roll(1, 0).numpy()
    runs = {
        "cross_entropy": step(CrossEntropy(model=model), model, batch, chosen.precision),
        "self_critical": step(critical, model, batch, chosen.precision),
        "self_critical_greedy": step(greedy, model, batch, chosen.precision),
        "reward": lambda: critical.agreement(rows.numpy(), said),
    }
    medians = alternate(runs, chosen.rounds)
    result = {
        "benchmark": "self_critical",
        "device": str(place),
        "threads": chosen.threads,
        "precision": chosen.precision,
        "seconds": {**medians, "document_frequencies": counting},
        "cross_entropy_steps": {
            name: medians[name] / medians["cross_entropy"]
            for name in ("self_critical", "self_critical_greedy")
        },
    }
    print(json.dumps(result))


def captions(pictures: int) -> Captions:
    """Five a picture, of words as unlike in frequency as a language's, as long as COCO's."""
    random, number = np.random.default_rng(0), pictures * EACH
    lengths = np.clip(np.round(10.5 + 2.4 * random.standard_normal(number)), 5, WORDS).astype(int)
    labels = np.minimum(VOCABULARY, random.zipf(1.35, (number, WORDS)))
    labels[np.arange(WORDS) >= lengths[:, None]] = 0
    ends, names = (np.arange(pictures) + 1) * EACH, tuple(map(str, range(pictures)))
    splits, words = ("train",) * pictures, tuple(map(str, range(VOCABULARY)))
    return Captions(labels, ends - EACH, ends, lengths, names, splits, names, words)


def step(objective, model: Captioner, batch: Batch, precision: str):
    group = Group(model.named_parameters(), update, Numbers(1e-5), clip=0.1)

    def run() -> None:
        with device.autocast(precision, batch.inputs["picture"]["pooled"].device):
            losses = objective(batch, 0)
        torch.stack([loss for loss in losses.values() if loss.requires_grad]).sum().backward()
        group.step()

    return run


if __name__ == "__main__":
    main()
