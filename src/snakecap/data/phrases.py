"""What people would say of a generated scene: captions or paragraphs, and phrases of regions.

The five captions of a scene agree on what there is (counts, colours, shapes, the largest group
first) and differ in how they say it, as those of COCO do; and so do its paragraphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from snakecap.data.scene import Group, Scene, Shape

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CAPTIONS = 5


def captions(scene: Scene, random: Random) -> tuple[str, ...]:
    """Five different captions of a scene."""
    groups = _largest_first(scene)
    names = joined([phrase(group) for group in groups])
    sized = joined([phrase(group, size=True) for group in groups])
    several = sum(group.count for group in scene.groups)
    verb = "is" if groups[0].count == 1 else "are"
    place = f"on a {scene.background} background"
    common = [
        f"{names}.",
        f"there {verb} {names}.",
        f"a picture of {names}.",
        f"{names} {place}.",
        f"{sized}.",
        f"{number(several)} shapes, {names}.",
    ]
    related = _related(scene)
    chosen = random.sample(common, CAPTIONS - min(len(related), 2))
    chosen += random.sample(related, CAPTIONS - len(chosen))
    random.shuffle(chosen)
    return tuple(chosen)


def _largest_first(scene: Scene) -> list[Group]:
    """The groups as one sees them: a large shape counts for four small ones."""
    return sorted(scene.groups, key=lambda one: -one.count * (4 if one.size == "large" else 1))


def paragraphs(scene: Scene, random: Random) -> tuple[str, ...]:
    """Five different paragraphs: a sentence on the whole, and one on each group."""
    count = sum(group.count for group in scene.groups)
    shapes = f"{number(count)} shape{'s' * (count > 1)}"
    openings = [
        f"there {'are' if count > 1 else 'is'} {shapes}.",
        f"a picture of {shapes}.",
        f"{shapes} on a {scene.background} background.",
        f"the background is {scene.background}.",
        "a picture of some groups of shapes.",
    ]
    random.shuffle(openings)
    groups = [_about(group, scene) for group in _largest_first(scene)]
    return tuple(" ".join([one, *map(random.choice, groups)]) for one in openings)


def _about(group: Group, scene: Scene) -> list[str]:
    """Sentences on a group; where it is, if that is clear to see."""
    verb = "is" if group.count == 1 else "are"
    name, sized = phrase(group), phrase(group, size=True)
    said = [f"there {verb} {name}.", f"we see {sized}.", f"{sized} can be seen."]
    if scene.arrangement == "scattered" or len(scene.groups) == 1:
        return said
    columns = scene.arrangement == "columns"
    first, last = ("on the left", "on the right") if columns else ("at the top", "at the bottom")
    place = {scene.groups[0]: first, scene.groups[-1]: last}.get(group, "in the middle")
    return [*said, f"{name} {verb} {place}.", f"{place} {verb} {name}."]


def _related(scene: Scene) -> list[str]:
    """Captions that say where the groups are; none when that is not clear to see."""
    if scene.arrangement == "scattered" or len(scene.groups) == 1:
        return []
    columns = scene.arrangement == "columns"
    before, after = ("left of", "right of") if columns else ("above", "below")
    names = [phrase(group) for group in scene.groups]
    return [
        f"{names[0]} {before} {joined(names[1:])}.",
        f"{names[-1]} {after} {joined(names[:-1])}.",
    ]


def phrase(group: Group, *, size: bool = False, count: int | None = None) -> str:
    """``two red circles``; with its size, ``two small red circles``."""
    count = group.count if count is None else count
    words = [number(count) if count > 1 else "a"]
    words += [group.size] * size
    words += [group.colour, group.kind + "s" * (count > 1)]
    return article(" ".join(words))


def article(text: str) -> str:
    """``a orange`` to ``an orange``."""
    return "an" + text[1:] if text.startswith("a ") and text[2] in "aeiou" else text


def number(count: int) -> str:
    """A count as a word."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def joined(phrases: Sequence[str]) -> str:
    """``a, b and c``."""
    if len(phrases) == 1:
        return phrases[0]
    return ", ".join(phrases[:-1]) + " and " + phrases[-1]


def regions(scene: Scene) -> list[tuple[str, list[Shape]]]:
    """Phrases and the shapes that each is about: every shape, and every group of several."""
    found = []
    for index, group in enumerate(scene.groups):
        members = [shape for shape in scene.shapes if shape.group == index]
        found += [(phrase(group, size=True, count=1), [shape]) for shape in members]
        if len(members) > 1:
            found.append((phrase(group, size=True), members))
    return found


def shapes(scene: Scene) -> list[tuple[str, list[Shape]]]:
    """Two words for every shape, ``red circle``: each right word is half of the phrase."""
    return [(f"{shape.colour} {shape.kind}", [shape]) for shape in scene.shapes]
