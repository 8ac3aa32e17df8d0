"""Validation while training: loss by token, greedy captions and their scores."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from snakecap.config.settings import VALIDATION_METRICS, Stage
from snakecap.distributed.process_group import ProcessGroup
from snakecap.formats.captions import Captions
from snakecap.formats.pictures import Collection
from snakecap.formats.vocabulary import Vocabulary
from snakecap.inputs.inputs import Source
from snakecap.metrics.scorer import Scorer
from snakecap.models.captioner import Captioner
from snakecap.search.greedy import greedy
from snakecap.training.lesson import Validation

BATCH = 64


class Validator:
    """Evaluates a captioner on the validation split, always on the same pictures."""

    def __init__(
        self,
        captioner: Captioner,
        source: Source,
        packed: Captions,
        vocabulary: Vocabulary,
        collection: Collection,
        stage: Stage,
        processes: ProcessGroup = ProcessGroup(),
    ):
        """Choose the pictures; the leader tokenises their references.

        Raises:
            ValueError: the validation split has no captions.
        """
        rows = [int(row) for row in packed.rows("val") if packed.counts[row] > 0]
        if not rows:
            raise ValueError("the validation split has no captioned pictures: nothing to choose by")
        if stage.validation_pictures >= 0:
            rows = rows[: stage.validation_pictures]
        self.captioner = captioner
        self.source = source
        self.packed = packed
        self.vocabulary = vocabulary
        self.rows = torch.tensor(rows)
        self.place = next(captioner.parameters()).device
        self.processes = processes
        self.scorer = None
        if stage.language_eval and processes.is_rank_0:
            found = {picture.file: picture.captions for picture in collection.pictures}
            references = {packed.ids[row]: found[packed.files[row]] for row in rows}
            self.scorer = Scorer(references, metrics=VALIDATION_METRICS)

    @torch.inference_mode()
    def __call__(self) -> Validation | None:
        """Evaluate the captioner as it is, in evaluation mode; no random number is drawn.

        Returns:
            For the leader; None for the other members, who do their share of the work.
        """
        self.captioner.eval()
        total = 0.0
        tokens = 0
        captions: list[str] = []
        own = self.rows[self.processes.rank :: self.processes.size]  # none, where members are many
        for rows in torch.split(own, BATCH) if len(own) else ():
            inputs = self.source.plainly(rows)
            words, owners = self._labels(rows)
            losses = self.captioner(inputs, words, owners, reduction="sum")
            value = float(losses["caption"])
            total += value
            tokens += int((words != 0).sum()) + len(words)
            # Weights that exploded say nothing; the loop stops at the next loss that it looks at.
            captions += self._captions(inputs) if math.isfinite(value) else [""] * len(rows)
        shares = self.processes.gather((total, tokens, captions))
        if not shares:
            return None
        totals, numbers, texts = zip(*shares, strict=True)
        return self._result(sum(totals) / sum(numbers), self.processes.merged(texts))

    def _result(self, loss: float, texts: list[str]) -> Validation:
        captions = dict(
            zip((self.packed.ids[row] for row in self.rows.tolist()), texts, strict=True)
        )
        predictions = [{"image_id": key, "caption": text} for key, text in captions.items()]
        scores = self.scorer.score(captions).values if self.scorer else {}
        return Validation(loss, scores, predictions, "CIDEr" if scores else "loss")

    def _labels(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """All captions of some pictures, and each caption's place in the batch."""
        spans = [range(self.packed.starts[row], self.packed.ends[row]) for row in rows.tolist()]
        owners = [place for place, span in enumerate(spans) for _ in span]
        chosen = [caption for span in spans for caption in span]
        words = torch.from_numpy(self.packed.labels[chosen])
        return words, torch.tensor(owners, device=self.place)

    def _captions(self, inputs: dict[str, Tensor]) -> list[str]:
        step, state, number = self.captioner.start(inputs)
        length = self.packed.labels.shape[1]
        found = greedy(step, state, pictures=number, max_length=length)
        return [self.vocabulary.decode(best[0].words) for best in found]
