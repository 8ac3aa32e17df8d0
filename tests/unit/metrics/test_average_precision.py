"""Average precision against its definition, written out in plain Python."""

import numpy as np
import pytest

from snakecap.metrics.detection import average_precision
from snakecap.objects.boxes import Detections

OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)


def detections(*rows):
    """Of (category, box, score)."""
    if not rows:
        return Detections.none()
    categories, boxes, scores = zip(*rows, strict=True)
    return Detections(np.float32(boxes), np.int64(categories), np.float32(scores))


def iou(seen, box, crowd):
    (x, y, w, h), (a, b, c, d) = seen, box
    shared = max(0.0, min(x + w, a + c) - max(x, a)) * max(0.0, min(y + h, b + d) - max(y, b))
    return shared / (w * h if crowd else w * h + c * d - shared)


def hits(seen, objects, overlap):
    """For each box, best first: True (hit), False (miss) or None (on a crowd: neither)."""
    taken, result = set(), []
    for box in seen:
        free = [k for k, (_, crowd) in enumerate(objects) if crowd or k not in taken]
        rated = [(iou(box, *objects[k]), k) for k in free]
        proper = [pair for pair in rated if not objects[pair[1]][1] and pair[0] >= overlap]
        if proper:
            taken.add(max(proper)[1])
            result.append(True)
        else:
            crowded = any(objects[k][1] and value >= overlap for value, k in rated)
            result.append(None if crowded else False)
    return result


def brute_force(truth, found, categories):
    table = {}
    for overlap in OVERLAPS:
        for category in range(categories):
            ranked, total = [], 0
            for key, row in truth.items():
                objects = [(box, crowd) for c, box, crowd in row if c == category]
                total += sum(not crowd for _, crowd in objects)
                see = found.get(key, Detections.none())
                mine = [k for k in range(len(see)) if see.categories[k] == category]
                mine.sort(key=lambda k: -see.scores[k])
                boxes = see.boxes.tolist()
                found_here = hits([boxes[k] for k in mine], objects, overlap)
                ranked += [(see.scores[k], hit) for k, hit in zip(mine, found_here, strict=True)]
            if not total:
                continue
            ranked = [hit for _, hit in sorted(ranked, key=lambda pair: -pair[0])]
            ranked = [hit for hit in ranked if hit is not None]
            right = np.cumsum(ranked) if ranked else np.zeros(0)
            precision = right / np.arange(1, len(ranked) + 1)
            reached = [precision[right / total >= r].max(initial=0) for r in RECALLS]
            table[overlap, category] = np.mean(reached)
    mean = lambda *which: np.mean([v for (o, _), v in table.items() if not which or o in which])  # noqa: E731
    return {"AP": mean(), "AP50": mean(OVERLAPS[0]), "AP75": mean(OVERLAPS[5])}


def random_case(seed, categories):
    """Pictures with objects, near and far detections, crowds, and pictures with nothing."""
    random = np.random.default_rng(seed)

    def box():
        return (*random.uniform(0, 60, 2), *random.uniform(10, 40, 2))

    truth, found = {}, {}
    for key in ("a", 7, "b", 3, "c"):
        row = [
            (int(random.integers(categories)), box(), bool(random.random() < 0.2))
            for _ in range(random.integers(0, 5))
        ]
        near = [(c, tuple(np.add(b, random.uniform(-4, 4, 4)))) for c, b, _ in row]
        far = [(int(random.integers(categories)), box()) for _ in range(random.integers(0, 4))]
        both = [(c, b, random.random()) for c, b in near + near[:2] + far]
        truth[key], found[key] = row, detections(*both)
    truth["sure"] = [(0, box(), False)]
    return truth, found


@pytest.mark.parametrize("seed", range(12))
def test_it_is_the_definition(seed):
    truth, found = random_case(seed, categories=3)
    expected = brute_force(truth, found, 3)
    assert average_precision(truth, found, categories=3) == pytest.approx(expected, abs=1e-9)
    assert 0 < expected["AP50"] < 1


def test_the_truth_itself_is_perfect_and_quiet(capsys):
    truth, _ = random_case(0, categories=3)
    found = {key: detections(*((c, box, 1.0) for c, box, _ in row)) for key, row in truth.items()}
    scores = average_precision(truth, found, categories=3)
    assert scores == pytest.approx({"AP": 1, "AP50": 1, "AP75": 1})
    assert capsys.readouterr() == ("", "")


def test_a_picture_without_objects_counts_what_is_found_there():
    box = (0, 0, 10, 10)
    truth = {1: [(0, box, False)], 2: []}
    right, wrong = detections((0, box, 0.5)), detections((0, box, 0.9))
    assert average_precision(truth, {1: right}, categories=1)["AP"] == pytest.approx(1)
    scores = average_precision(truth, {1: right, 2: wrong}, categories=1)
    assert scores["AP"] == pytest.approx(0.5)


def test_an_overlap_between_the_thresholds_is_a_hit_for_one_only():
    truth = {1: [(0, (0, 0, 10, 10), False)]}
    scores = average_precision(truth, {1: detections((0, (0, 0, 10, 6), 1))}, categories=1)
    # .5, .55 and .6 are reached
    assert scores == pytest.approx({"AP": 0.3, "AP50": 1, "AP75": 0})


def test_nothing_found_is_nothing():
    assert average_precision({1: [(0, (0, 0, 9, 9), False)]}, {}, categories=2)["AP"] == 0


@pytest.mark.parametrize("truth", [{}, {1: []}, {1: [(0, (0, 0, 9, 9), True)]}])
def test_without_objects_there_is_nothing_to_judge(truth):
    with pytest.raises(ValueError, match="needs objects"):
        average_precision(truth, {}, categories=1)


def test_detections_of_other_pictures_are_refused():
    truth = {1: [(0, (0, 0, 9, 9), False)]}
    with pytest.raises(ValueError, match=r"not judged: \[2\]"):
        average_precision(truth, {2: Detections.none()}, categories=1)
