"""The generated data set: the same for everybody, and its captions and boxes are true."""

import os
import re
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image
from pycocoevalcap.cider.cider import Cider

from snakecap.config import options as part_options
from snakecap.data import phrases, shapes
from snakecap.data import scene as drawing
from snakecap.data.scene import COLOURS, KINDS, Scene, scene
from snakecap.data.shapes import Looks, generate

SCENES = [scene(Random(f"test/{k}")) for k in range(300)]
NUMBERS = {"a": 1, "an": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
PHRASE = re.compile(
    rf"\b({'|'.join(NUMBERS)}) (?:small |large )?({'|'.join(COLOURS)}) ({'|'.join(KINDS)})s?\b"
)


def named(text: str) -> Counter[tuple[str, str]]:
    """The shapes that a text speaks of, by colour and kind."""
    return Counter({(c, k): NUMBERS[n] for n, c, k in PHRASE.findall(text)})


def contents(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_scene_holds_two_to_six_shapes_that_do_not_touch() -> None:
    counts = Counter(len(seen.shapes) for seen in SCENES)
    assert set(counts) == {2, 3, 4, 5, 6}
    for seen in SCENES:
        for i, one in enumerate(seen.shapes):
            left, top, width, height = one.box
            assert left >= 0 and top >= 0 and left + width <= 1 and top + height <= 1
            for other in seen.shapes[:i]:
                distance = np.hypot(one.x - other.x, one.y - other.y)
                assert distance > one.radius + other.radius


def test_everything_that_can_be_drawn_is_drawn() -> None:
    groups = [group for seen in SCENES for group in seen.groups]
    assert {g.kind for g in groups} == set(KINDS)
    assert {g.colour for g in groups} == set(COLOURS)
    assert {g.size for g in groups} == {"small", "large"}
    assert {seen.background for seen in SCENES} == {"plain", "shaded", "striped", "noisy"}
    assert {len(seen.groups) for seen in SCENES} == {1, 2, 3}


def test_large_shapes_are_larger_than_small_ones_in_every_scene() -> None:
    for seen in SCENES:
        radii = {
            name: [s.radius for s in seen.shapes if s.size == name] for name in ("small", "large")
        }
        if radii["small"] and radii["large"]:
            assert min(radii["large"]) > 1.3 * max(radii["small"])


def test_every_caption_counts_right() -> None:
    for k, seen in enumerate(SCENES):
        there = Counter((s.colour, s.kind) for s in seen.shapes)
        said = phrases.captions(seen, Random(k))
        assert len(set(said)) == 5
        for caption in said:
            assert named(caption) == there, caption


def test_captions_say_the_total_the_background_and_the_size_as_they_are() -> None:
    checked: Counter[str] = Counter()
    for k, seen in enumerate(SCENES):
        for caption in phrases.captions(seen, Random(k)):
            if total := re.match(r"(\w+) shapes,", caption):
                assert NUMBERS[total[1]] == len(seen.shapes)
                checked["total"] += 1
            if background := re.search(r"on a (\w+) background", caption):
                assert background[1] == seen.background
                checked["background"] += 1
            for size, colour, kind in re.findall(r"(small|large) (\w+) (\w+?)s?\b", caption):
                assert {s.size for s in seen.shapes if (s.colour, s.kind) == (colour, kind)} == {
                    size
                }
                checked["size"] += 1
    assert min(checked.values()) > 100


def test_relations_hold_between_all_the_shapes_named() -> None:
    axes = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}
    checked: Counter[str] = Counter()
    for k, seen in enumerate(SCENES):
        for caption in phrases.captions(seen, Random(k)):
            match = re.search("left of|right of|above|below", caption)
            if match is None:
                continue
            axis, sign = axes[match[0]]
            first, second = (positions(seen, part, axis) for part in caption.split(match[0]))
            assert min(sign * a for a in first) > max(sign * b for b in second), caption
            checked[match[0]] += 1
    assert set(checked) == set(axes)


def positions(seen: Scene, text: str, axis: int) -> list[float]:
    return [(s.x, s.y)[axis] for s in seen.shapes if (s.colour, s.kind) in named(text)]


def test_a_paragraph_has_a_sentence_on_the_whole_and_one_on_each_group() -> None:
    for k, seen in enumerate(SCENES):
        said = phrases.paragraphs(seen, Random(k))
        assert len(set(said)) == 5
        for paragraph in said:
            first, *others, rest = paragraph.split(".")
            assert rest == "" and 2 <= len(others) + 1 == len(seen.groups) + 1 <= 4
            assert not named(first)
            groups = [named(sentence) for sentence in others]
            assert all(len(one) == 1 for one in groups)
            assert sum(groups, Counter()) == Counter((s.colour, s.kind) for s in seen.shapes)


def test_paragraphs_say_the_places_of_groups_as_they_are() -> None:
    axes = {"on the left": (0, 1), "on the right": (0, -1), "at the top": (1, 1)}
    axes["at the bottom"] = (1, -1)
    checked: Counter[str] = Counter()
    for k, seen in enumerate(SCENES):
        for sentence in " ".join(phrases.paragraphs(seen, Random(k))).split("."):
            if match := re.search("|".join(axes), sentence):
                axis, sign = axes[match[0]]
                own = positions(seen, sentence, axis)
                others = [p for p in ((s.x, s.y)[axis] for s in seen.shapes) if p not in own]
                assert max(sign * a for a in own) < min(sign * b for b in others), sentence
                checked[match[0]] += 1
    assert set(checked) == set(axes)


def test_paragraphs_are_an_option_that_draws_the_same_pictures(tmp_path: Path) -> None:
    few = {"train": 2, "val": 1, "test": 1, "size": 32}
    captions, paragraphs = (shapes.read(tmp_path, **few, paragraphs=on) for on in (False, True))
    assert captions.root == paragraphs.root
    for one, other in zip(captions.pictures, paragraphs.pictures, strict=True):
        assert one.objects == other.objects and not set(one.captions) & set(other.captions)


def test_the_words_are_few() -> None:
    said = " ".join(c for k, seen in enumerate(SCENES) for c in phrases.captions(seen, Random(k)))
    assert 30 <= len(set(re.findall(r"\w+", said))) <= 60


def test_english() -> None:
    assert phrases.article("a orange star") == "an orange star"
    assert phrases.article("a red star") == "a red star"
    assert phrases.joined(["a"]) == "a"
    assert phrases.joined(["a", "b"]) == "a and b"
    assert phrases.joined(["a", "b", "c"]) == "a, b and c"
    assert phrases.number(2) == "two" and phrases.number(12) == "12"


def test_a_caption_needs_its_picture() -> None:
    """One caption against the four others: far better than another picture's or a constant."""
    said = [phrases.captions(seen, Random(k)) for k, seen in enumerate(SCENES)]
    said = [[re.sub(r"[.,]", "", caption) for caption in five] for five in said]
    references = {k: five[:4] for k, five in enumerate(said)}

    def cider(candidates: list[str]) -> float:
        found = {k: [caption] for k, caption in enumerate(candidates)}
        return float(Cider().compute_score(references, found)[0])

    own = [five[4] for five in said]
    others = own[1:] + own[:1]
    common = Counter(caption for five in said for caption in five).most_common(1)[0][0]
    assert cider(own) > 3 * cider(others)
    assert cider(own) > 3 * cider([common] * len(own))


@pytest.mark.parametrize("size", [32, 96])
def test_boxes_fit_the_pixels(size: int) -> None:
    """Drawn alone on black, a shape fills its box to the pixel."""
    for seen in SCENES[:40]:
        for shape in seen.shapes:
            left, top, mask = drawing._mask(shape, size)
            canvas = Image.new("L", (size, size))
            canvas.paste(255, (left, top), mask)
            rows, columns = np.nonzero(np.asarray(canvas))
            found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            x, y, width, height = (edge * size for edge in shape.box)
            assert np.allclose(found, (x, y, x + width, y + height), atol=1.3)


def test_the_shape_has_its_colour_and_the_background_has_none() -> None:
    for k, seen in enumerate(SCENES[:40]):
        pixels = np.asarray(drawing.draw(seen, 96, Random(k)), int)
        for shape in seen.shapes:
            pixel = pixels[int(shape.y * 96), int(shape.x * 96)]
            nearest = min(COLOURS, key=lambda name: np.abs(pixel - COLOURS[name]).sum())
            assert nearest == shape.colour
        empty = np.ones((96, 96), bool)
        for shape in seen.shapes:
            left, top, width, height = (int(edge * 96) for edge in shape.box)
            empty[max(0, top - 1) : top + height + 3, max(0, left - 1) : left + width + 3] = False
        background = pixels[empty]
        assert (background.max(1) - background.min(1)).max() < 30


def test_regions_are_boxes_with_true_phrases(tmp_path: Path) -> None:
    for picture in generate(tmp_path, {"train": 20}, Looks(size=32)):
        single = [region for region in picture.regions if re.match("an? ", region.phrase)]
        assert [region.box for region in single] == [thing.box for thing in picture.objects]
        for region, thing in zip(single, picture.objects, strict=True):
            assert thing.category in region.phrase
        for region in picture.regions:
            x, y, width, height = region.box
            assert 0 <= x < x + width <= 32 and 0 <= y < y + height <= 32
            inside = [
                thing
                for thing in picture.objects
                if thing.category in region.phrase
                and thing.box[0] >= x - 0.01
                and thing.box[0] + thing.box[2] <= x + width + 0.02
                and thing.box[1] >= y - 0.01
                and thing.box[1] + thing.box[3] <= y + height + 0.02
            ]
            assert len(inside) >= NUMBERS[region.phrase.split()[0]]


def test_any_number_of_workers_gives_the_same_files(tmp_path: Path) -> None:
    numbers, looks = {"train": 5, "val": 2}, Looks(size=32)
    alone = generate(tmp_path / "1", numbers, looks, workers=1)
    together = generate(tmp_path / "2", numbers, looks, workers=2)
    assert alone == together
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert len(contents(tmp_path / "1")) == 7


def test_a_picture_does_not_depend_on_how_many_are_made(tmp_path: Path) -> None:
    few = generate(tmp_path / "few", {"train": 2, "val": 1}, Looks(size=32))
    many = generate(tmp_path / "many", {"train": 9, "val": 4}, Looks(size=32))
    assert set(few) < set(many)
    assert contents(tmp_path / "few").items() < contents(tmp_path / "many").items()


def test_the_seed_changes_pictures_and_captions(tmp_path: Path) -> None:
    one = generate(tmp_path / "1", {"train": 3}, Looks(size=32, seed=1))
    two = generate(tmp_path / "2", {"train": 3}, Looks(size=32, seed=2))
    assert all(a.captions != b.captions for a, b in zip(one, two, strict=True))
    assert not set(contents(tmp_path / "1").values()) & set(contents(tmp_path / "2").values())


def test_files_that_are_there_are_kept_and_broken_ones_redrawn(tmp_path: Path) -> None:
    folder = shapes.read(tmp_path, train=3, val=1, test=1, size=32).root
    before = contents(folder)
    kept, lost, empty = (folder / f"train/{k:06d}.jpg" for k in range(3))
    lost.unlink()
    empty.write_bytes(b"")
    os.utime(kept, (1, 1))
    shapes.read(tmp_path, train=3, val=1, test=1, size=32)
    assert contents(folder) == before
    assert kept.stat().st_mtime == 1
    assert lost.stat().st_mtime > 1


def test_another_look_is_another_folder(tmp_path: Path) -> None:
    def folder(**options: int) -> Path:
        return shapes.read(tmp_path, train=1, val=1, test=1, **options).root

    folders = [folder(size=32), folder(size=48), folder(size=32, seed=1), folder(size=32, most=3)]
    assert len(set(folders)) == 4
    assert folder(size=32) == folders[0]


def test_files_are_jpeg_of_the_size_asked_for(tmp_path: Path) -> None:
    collection = shapes.read(tmp_path, train=1, val=1, test=1, size=40)
    for picture in collection.pictures:
        with Image.open(collection.root / picture.file) as image:
            assert (image.format, image.size, image.mode) == ("JPEG", (40, 40), "RGB")
        assert (picture.width, picture.height) == (40, 40)


def test_nonsense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fewest=5 is more than most=4"):
        shapes.read(tmp_path, fewest=5, most=4)
    for options in ({"size": 3}, {"train": 0}, {"sise": 96}):
        with pytest.raises(ValueError, match=next(iter(options))):
            part_options.check("dataset", "shapes", options)


def test_nine_shapes_find_room(tmp_path: Path) -> None:
    for k in range(20):
        assert len(scene(Random(k), 9, 9).shapes) == 9
