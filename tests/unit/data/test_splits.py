"""Splits: NeuralTalk2's shuffle, lists of ids, Karpathy's file."""

import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from snakecap.data import splits
from snakecap.formats.pictures import Picture


def pictures(count: int) -> list[Picture]:
    return [Picture(id=i, file=f"images/{i}.jpg", split="train") for i in range(1, count + 1)]


class Fixed(Random):
    """`random()` always gives the same number."""

    def __init__(self, value: float):
        super().__init__(0)
        self.value = value

    def random(self) -> float:
        return self.value


def test_the_shuffle_is_python_2s() -> None:
    """Its draws, worked out by hand: j = int(random() * (i + 1)) for i from the last down to 1."""
    items = pictures(4)
    assert splits.shuffle(items, Fixed(0.999)) == items, "j = i: nothing moves"
    # j = 0: swap 3-0, 2-0, 1-0 of 1 2 3 4 -> 4 2 3 1 -> 3 2 4 1 -> 2 3 4 1
    assert [p.id for p in splits.shuffle(items, Fixed(0.0))] == [2, 3, 4, 1]
    # j = 2, 1, 1: swap 3-2 -> 1 2 4 3, swap 2-1 -> 1 4 2 3, swap 1-1.
    assert [p.id for p in splits.shuffle(items, Fixed(0.5))] == [1, 4, 2, 3]


def test_the_shuffle_is_not_python_3s() -> None:
    """Python 3 draws whole bits; a split made with it would be another one."""
    ours = [p.id for p in splits.shuffle(pictures(50), Random(123))]
    theirs = list(range(1, 51))
    Random(123).shuffle(theirs)
    assert sorted(ours) == sorted(theirs) and ours != theirs


def test_first_val_then_test_then_train() -> None:
    """P4: in shuffled order the first num_val are val, the next num_test test, the rest train."""
    chosen = splits.at_random(pictures(20), num_val=3, num_test=5, seed=123)
    assert [p.split for p in chosen] == ["val"] * 3 + ["test"] * 5 + ["train"] * 12
    assert {p.id for p in chosen} == set(range(1, 21))
    assert [p.id for p in chosen] == [p.id for p in splits.shuffle(pictures(20), Random(123))]


def test_the_seed_decides_the_split() -> None:
    def test_ids(seed: int) -> set[object]:
        return {p.id for p in splits.at_random(pictures(50), 10, 10, seed) if p.split == "test"}

    assert test_ids(1) == test_ids(1)
    assert test_ids(1) != test_ids(2)


def test_a_split_that_leaves_no_training_picture() -> None:
    with pytest.raises(ValueError, match="num_val=5 and num_test=5 leave none of the 10 pictures"):
        splits.at_random(pictures(10), 5, 5, 123)


def test_lists_of_ids_choose_and_split(tmp_path: Path) -> None:
    (tmp_path / "ids.json").write_text(json.dumps({"test": [3], "train": [4, 1]}))
    chosen = splits.choose(tmp_path, pictures(5), ids="ids.json")
    assert [(p.id, p.split) for p in chosen] == [(1, "train"), (3, "test"), (4, "train")]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"train": [1], "dev": [2]}, "dev.*Input should be 'train'"),
        ({"train": [1, 99]}, "such as id 99"),
        ({"train": [1], "val": [1]}, "1 is in two splits"),
        ([1, 2], ": Input should be a valid dictionary"),
    ],
)
def test_wrong_lists_of_ids(tmp_path: Path, lists: object, message: str) -> None:
    (tmp_path / "ids.json").write_text(json.dumps(lists))
    with pytest.raises(ValueError, match=rf"ids\.json.*{message}"):
        splits.choose(tmp_path, pictures(5), ids="ids.json")


def karpathy(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text(json.dumps({"images": rows}))
    return path.name


def test_karpathys_split_by_coco_id_or_by_name(tmp_path: Path) -> None:
    kinds = ["train", "restval", "val", "test"]
    by_id = [{"cocoid": i, "filename": "x", "split": s} for i, s in enumerate(kinds, start=1)]
    by_name = [{"filename": f"{i}.jpg", "split": s} for i, s in enumerate(kinds, start=1)]
    for rows in (by_id, by_name):
        name = karpathy(tmp_path / "dataset.json", rows)
        chosen = splits.choose(tmp_path, pictures(5), karpathy=name)
        assert Counter(p.split for p in chosen) == {"train": 2, "val": 1, "test": 1}
        assert [p.id for p in chosen] == [1, 2, 3, 4], "what he does not name is left out"


def test_karpathys_split_of_another_data_set(tmp_path: Path) -> None:
    name = karpathy(tmp_path / "dataset.json", [{"cocoid": 77, "filename": "x", "split": "val"}])
    with pytest.raises(ValueError, match="lacks, such as id 77: is it the split of another"):
        splits.choose(tmp_path, pictures(5), karpathy=name)
    with pytest.raises(ValueError, match="not one of Karpathy's"):
        splits.choose(tmp_path, pictures(5), karpathy=karpathy(tmp_path / "d.json", []))


def test_only_one_kind_of_split(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ids and num_val or num_test each choose a split"):
        splits.choose(tmp_path, pictures(5), ids="ids.json", num_val=1)


def test_none_asked_for_keeps_the_data_sets_own(tmp_path: Path) -> None:
    assert splits.choose(tmp_path, pictures(5)) == tuple(pictures(5))
