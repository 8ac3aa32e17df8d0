"""`a+b`: several data sets as one (D3)."""

import os
from pathlib import Path

import pytest

from snakecap.data.joined import joined as combine
from snakecap.formats import pictures as records
from snakecap.formats.pictures import Collection, Picture
from snakecap.steps import combine as stage


def collection(root: str, *ids: int | str, split: str = "train") -> Collection:
    pictures = tuple(Picture(i, f"img/{i}.jpg", split, (f"caption {i}",)) for i in ids)
    return Collection(Path(root), pictures)


def test_every_picture_and_caption_is_kept_in_order() -> None:
    joined = combine({"a": collection("d/a", 1, 2), "b": collection("d/b", 3, split="test")})
    assert joined.root == Path("d")
    assert [(p.id, p.file, p.split) for p in joined.pictures] == [
        (1, "a/img/1.jpg", "train"),
        (2, "a/img/2.jpg", "train"),
        (3, "b/img/3.jpg", "test"),
    ]
    assert [p.captions for p in joined.pictures] == [(f"caption {i}",) for i in (1, 2, 3)]


def test_ids_that_collide_get_their_data_sets_name() -> None:
    """Also when one is a number and the other a text: COCO's results JSON could not tell."""
    for other in (1, "1"):
        joined = combine({"a": collection("d/a", 1, 2), "b": collection("d/b", other)})
        assert [p.id for p in joined.pictures] == ["a:1", "a:2", "b:1"]
        records.check(joined.pictures, "joined")


@pytest.mark.parametrize(
    ("one", "two", "root"),
    [
        ("/data/a", "/data/b", "/data"),
        ("/data/a", "/elsewhere/b", "/"),
        ("/data", "/data/b", "/data"),
        ("d/../e/a", "e/b", "e"),
        ("a", "b", "."),
        (".", "b", "."),
    ],
)
def test_files_are_found_from_the_shared_root(one: str, two: str, root: str) -> None:
    parts = {"a": collection(one, 1), "b": collection(two, 2)}
    joined = combine(parts)
    assert joined.root == Path(root)
    expected = [(c.root / p.file).absolute() for c in parts.values() for p in c.pictures]
    found = [(joined.root / p.file).absolute() for p in joined.pictures]
    assert [os.path.normpath(path) for path in found] == [
        os.path.normpath(path) for path in expected
    ]


def test_relative_and_absolute_roots_together(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    joined = combine({"a": collection("a", 1), "b": collection(str(tmp_path / "b"), 2)})
    assert joined.root == tmp_path
    assert [p.file for p in joined.pictures] == ["a/img/1.jpg", "b/img/2.jpg"]


def test_an_image_in_both_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"img/1\.jpg is in both a and b"):
        combine({"a": collection("d", 1), "b": collection("d", 1, split="test")})


def test_the_stage_names_data_sets_by_their_folders(tmp_path: Path) -> None:
    paths = [tmp_path / name / "pictures.json" for name in ("one", "two")]
    for path in paths:
        records.write(path, collection(str(path.parent), 1))
    output = tmp_path / "one+two" / "pictures.json"
    stage.combine(inputs=paths, pictures=output)
    assert [p.id for p in records.read(output).pictures] == ["one:1", "two:1"]
    stage.combine(inputs=paths, pictures=output, names=["x", "y"])
    assert [p.id for p in records.read(output).pictures] == ["x:1", "y:1"]
    with pytest.raises(ValueError, match="one distinct name for each input"):
        stage.combine(inputs=[paths[0], paths[0]], pictures=output)
