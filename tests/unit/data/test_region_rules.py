"""Which regions are learnt: length of the phrase, and what of a box is inside the photo."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakecap.data.regions import inside, learnt
from snakecap.formats.pictures import Picture, Region

BOX = (1.0, 2.0, 3.0, 4.0)


def picture(*regions, size=(0, 0)):
    found = tuple(Region(phrase, box) for phrase, box in regions)
    return Picture(7, "7.jpg", "train", ("of the whole",), (), found, *size)


def words(number):
    return " ".join(["word"] * number)


def phrases(max_words, *said):
    found, lost = learnt(picture(*((one, BOX) for one in said)), (20, 10), str.split, max_words)
    assert found.captions == tuple(region.phrase for region in found.regions)
    return list(found.captions), lost


def test_a_phrase_of_sixteen_words_goes_whole_and_one_of_fifteen_stays():
    kept, lost = phrases(15, words(15), words(16))
    assert kept == [words(15)]
    assert lost == [f"{words(16)!r}: 16 words, more than 15"]


def test_zero_is_no_limit():
    assert phrases(0, words(16), words(300)) == ([words(16), words(300)], [])


def test_a_phrase_without_words_goes():
    assert phrases(15, "  ", "a dog") == (["a dog"], ["'  ': no words"])


def test_boxes_come_out_in_pixels_of_the_photo_whatever_they_were_recorded_in():
    recorded = picture(
        ("a", (10.0, 10.0, 20.0, 30.0)), ("b", (90.0, 0.0, 50.0, 50.0)), size=(100, 50)
    )
    found, lost = learnt(recorded, (200, 25), str.split, 15)
    assert (found.width, found.height) == (200, 25)
    assert found.regions == (
        Region("a", (20.0, 5.0, 40.0, 15.0)),
        Region("b", (180.0, 0.0, 20.0, 25.0)),
    )
    assert lost == []


@pytest.mark.parametrize(
    "box",
    [
        (math.nan, 0.0, 5.0, 5.0),
        (0.0, 0.0, math.inf, 5.0),
        (0.0, 0.0, 0.0, 5.0),
        (0.0, 0.0, 5.0, -5.0),
        (20.0, 0.0, 5.0, 5.0),
        (-9.0, 0.0, 9.5, 5.0),
        (3.0, 9.5, 5.0, 5.0),
    ],
)
def test_a_box_without_a_pixel_inside_is_named_and_left_out(box):
    found, lost = learnt(picture(("a dog", box), ("a cat", BOX)), (20, 10), str.split, 15)
    assert found.captions == ("a cat",)
    assert lost == [f"'a dog': the box {list(box)} has no pixel inside the photo, 20 x 10"]


edges = st.integers(-40, 40).map(float)


@given(st.tuples(edges, edges, edges, edges))
def test_of_whole_pixels_those_stay_that_are_in_box_and_photo(box):
    """Against counting the pixels one by one."""
    x, y, width, height = box
    there = [
        (column, row)
        for column in range(20)
        for row in range(10)
        if x <= column < x + width and y <= row < y + height
    ]
    found = inside(box, (1.0, 1.0), (20, 10))
    if not there:
        assert found is None
        return
    assert found is not None
    left, top, right, bottom = found[0], found[1], found[0] + found[2], found[1] + found[3]
    columns, rows = zip(*there, strict=True)
    assert (left, right) == (min(columns), max(columns) + 1)
    assert (top, bottom) == (min(rows), max(rows) + 1)
