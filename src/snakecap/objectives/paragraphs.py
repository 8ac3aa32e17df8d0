"""Cross-entropy of paragraphs whose stopping weighs more than their words.

Sources: Krause et al., CVPR 2017, eq. 1, with its weights of 5 and 1; DeepCaption's
`--weight_sentence_loss` and `--weight_word_loss`. `cross_entropy` counts each stop as a word.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from snakecap.inputs.batches import Batch, CaptionTargets
from snakecap.models.captioner import Captioner
from snakecap.models.decoders.hierarchical import HierarchicalDecoder, stops
from snakecap.objectives.cross_entropy import enforced


class Paragraphs:
    """The mean over words, and the weighted mean over sentences of whether each is the last.

    Args:
        stop_weight: of the latter, beside 1.

    Raises:
        ValueError: the decoder is not `hierarchical`.
    """

    needs_decoder = "hierarchical"

    def __init__(self, *, model: Captioner, stop_weight: Annotated[float, Field(ge=0)] = 5.0):
        if not isinstance(model.decoder, HierarchicalDecoder):
            raise ValueError("the objective paragraphs needs the decoder hierarchical")
        self.model, self.decoder, self.stop_weight = model, model.decoder, stop_weight

    def __call__(self, batch: Batch[CaptionTargets], iteration: int) -> dict[str, Tensor]:
        """Each picture is encoded once, however many paragraphs it has."""
        memory = self.model.prepare(batch.inputs).select(batch.targets.owners)
        device = memory.encoded.summary.device
        words, places, following = enforced(batch.targets.words, device)
        hidden = self.decoder.hidden(memory, words).flatten(0, 1).index_select(0, places)
        logit, ended = stops(hidden)
        last = (following == 0).float()
        stop = F.binary_cross_entropy_with_logits(logit, last, reduction="none") * ended
        # A place's loss is that of stopping or not there, and that of the word if it does not.
        each = F.cross_entropy(self.decoder.logits(hidden).float(), following, reduction="none")
        said = len(following) - (last * ended).sum()
        return {
            "words": (each - stop).sum() / said.clamp(min=1),
            "stop": self.stop_weight * stop.sum() / ended.sum().clamp(min=1),
        }
