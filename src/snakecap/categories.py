"""Names of object categories: COCO's 80, their ids in COCO (1..90) and darknet's other spellings.

Source: instances_val2017.json; darknet/data/coco.names (the same order, six other spellings).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


def ids(names: Sequence[str]) -> list[int]:
    """The ids that COCO's formats use: COCO's own for its names, else 1, 2, ..."""
    if all(name in IDS for name in names):
        return [IDS[name] for name in names]
    return list(range(1, len(names) + 1))
