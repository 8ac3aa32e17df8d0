"""Dense captions' mAP: cases derived by hand, and its definition written out in plain Python."""

from fractions import Fraction

import numpy as np
import pytest

from snakecap.formats.dense import Described
from snakecap.formats.pictures import Region
from snakecap.metrics.dense import METEORS, OVERLAPS, evaluate, evaluate_given, merge

BOX, FAR = (0.0, 0.0, 10.0, 10.0), (50.0, 50.0, 10.0, 10.0)


def same(pairs):
    """METEOR's place: 1 for a caption that is a reference, else 0."""
    return np.array([float(caption in references) for caption, references in pairs])


def said_number(pairs):
    """METEOR's place: captions are numbers."""
    return np.array([float(caption) for caption, _ in pairs])


def regions(*rows):
    return [Region(phrase, tuple(map(float, box))) for box, phrase in rows]


def predictions(*rows, **more):
    """Of (box, score, caption)."""
    boxes, scores, captions = zip(*rows, strict=True) if rows else ((), (), ())
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    return Described(1, boxes, np.array(scores, np.float64), tuple(captions), **more)


def of_one(found, truth, meteor=same):
    return evaluate({"1": predictions(*found)}, {"1": regions(*truth)}, meteor)


def cells(scores):
    """The 30 values, (overlaps, METEORs), and the 5."""
    return (
        np.array([[*row.values()] for row in scores.AP.values()]),
        np.array([*scores.detAP.values()]),
    )


# By hand


def test_what_is_all_right_scores_one():
    scores = of_one([(BOX, 0.9, "a cat"), (FAR, 0.2, "a dog")], [(FAR, "a dog"), (BOX, "a cat")])
    assert (scores.mAP, scores.detmAP, scores.exact, scores.found) == (1, 1, 1, 1)
    assert (scores.images, scores.regions, scores.merged, scores.predictions) == (1, 2, 2, 2)


def test_right_boxes_with_wrong_words_are_located_alone():
    scores = of_one([(BOX, 0.9, "a dog"), (FAR, 0.2, "a cat")], [(FAR, "a dog"), (BOX, "a cat")])
    assert (scores.mAP, scores.detmAP, scores.exact, scores.found) == (0, 1, 0, 1)


@pytest.mark.parametrize("place", range(5))
def test_an_overlap_on_a_threshold_is_enough(place):
    """IoU of (0, 0, 10 t, 10) with the region is 100 t / 100."""
    found = [((0, 0, 10 * OVERLAPS[place], 10), 1, "a")]
    assert cells(of_one(found, [(BOX, "a")]))[1].tolist() == [1.0] * (place + 1) + [0.0] * (
        4 - place
    )


@pytest.mark.parametrize("place", range(6))
def test_a_meteor_on_a_threshold_is_not(place):
    """So a METEOR of 0 never is a hit."""
    grid, _ = cells(of_one([(BOX, 1, str(METEORS[place]))], [(BOX, "a")], said_number))
    assert (grid == (np.arange(6) < place)).all()


def test_one_prediction_fills_a_corner_of_the_table():
    """IoU .5 and METEOR .12: 3 overlaps and 3 bounds, 9 of 30 cells."""
    scores = of_one([((0, 0, 5, 10), 1, ".12")], [(BOX, "a")], said_number)
    grid, located = cells(scores)
    assert grid.tolist() == [[1, 1, 1, 0, 0, 0]] * 3 + [[0] * 6] * 2
    assert located.tolist() == [1, 1, 1, 0, 0]
    assert scores.mAP == pytest.approx(9 / 30)
    assert scores.detmAP == pytest.approx(3 / 5)


def test_a_bad_prediction_takes_a_region():
    """The surer one has IoU 1/19 and says nonsense; the perfect one comes too late."""
    scores = of_one([((9, 0, 10, 10), 0.9, "x"), (BOX, 0.8, "a")], [(BOX, "a")])
    assert (scores.mAP, scores.detmAP, scores.found) == (0, 0, 0)


def test_what_overlaps_nothing_takes_nothing():
    """In the original it took the image's last region."""
    scores = of_one([((80, 0, 9, 9), 0.9, "x"), (FAR, 0.8, "a")], [(FAR, "a")])
    assert scores.mAP == pytest.approx(1 / 2)  # a miss above the hit


def test_there_is_no_next_best_region():
    """The second lies on the first region most (.82), which is taken, though .54 on the other."""
    found = [((0, 0, 10, 10), 0.9, "a"), ((1, 0, 10, 10), 0.8, "b")]
    scores = of_one(found, [((0, 0, 10, 10), "a"), ((4, 0, 10, 10), "b")])
    # One of two regions: 51 levels (0 to .50) at precision 1.
    assert scores.detmAP == pytest.approx(0.51)


def test_of_two_regions_as_near_the_first_is_taken():
    """IoU 1/3 with both."""
    _, located = cells(of_one([((5, 0, 10, 10), 1, "a")], [(BOX, "a"), ((10, 0, 10, 10), "b")]))
    grid, _ = cells(of_one([((5, 0, 10, 10), 1, "b")], [(BOX, "a"), ((10, 0, 10, 10), "b")]))
    assert located[0] == pytest.approx(0.51)
    assert not grid.any()


def test_a_region_is_had_once():
    """Hit, miss: recall 1/2 of two regions at precision 1; with both it would be 1."""
    scores = of_one([(BOX, 0.9, "a"), (BOX, 0.8, "a")], [(BOX, "a"), (FAR, "b")])
    assert scores.mAP == pytest.approx(0.51)


def test_images_are_ranked_together():
    """Hit, hit, miss: 1. By image, or unsorted, the second hit would come at 2/3."""
    truth = {"1": regions((BOX, "a")), "2": regions((BOX, "b"))}
    found = {
        "1": predictions((BOX, 0.9, "a"), (FAR, 0.3, "a")),
        "2": predictions((BOX, 0.5, "b")),
    }
    assert evaluate(found, truth, same).mAP == 1
    found["1"] = predictions((BOX, 0.9, "a"), (FAR, 0.7, "a"))
    # Hit, miss, hit of two: 51 levels at 1, 49 at 2/3.
    assert evaluate(found, truth, same).mAP == pytest.approx(0.51 + 0.49 * 2 / 3)


def test_images_without_predictions_are_missed_and_those_without_regions_are_only_misses():
    truth = {"1": regions((BOX, "a")), "2": regions((BOX, "b")), "3": []}
    found = {"1": predictions((BOX, 0.5, "a"))}
    scores = evaluate(found, truth, same)
    assert scores.mAP == pytest.approx(0.51)
    assert (scores.without_predictions, scores.images) == (2, 3)
    found |= {"3": predictions((BOX, 0.9, "a")), "2": predictions()}
    scores = evaluate(found, truth, same)
    assert scores.mAP == pytest.approx(0.51 / 2)
    assert scores.without_predictions == 0


def test_nothing_predicted_scores_nothing():
    scores = evaluate({}, {"1": regions((BOX, "a"))}, same)
    assert (scores.mAP, scores.detmAP, scores.exact, scores.found) == (0, 0, 0, 0)


def test_recall_exactly_on_a_level_counts():
    """29 of 100 regions: 30 levels, 0 to .29. A sum of 29 times .01 is more than .29."""
    far = [(20 * k, 0, 10, 10) for k in range(100)]
    scores = of_one([(box, 1, "a") for box in far[:29]], [(box, "a") for box in far])
    assert scores.mAP == pytest.approx(0.30, abs=1e-12)


def test_precision_is_the_best_at_a_recall_or_above():
    """Miss, hit, hit of two: 2/3 everywhere, though it is 1/2 at the first hit."""
    found = [((90, 0, 5, 5), 0.9, "a"), (BOX, 0.8, "a"), (FAR, 0.7, "b")]
    assert of_one(found, [(BOX, "a"), (FAR, "b")]).mAP == pytest.approx(2 / 3)


# Merging


def test_regions_of_an_overlap_of_seven_tenths_are_one():
    merged = merge(regions((BOX, "a"), ((0, 0, 7, 10), "b"), ((0, 0, 6.9, 10), "c")))
    # (0, 0, 7, 10) is .7 of the first and .986 of the third, which is .69 of the first.
    assert merged.boxes.tolist() == [[0, 0, pytest.approx(23.9 / 3), 10]]
    assert merged.phrases == [("a", "b", "c")]
    merged = merge(regions((BOX, "a"), ((0, 0, 6.9, 10), "c")))
    assert merged.phrases == [("a",), ("c",)]


def test_merging_goes_by_neighbours_of_one_not_from_neighbour_to_neighbour():
    """A row of seven, each a neighbour of the next alone.

    The second takes the first and third. Of what is left the fifth has most neighbours, not the
    fourth, which has lost one.
    """
    boxes = [(1.5 * k, 0, 10, 10) for k in range(7)]  # 8.5 / 11.5 = .739; two steps: 7 / 13
    merged = merge(regions(*zip(boxes, "abcdefg", strict=True)))
    assert merged.phrases == [("a", "b", "c"), ("d", "e", "f"), ("g",)]
    assert merged.boxes.tolist() == [[1.5, 0, 10, 10], [6, 0, 10, 10], [9, 0, 10, 10]]


def test_any_phrase_of_a_merged_region_will_do():
    """And what has to be found is one: with two, one hit would be half of them."""
    truth = [(BOX, "a"), ((1, 0, 10, 10), "b")]
    assert of_one([(BOX, 1, "b")], truth).mAP == 1
    assert of_one([(BOX, 1, "b")], truth).merged == 1


def test_the_box_of_a_merged_region_is_the_mean():
    """(0, 0, 10, 10) and (0, 0, 8, 10) make (0, 0, 9, 10): its IoU with (0, 0, 6.3, 10) is .7."""
    _, located = cells(of_one([((0, 0, 6.3, 10), 1, "a")], [(BOX, "a"), ((0, 0, 8, 10), "b")]))
    assert located.tolist() == [1] * 5


def test_empty_boxes_are_regions_of_their_own_that_nothing_finds():
    scores = of_one([((0, 0, 0, 0), 1, "a"), (BOX, 0.5, "a")], [((0, 0, 0, 5), "a"), (BOX, "a")])
    assert scores.merged == 2
    assert scores.detmAP == pytest.approx(0.51 / 2)


# Words


def test_exact_captions_are_of_the_regions_found():
    """Case and punctuation aside; the third is too far off to say anything about."""
    found = [(BOX, 0.9, "A red cat."), (FAR, 0.8, "dog"), ((0, 90, 10, 4.9), 0.7, "x")]
    truth = [(BOX, "a red cat"), (FAR, "a dog"), ((0, 90, 10, 10), "x")]
    scores = of_one(found, truth)
    assert scores.exact == 1 / 2
    assert scores.found == 2 / 3


def test_meteor_is_asked_once_for_a_pair_and_never_in_vain():
    asked = []

    def meteor(pairs):
        asked.extend(pairs)
        return same(pairs)

    far = [(BOX, 0.9, "a"), (FAR, 0.8, "a"), (FAR, 0.7, "b"), ((0, 90, 9, 9), 0.6, "c")]
    of_one(far, [(BOX, "a"), (FAR, "a")], meteor)
    assert asked == [("a", ("a",))]  # not for the second there, nor for what is nowhere


# What ranks


def test_the_ranking_is_as_declared():
    """By scores the miss comes first, by logits last."""
    found = predictions((FAR, 0.9, "a"), (BOX, 0.1, "a"), logits=np.array([-1.0, 3.0]))
    truth = {"1": regions((BOX, "a"))}
    assert evaluate({"1": found}, truth, same).mAP == pytest.approx(1 / 2)
    by_logits = evaluate({"1": found}, truth, same, ranking="logits")
    assert (by_logits.mAP, by_logits.ranking) == (1, "logits")
    with pytest.raises(ValueError, match="image 1 has no log_probs to rank by"):
        evaluate({"1": found}, truth, same, ranking="log_probs")


def test_predictions_of_other_images_and_no_regions_are_refused():
    with pytest.raises(ValueError, match=r"not judged: \['2'\]"):
        evaluate({"2": predictions()}, {"1": regions((BOX, "a"))}, same)
    with pytest.raises(ValueError, match="no image has a region"):
        evaluate({}, {"1": []}, same)


# Given boxes


def test_captions_of_given_boxes_are_judged_one_by_one():
    """Two of three are right; the wrong one is the least probable."""
    truth = {"1": regions((BOX, "a"), (FAR, "b")), "2": regions((BOX, "c"))}
    found = {
        "1": predictions((BOX, 1, "a"), (FAR, 1, "x"), log_probs=np.array([-1.0, -9.0])),
        "2": predictions((BOX, 1, "c"), log_probs=np.array([-2.0])),
    }
    scores = evaluate_given(found, truth, same)
    assert (scores.METEOR, scores.exact, scores.found) == (2 / 3, 2 / 3, 1)
    assert scores.ranking == "log_probs"
    assert scores.detmAP == 1
    assert scores.mAP == pytest.approx(0.67)  # 2 of 3: levels 0 to .66


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"1": predictions((BOX, 1, "a"), log_probs=np.zeros(1))},
        {"1": predictions((FAR, 1, "b"), (BOX, 1, "a"), log_probs=np.zeros(2))},
    ],
)
def test_given_boxes_are_the_regions_own(found):
    with pytest.raises(ValueError, match="boxes of image 1 are not those of its 2 regions"):
        evaluate_given(found, {"1": regions((BOX, "a"), (FAR, "b"))}, same)


# The definition, in exact numbers


def overlap(box, other):
    (x, y, w, h), (a, b, c, d) = box, other
    wide, high = min(x + w, a + c) - max(x, a), min(y + h, b + d) - max(y, b)
    shared = max(wide, 0) * max(high, 0)
    return Fraction(shared) / (w * h + c * d - shared) if shared else Fraction(0)


def written_out(found, truth, meteor):
    """mAP's 30 and detmAP's 5 values, by loops over everything."""
    records, wanted = [], 0
    for key, row in truth.items():
        left = [([Fraction(int(value)) for value in box], phrase) for box, phrase in row]
        merged = []
        while left:
            near = [[overlap(a, b) >= Fraction(7, 10) for b, _ in left] for a, _ in left]
            hub = max(range(len(left)), key=lambda k: (sum(near[k]), -k))
            group = [k for k in range(len(left)) if near[hub][k]]
            mean = [sum(left[k][0][n] for k in group) / len(group) for n in range(4)]
            merged.append((mean, [left[k][1] for k in group]))
            left = [one for k, one in enumerate(left) if k not in group]
        wanted += len(merged)
        taken = set()
        for box, score, caption in sorted(found.get(key, []), key=lambda one: -one[1]):
            rated = [overlap([Fraction(int(v)) for v in box], other) for other, _ in merged]
            best = max(rated, default=0)
            at = rated.index(best) if best > 0 else None
            has = at is not None and at not in taken
            taken |= {at} if has else set()
            value = meteor([(caption, tuple(merged[at][1]))])[0] if has else 0
            records.append((score, best if has else Fraction(0), has, value))
    records.sort(key=lambda one: -one[0])

    def precision(hit):
        curve, right = [], 0
        for number, record in enumerate(records, start=1):
            right += hit(record)
            curve.append((right, Fraction(right, number)))
        best = [
            max((p for r, p in curve if 100 * r >= level * wanted), default=0)
            for level in range(100)
        ]
        return float(sum(best, Fraction(0)) / 100)

    tenths = [Fraction(k, 10) for k in range(3, 8)]
    grid = [
        [precision(lambda r, t=t, m=m: r[2] and r[1] >= t and r[3] > m) for m in METEORS]
        for t in tenths
    ]
    return grid, [precision(lambda r, t=t: r[2] and r[1] >= t) for t in tenths]


def at_random(random, most):
    """Boxes on a small grid, so that many overlap, and often exactly by a threshold."""
    corners, sides = random.integers(0, 8, (most, 2)), random.integers(1, 11, (most, 2))
    return (
        np.concatenate([corners, sides], 1).astype(float).tolist()[: random.integers(0, most + 1)]
    )


@pytest.mark.parametrize("seed", range(30))
def test_it_is_its_definition(seed):
    random = np.random.default_rng(seed)
    words = ["0", ".03", ".05", ".1", ".12", ".2", ".22", ".3"]
    truth = {
        str(key): [(box, random.choice(words)) for box in at_random(random, 8)] for key in range(4)
    }
    truth["sure"] = [(BOX, "0"), ((2, 0, 8, 10), ".3")]
    found = {
        key: [
            (box, float(score), random.choice(words))
            for box, score in zip(boxes, random.integers(0, 12, len(boxes)) / 12, strict=True)
        ]
        for key in [*truth][:-1]
        for boxes in [at_random(random, 12)]
    }

    def meteor(pairs):
        """Of the caption and all the references."""
        return np.array([max(float(one), *map(float, more)) / 2 for one, more in pairs])

    scores = evaluate(
        {key: predictions(*row) for key, row in found.items()},
        {key: regions(*row) for key, row in truth.items()},
        meteor,
    )
    grid, located = cells(scores)
    expected, expected_located = written_out(found, truth, meteor)
    np.testing.assert_allclose(grid, expected, atol=1e-12)
    np.testing.assert_allclose(located, expected_located, atol=1e-12)
    assert scores.mAP == pytest.approx(np.mean(expected))
    # Of any predictions.
    assert (np.diff(grid, axis=0) <= 1e-12).all()
    assert (np.diff(grid, axis=1) <= 1e-12).all()
    assert (np.diff(located) <= 1e-12).all()
    assert (grid <= located[:, None] + 1e-12).all()


def test_only_order_and_shape_matter():
    """Another order of the file, another monotone score, another scale of both frames: the same."""
    random = np.random.default_rng(3)
    boxes = {str(key): at_random(random, 9) for key in range(5)}
    truth = {key: regions(*((box, "a") for box in row)) for key, row in boxes.items()}
    found = {
        key: predictions(*((np.add(box, 0.5), random.uniform(), "a") for box in row))
        for key, row in boxes.items()
    }
    moved = {
        key: Described(key, 2.5 * one.boxes + [30, 50, 0, 0], 7 * one.scores - 3, one.captions)
        for key, one in reversed(found.items())
    }
    larger = {
        key: regions(*(((30 + 2.5 * x, 50 + 2.5 * y, 2.5 * w, 2.5 * h), "a") for x, y, w, h in row))
        for key, row in boxes.items()
    }
    first, second = evaluate(found, truth, same), evaluate(moved, larger, same)
    assert 0 < first.mAP < 1
    np.testing.assert_allclose(cells(first)[0], cells(second)[0], atol=1e-12)
