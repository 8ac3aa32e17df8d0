"""What a search found, as COCO results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from snakecap.config.settings import Decoding
from snakecap.search.hypothesis import Hypothesis

if TYPE_CHECKING:
    from snakecap.inference.model import Model


def seeded(decoding: Decoding, first: int) -> Decoding:
    """The decoding of the batch that starts at picture `first`: with random numbers of its own."""
    return decoding.model_copy(update={"seed": decoding.seed + first})


def results(
    model: Model,
    ids: Sequence[int | str],
    files: Sequence[str],
    found: Iterable[list[Hypothesis]],
    attention: Sequence[list[list[float]]] | None = None,
) -> list[dict[str, Any]]:
    """COCO results of some pictures: the best caption, its log-probability, and the n-best.

    With `attention`, also how much each of its words looks at each object.
    """
    records: list[dict[str, Any]] = []
    for key, file, best in zip(ids, files, found, strict=True):
        record: dict[str, Any] = {"image_id": key, "file_name": file}
        record.update(caption=model.text(best[0]), log_prob=best[0].log_prob)
        if len(best) > 1:
            alternatives = [{"caption": model.text(h), "log_prob": h.log_prob} for h in best]
            record["n_best"] = alternatives
        if attention is not None:
            record["attention"] = attention[len(records)]
        records.append(record)
    return records
