"""Dense predictions: the regions that a model found in pictures, and what it says of each.

Ours is ``{"frame": "original", "boxes": ..., "order": ..., "results": [...]}`` and a stamp; a
result, one a picture, is ``{"image_id", "file_name"?, "width"?, "height"?, "boxes", "scores",
"captions", "logits"?, "log_probs"?}``:

- ``frame``: ``"original"``, or the pixels of the longer side that pictures were resized to;
- ``boxes``: [x, y, width, height] in pixels of that frame, whose first pixel begins at 0, 0;
- ``scores``: how sure the model is that there is a region, 0..1, which is the ``order``, the
  highest first; ``logits``: of the same, any number; ``log_probs``: of the captions;
- ``width``, ``height``: of the original picture.

Others' forms are read too:

- a list of such results, in original pixels;
- COCO's results with captions, a region each: ``[{"image_id", "bbox", "score", "caption"}]``;
- GRiT's vg_instances_results.json: the same with ``object_descriptions`` (and ``logit``), in pixels
  of pictures whose longer side is 720;
- DenseCap's results.json: ``{"results": [{"img_name", "boxes", "scores", "captions"}], "opt"}``, in
  pixels of the resized picture (``opt.image_size``, or 720), whose first is 1, 1; the scores are
  logits, the id is the name without its ending.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PlainValidator, StrictInt, StrictStr, TypeAdapter
from typing_extensions import TypedDict

from snakecap.formats.atomic import Id, checked, json_text, read_json, writing

LARGEST = 1e9  # of a number in a file: what is beyond is as wrong as what is not finite
RESIZED = 720  # DenseCap's and GRiT's longer side
BOXES = "[x, y, width, height] in pixels of the frame, whose first pixel begins at 0, 0"
FORMS = 'dense predictions: [{"image_id", "boxes", "scores", "captions"}], or see docs/formats.md'


def _array(value: Any) -> NDArray[np.float64]:
    found = value if isinstance(value, np.ndarray) else np.array(value)
    if found.dtype.kind not in "iuf" and found.size:
        raise ValueError("these are not all numbers")
    found = found.astype(np.float64)
    wrong = np.flatnonzero(~(np.abs(found) < LARGEST))  # NaN too
    if wrong.size:
        raise ValueError(f"number {wrong[0] + 1} of these is {found.flat[wrong[0]]}")
    return found


def _vector(value: Any) -> NDArray[np.float64]:
    if (found := _array(value)).ndim != 1:
        raise ValueError("a list of numbers is wanted")
    return found


def _boxes(value: Any) -> NDArray[np.float64]:
    if (found := _array(value)).size and (found.ndim != 2 or found.shape[1] != 4):
        raise ValueError("a list of [x, y, width, height] is wanted")
    return found.reshape(-1, 4)


Frame = Literal["original"] | Annotated[StrictInt, Field(gt=0)]
Pixels = Annotated[StrictInt, Field(ge=0)]
Vector = Annotated[NDArray[np.float64], PlainValidator(_vector)]
Boxes = Annotated[NDArray[np.float64], PlainValidator(_boxes)]


@dataclass(frozen=True, slots=True)
class Described:
    """The N regions of one picture.

    Attributes:
        boxes: (N, 4), x, y, width, height.
        scores: (N,), 0..1; of others' files any numbers.
        captions: N.
        logits: (N,), of the scores.
        log_probs: (N,), of the captions, in nats.
        width, height: of the original picture in pixels; 0: not known.
    """

    image_id: Id
    boxes: Boxes
    scores: Vector
    captions: tuple[StrictStr, ...]
    logits: Vector | None = None
    log_probs: Vector | None = None
    file_name: str | None = None
    width: Pixels = 0
    height: Pixels = 0

    def __post_init__(self) -> None:
        for name in ("scores", "captions", "logits", "log_probs"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.boxes):
                raise ValueError(f"{len(self.boxes)} boxes have {len(values)} {name}")


class Predictions(NamedTuple):
    """What a file holds.

    Attributes:
        frame: that the boxes are in.
        origin: where its first pixel begins, 0 or 1.
    """

    frame: Frame
    origin: int
    results: tuple[Described, ...]


class _Region(TypedDict):
    image_id: Id
    bbox: list[float]
    score: float
    caption: NotRequired[StrictStr]
    object_descriptions: NotRequired[StrictStr]


_results = TypeAdapter(tuple[Described, ...])
_regions = TypeAdapter(list[_Region])
_frame = TypeAdapter[Frame](Frame)


def write(
    path: Path,
    results: Iterable[Described],
    *,
    frame: Frame = "original",
    order: Literal["falling score", "as given"] = "falling score",
    **stamp: Any,
) -> None:
    """Write predictions, a line a picture, atomically; they may come from a generator.

    Args:
        order: of each picture's regions.
    """
    head = json_text({"frame": frame, "boxes": BOXES, "order": order, **stamp})
    with writing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        lead = head.removesuffix("}") + ', "results": [\n'
        for one in results:
            file.write(lead + json_text(_record(one)))
            lead = ",\n"
        file.write(lead.removesuffix(",\n") + "\n]}\n")


def _record(one: Described) -> dict[str, Any]:
    values = {each.name: getattr(one, each.name) for each in fields(one)}
    return {
        name: _short(value) if isinstance(value, np.ndarray) else value
        for name, value in values.items()
        if value is not None
    }


def _short(values: NDArray[np.float64]) -> Any:
    """Nested lists of the shortest decimals that give the same float32."""
    return values.astype(np.float32).astype(str).astype(np.float64).tolist()


def read(path: Path, frame: Frame | None = None) -> Predictions:
    """Read predictions, ours or others', in the file's order.

    Args:
        frame: that the boxes are in, over what the file or its form says.

    Raises:
        ValueError: no such form, a number that is not finite, not as many scores or captions as
            boxes, or two results of one image; names the file and the entry.
    """
    rows, said, origin = _rows(read_json(path), path)
    found = checked(rows, _results, f"{path} is not {FORMS}")
    counts = Counter(str(one.image_id) for one in found)
    if twice := [key for key, count in counts.items() if count > 1]:
        raise ValueError(f"{path} has more than one result of image {twice[0]}")
    if origin:  # DenseCap's
        found = tuple(replace(one, logits=one.scores, scores=_sigmoid(one.scores)) for one in found)
    return Predictions(frame or said, origin, found)


def _rows(content: Any, path: Path) -> tuple[list[Any], Frame, int]:
    """Results with the names of ours, their frame and its origin."""
    if isinstance(content, list):
        if content and isinstance(content[0], dict) and "bbox" in content[0]:
            return _gathered(content, path)
        return content, "original", 0
    if not isinstance(content, dict) or not isinstance(content.get("results"), list):
        raise ValueError(f"{path} is not {FORMS}")
    rows = content["results"]
    if "frame" in content:
        return rows, checked(content["frame"], _frame, f"{path}: `frame` is wrong"), 0
    if not all(isinstance(row, dict) and isinstance(row.get("img_name"), str) for row in rows):
        raise ValueError(f"{path} has neither a `frame` nor an `img_name` in each result")
    named = [
        {**row, "image_id": image_id(row["img_name"]), "file_name": row["img_name"]} for row in rows
    ]
    size = (content.get("opt") or {}).get("image_size", RESIZED)
    return named, checked(size, _frame, f"{path}: `opt.image_size` is wrong"), 1


def image_id(name: str) -> int | str:
    """The id that an image's file is named for, as Visual Genome's ``123.jpg`` is for 123."""
    stem = Path(name).stem
    return int(stem) if stem.isdecimal() else stem


def _gathered(rows: list[Any], path: Path) -> tuple[list[Any], Frame, int]:
    """COCO's results or GRiT's, a result for each image, where it comes first."""
    pictures: dict[str, dict[str, Any]] = {}
    regions = checked(rows, _regions, f"{path} is not {FORMS}")
    for number, row in enumerate(regions, start=1):
        caption = row.get("caption", row.get("object_descriptions"))
        if caption is None:
            raise ValueError(f"{path}: entry {number} has no `caption`")
        empty: dict[str, Any] = {"boxes": [], "scores": [], "captions": []}
        one = pictures.setdefault(str(row["image_id"]), {"image_id": row["image_id"], **empty})
        for name, value in zip(empty, (row["bbox"], row["score"], caption), strict=True):
            one[name].append(value)
    grit = "object_descriptions" in rows[0]
    return list(pictures.values()), RESIZED if grit else "original", 0


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-np.logaddexp(0.0, -logits)))


def in_original(
    predictions: Predictions, sizes: Mapping[str, tuple[int, int]]
) -> tuple[Described, ...]:
    """The results with their boxes in original pixels.

    Where a frame's first pixel begins at 1, the original's does too, as in DenseCap's
    preprocess.py: boxes come back to where Visual Genome's were.

    Args:
        sizes: width and height of original pictures by id, where a result does not say.

    Raises:
        ValueError: the size of a picture whose boxes have to be scaled is not known.
    """
    if predictions.frame == "original":
        return predictions.results
    frame, origin = predictions.frame, predictions.origin
    return tuple(_scaled(one, frame, origin, sizes) for one in predictions.results)


def _scaled(
    one: Described, frame: int, origin: int, sizes: Mapping[str, tuple[int, int]]
) -> Described:
    longer = max(one.width, one.height) or max(sizes.get(str(one.image_id), (0, 0)))
    if not longer:
        raise ValueError(
            f"the boxes of image {one.image_id} are in pixels of pictures whose longer side is "
            f"{frame}, and nothing says how large it is: give `--sizes image_data.json`"
        )
    boxes = one.boxes * (longer / frame)
    boxes[:, :2] += origin * (1 - longer / frame)
    return replace(one, boxes=boxes)
