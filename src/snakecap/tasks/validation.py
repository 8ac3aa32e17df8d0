"""Validation while training: loss by token, greedy captions and their scores."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from snakecap import device as devices
from snakecap.config.training import VALIDATION_METRICS, Stage
from snakecap.distributed.process_group import ProcessGroup
from snakecap.formats.captions import Captions
from snakecap.formats.pictures import Collection
from snakecap.formats.vocabulary import Vocabulary
from snakecap.inputs.input import Input, Inputs
from snakecap.metrics.scorer import Scorer
from snakecap.models.captioner import Captioner, stepper
from snakecap.models.encoded import Memory
from snakecap.objectives.cross_entropy import caption_loss
from snakecap.search.greedy import greedy
from snakecap.training.task import Validation

BATCH = 64


class CaptionValidation:
    """Evaluates a captioner on the validation split, always on the same pictures.

    Args:
        captioner: what is evaluated.
        inputs: what its encoders read, by name.
        packed: all pictures' captions.
        vocabulary: the words.
        collection: the pictures, for the references.
        stage: how many pictures, and whether captions are scored.
        processes: share the pictures; rank 0 tokenises the references.

    Raises:
        ValueError: the validation split has no captions.
    """

    def __init__(
        self,
        captioner: Captioner,
        inputs: Mapping[str, Input],
        packed: Captions,
        vocabulary: Vocabulary,
        collection: Collection,
        stage: Stage,
        processes: ProcessGroup = ProcessGroup(),
    ):
        rows = [int(row) for row in packed.rows("val") if packed.counts[row] > 0]
        if not rows:
            raise ValueError("the validation split has no captioned pictures: nothing to choose by")
        self.rows = rows if stage.validation_pictures < 0 else rows[: stage.validation_pictures]
        self.captioner, self.inputs, self.packed = captioner, inputs, packed
        self.vocabulary, self.processes = vocabulary, processes
        self.place, self.precision = next(captioner.parameters()).device, stage.precision
        self.scorer = None
        if stage.language_eval and processes.is_rank_0:
            found = {picture.file: picture.captions for picture in collection.pictures}
            references = {packed.ids[row]: found[packed.files[row]] for row in self.rows}
            self.scorer = Scorer(references, metrics=VALIDATION_METRICS)

    @torch.no_grad()  # inference_mode would cast the weights anew for every word
    def __call__(self) -> Validation | None:
        """Evaluate the captioner as it is, in evaluation mode; no random number is drawn.

        Returns:
            For rank 0; None for the other processes, which do their share of the work.
        """
        self.captioner.eval()
        total, tokens, captions = 0.0, 0, list[str]()
        own = self.rows[self.processes.rank :: self.processes.size]  # none, where those are many
        with devices.autocast(self.precision, self.place):
            for start in range(0, len(own), BATCH):
                rows = own[start : start + BATCH]
                memory = self.captioner.prepare(self._read(rows))
                words, owners = self._labels(rows)
                decoder = self.captioner.decoder
                value = float(caption_loss(decoder, memory.select(owners), words, reduction="sum"))
                total += value
                tokens += int((words != 0).sum()) + len(words)
                # Weights that exploded say nothing; the loop stops at the next loss that it reads.
                captions += self._captions(memory) if math.isfinite(value) else [""] * len(rows)
        shares = self.processes.gather((total, tokens, captions))
        if not shares:
            return None
        totals, numbers, texts = zip(*shares, strict=True)
        return self._result(sum(totals) / sum(numbers), self.processes.merged(texts))

    def _result(self, loss: float, texts: list[str]) -> Validation:
        captions = dict(zip((self.packed.ids[row] for row in self.rows), texts, strict=True))
        predictions = [{"image_id": key, "caption": text} for key, text in captions.items()]
        scores = self.scorer.score(captions).values if self.scorer else {}
        return Validation(loss, scores, predictions, "CIDEr" if scores else "loss")

    def _read(self, rows: list[int]) -> Inputs:
        files = [self.packed.files[row] for row in rows]
        return {name: one.read(files) for name, one in self.inputs.items()}

    def _labels(self, rows: list[int]) -> tuple[Tensor, Tensor]:
        """All captions of some pictures, and each caption's place in the batch."""
        spans = [range(self.packed.starts[row], self.packed.ends[row]) for row in rows]
        owners = [place for place, span in enumerate(spans) for _ in span]
        chosen = [caption for span in spans for caption in span]
        return torch.from_numpy(self.packed.labels[chosen]), torch.tensor(owners, device=self.place)

    def _captions(self, memory: Memory) -> list[str]:
        decoder = self.captioner.decoder
        found = greedy(
            stepper(decoder, memory),
            decoder.start(memory),
            pictures=len(memory.encoded.summary),
            max_length=self.packed.labels.shape[1],
        )
        return [self.vocabulary.decode(best[0].words) for best in found]
