"""Names of object categories: COCO's 80, their ids in COCO (1..90) and darknet's other spellings.

Source: instances_val2017.json; darknet/data/coco.names (the same order, six other spellings).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from types import MappingProxyType

# In the order of their ids from 1; ten ids were never used.
_IN_ORDER = """
person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,,stop sign,
parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,,backpack,umbrella,,,
handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,
surfboard,tennis racket,bottle,,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,
broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,,dining table,,,toilet,,tv,
laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,,book,clock,vase,
scissors,teddy bear,hair drier,toothbrush
"""
COCO = {
    number: name
    for number, name in enumerate(_IN_ORDER.replace("\n", "").split(","), start=1)
    if name
}
NAMES = tuple(COCO.values())
IDS = {name: number for number, name in COCO.items()}
DARKNET = {
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
}


def canonical(name: str) -> str:
    """COCO's spelling of a category; a name that is not COCO's stays as it is."""
    return DARKNET.get(name, name)


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """The categories of a data set: COCO's 80 when all are among them, else these, sorted."""
    found = {canonical(name) for name in names}
    return NAMES if found <= IDS.keys() else tuple(sorted(found))


def unambiguous(tables: Iterable[Mapping[int, str]]) -> dict[int, str]:
    """Names by id, of several files; without ids that mean one category here and another there."""
    meant: dict[int, set[str]] = {}
    for table in tables:
        for number, name in table.items():
            meant.setdefault(number, set()).add(canonical(name))
    return {number: names.pop() for number, names in meant.items() if len(names) == 1}


def ids(names: Sequence[str], own: Mapping[int, str] = MappingProxyType({})) -> list[int]:
    """The ids of categories in COCO's formats; no two have the same.

    Args:
        own: names by the ids that the data set has for them. The others have COCO's when all of
            `names` are COCO's, else 1, 2, ...; or higher ones, where the data set has those.
    """
    numbers = {canonical(name): number for number, name in own.items()}
    coco = all(name in IDS for name in names)
    usual = [IDS[name] if coco else place for place, name in enumerate(names, start=1)]
    free = count(max([*own, *usual], default=0) + 1)
    return [
        numbers[name] if name in numbers else next(free) if number in own else number
        for name, number in zip(names, usual, strict=True)
    ]
