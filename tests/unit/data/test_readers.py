"""The readers: one list of checks for all of them, then each one's own layouts and mistakes."""

import csv
import io
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snakecap import registry
from snakecap.config import options as part_options
from snakecap.config.data import Dataset
from snakecap.data import coco, flickr8k, folder, karpathy, raw
from snakecap.formats import pictures as records
from snakecap.formats.pictures import Collection
from snakecap.objects.object import Object
from snakecap.provenance import identity

SAID = ["a dog runs", "  un chien très rapide  ", "犬が走る", "a 🐕 runs", "two dogs, running!"]
KEPT = tuple(text.strip() for text in SAID)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"image")


def dump(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return path


def coco_captions(ids: list[int], said: list[str] = SAID) -> dict[str, Any]:
    images = [{"id": i, "file_name": f"{i:04d}.jpg", "width": 640, "height": 480} for i in ids]
    pairs = [(i, text) for text in said for i in ids]  # interleaved, as COCO's are
    rows = [{"id": n, "image_id": i, "caption": text} for n, (i, text) in enumerate(pairs)]
    return {"images": images, "annotations": rows}


def coco_instances(ids: list[int]) -> dict[str, Any]:
    rows = [
        {"id": 7, "image_id": ids[0], "category_id": 18, "bbox": [1, 2, 30.5, 40], "iscrowd": 0},
        {"id": 8, "image_id": ids[0], "category_id": 1, "bbox": [0, 0, 5, 5], "iscrowd": 1},
    ]
    images = [{"id": i, "file_name": f"{i:04d}.jpg"} for i in ids]
    categories = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
    return {"images": images, "annotations": rows, "categories": categories}


def make_coco(root: Path) -> dict[str, Any]:
    for name, ids in {"train2014": [9, 4, 6], "val2014": [5, 2]}.items():
        dump(root / f"annotations/captions_{name}.json", coco_captions(ids))
        dump(root / f"annotations/instances_{name}.json", coco_instances(ids))
        touch(*(root / name / f"{i:04d}.jpg" for i in ids))
    return {"instances": "annotations/instances_{name}.json"}


FLICKR = {"1#a.jpg": "train", "2_b.jpg": "val", "3_c.jpg": "test", "4_d.jpg": "extra"}


def make_flickr8k(root: Path) -> dict[str, Any]:
    lines = [f"{name}#{k}\t{text}" for name in FLICKR for k, text in enumerate(SAID)]
    (root / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for split, name in flickr8k.LISTS.items():
        chosen = [file for file, its in FLICKR.items() if its == split]
        (root / f"Flickr_8k.{name}.txt").write_text("\n".join(chosen) + "\n")
    touch(*(root / "Flicker8k_Dataset" / name for name in FLICKR))
    return {}


def make_karpathy(root: Path) -> dict[str, Any]:
    kinds = ["test", "train", "restval", "val"]
    rows = [
        {
            "filename": f"{i}.jpg",
            "filepath": "val2014",
            "imgid": i,
            "cocoid": 100 + i,
            "split": split,
            "sentences": [{"raw": text, "tokens": text.split()} for text in SAID],
        }
        for i, split in enumerate(kinds)
    ]
    dump(root / "dataset_coco.json", {"images": rows, "dataset": "coco"})
    touch(*(root / f"val2014/{i}.jpg" for i in range(4)))
    return {}


def make_raw(root: Path) -> dict[str, Any]:
    rows = [{"file_path": f"images/{i}.jpg", "captions": SAID, "id": 50 + i} for i in range(5)]
    dump(root / "coco_raw.json", rows)
    touch(*(root / f"images/{i}.jpg" for i in range(5)))
    return {"num_val": 1, "num_test": 2}


def make_folder(root: Path) -> dict[str, Any]:
    touch(*(root / name for name in ("b.JPG", "a.jpeg", "c.Png", "d.ppm", "notes.txt")))
    return {}


def make_shapes(root: Path) -> dict[str, Any]:
    return {"train": 2, "val": 1, "test": 1, "size": 32}


def make_vg_paragraphs(root: Path) -> dict[str, Any]:
    rows = [{"image_id": i, "url": "x", "paragraph": text} for text in SAID for i in (7, 8, 9)]
    dump(root / "paragraphs_v1.json", rows)
    for split, ids in {"train": [7], "val": [9], "test": [8]}.items():
        dump(root / f"{split}_split.json", ids)
    touch(root / "VG_100K/7.jpg", root / "VG_100K/8.jpg", root / "VG_100K_2/9.jpg")
    return {}


def make_vg_regions(root: Path) -> dict[str, Any]:
    box = {"x": 1, "y": 2, "width": 3, "height": 4.5}
    regions = [{"region_id": n, "phrase": text, **box} for n, text in enumerate(SAID)]
    rows = [{"id": i, "regions": regions} for i in (7, 8, 9)]
    dump(root / "region_descriptions.json", [*rows, {"image_id": 10, "regions": []}])
    touch(root / "VG_100K/7.jpg", root / "VG_100K/8.jpg", root / "VG_100K_2/9.jpg")
    dump(root / "splits.json", {"train": [7, 10], "val": [8], "test": [9]})
    return {"ids": "splits.json"}


def make_vist(root: Path) -> dict[str, Any]:
    for split, photos in {"train": ["7", "8"], "val": ["9"], "test": ["10"]}.items():
        lines = [[{"story_id": "1", "photo_flickr_id": i, "text": t}] for i in photos for t in SAID]
        dump(root / f"{split}.story-in-sequence.json", {"annotations": lines})
    touch(*(root / name for name in ("7.jpg", "9.png", "10.jpg")))
    return {"images": ""}


def make_msrvtt(root: Path) -> dict[str, Any]:
    splits = {7: "train", 8: "validate", 9: "train"}
    dump(
        root / "train_val_videodatainfo.json",
        {
            "videos": [{"video_id": f"video{i}", "split": s, "id": 0} for i, s in splits.items()],
            "sentences": [{"video_id": f"video{i}", "caption": t} for t in SAID for i in splits],
        },
    )
    touch(*(root / f"frames/{i:04d}:kf1.jpeg" for i in splits))
    return {"images": "frames/"}


def make_trecvid(root: Path) -> dict[str, Any]:
    touch(*(root / name for name in ("3:1.jpeg", "12:7.jpeg", "2:2.jpeg", "other.jpeg")))
    return {}


def make_picsom(root: Path) -> dict[str, Any]:
    lines = [" ".join([label, " # ".join(SAID)]) for label in ("00000001", "00000002", "00000004")]
    (root / "textdumps").mkdir()
    (root / "textdumps/gt-cooked.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (root / "classes").mkdir()
    for name, text in {
        "train": "# METACLASSFILE\nfirst\nsecond\n",
        "first": "# of one\n00000001\n",
        "second": "00000004\n00000005\n",
        "val": "00000002\n",
    }.items():
        (root / "classes" / name).write_text(text)
    return {"splits": {"train": "train", "val": "val"}}


def make_deepcaption(root: Path) -> dict[str, Any]:
    make_coco(root / "coco")
    make_vg_paragraphs(root / "vg")
    (root / "datasets").mkdir()
    (root / "datasets/datasets.conf").write_text(
        "# two\n[coco]\ndataset_class = CocoDataset\nroot_dir = coco\nfeatures_path = features/\n"
        "[coco:train2014]\ncaption_path = annotations/captions_train2014.json\n"
        "image_dir = train2014\n"
        "[coco:val2014]\ncaption_path = annotations/captions_val2014.json\nimage_dir = val2014\n"
        "[vgim2p]\ndataset_class = VisualGenomeIM2PDataset\nroot_dir = vg\n"
        "caption_path = paragraphs_v1.json\nimage_dir = VG_100K\n"
        "[vgim2p:train]\nsubset = train_split.json\n"
    )
    return {"sections": {"train": "coco:train2014+vgim2p:train", "val": "coco:val2014"}}


MAKERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "coco": make_coco,
    "flickr8k": make_flickr8k,
    "karpathy": make_karpathy,
    "neuraltalk2": make_raw,
    "folder": make_folder,
    "shapes": make_shapes,
    "vg_paragraphs": make_vg_paragraphs,
    "vg_regions": make_vg_regions,
    "vist": make_vist,
    "msrvtt": make_msrvtt,
    "trecvid": make_trecvid,
    "picsom": make_picsom,
    "deepcaption": make_deepcaption,
}
GENERATED = {"shapes"}
WITHOUT_CAPTIONS = {"folder", "trecvid"}
WITHOUT_IMAGES = {"picsom"}


def load(name: str, root: Path, **options: Any) -> Collection:
    return registry.load("dataset", name)(root, **options)


# --- every reader ------------------------------------------------------------


def test_every_reader_is_checked_here() -> None:
    assert set(MAKERS) == set(registry.DATASETS)


@pytest.mark.parametrize("name", MAKERS)
def test_what_every_reader_gives(name: str, tmp_path: Path) -> None:
    options = MAKERS[name](tmp_path)
    part_options.check("dataset", name, options)
    collection = load(name, tmp_path, **options)
    records.check(collection.pictures, name)
    assert collection.pictures
    for picture in collection.pictures:
        assert (collection.root / picture.file).is_file() or name in WITHOUT_IMAGES
        assert "\\" not in picture.file and not picture.file.startswith("/")
        if name in WITHOUT_CAPTIONS:
            assert picture.captions == ()
        elif name not in GENERATED:
            assert picture.captions == KEPT, "unicode is kept, white space around it is not (P10)"
    if name not in WITHOUT_CAPTIONS:
        assert all(collection.split(split) for split in ("train", "val"))
    assert load(name, tmp_path, **options) == collection, "reading twice gives the same"


@pytest.mark.parametrize("name", sorted(set(MAKERS) - GENERATED))
def test_every_reader_says_what_to_set_when_files_are_missing(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"set `root` of the data set|holds no image") as e:
        load(name, tmp_path)
    assert str(tmp_path) in str(e.value)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("coco", "annotations/captions_train2014.json"),
        ("coco", "annotations/instances_val2014.json"),
        ("karpathy", "dataset_coco.json"),
        ("neuraltalk2", "coco_raw.json"),
        ("vg_paragraphs", "paragraphs_v1.json"),
        ("vg_paragraphs", "val_split.json"),
        ("vg_regions", "region_descriptions.json"),
        ("vg_regions", "splits.json"),
        ("vist", "val.story-in-sequence.json"),
        ("msrvtt", "train_val_videodatainfo.json"),
        ("deepcaption", "datasets/datasets.conf"),
        ("deepcaption", "coco/annotations/captions_val2014.json"),
    ],
)
@pytest.mark.parametrize("text", ['{"images": [', '{"other": 1}', "[1]", "[]x", '{"images": [{}]}'])
def test_every_reader_names_the_file_that_is_malformed(
    name: str, file: str, text: str, tmp_path: Path
) -> None:
    options = MAKERS[name](tmp_path)
    (tmp_path / file).write_text(text)
    with pytest.raises(ValueError, match=Path(file).name):
        load(name, tmp_path, **options)


MORE = {  # options that name files
    "coco": [{"ids": "ids.json"}, {"karpathy": "karpathy.json"}],
    "flickr8k": [{"ids": "ids.json"}, {"lists": {"train": "Flickr_8k.trainImages.txt"}}],
    "neuraltalk2": [{"ids": "ids.json", "num_val": 0, "num_test": 0}],
}


@pytest.mark.parametrize("name", sorted(set(MAKERS) - GENERATED))
def test_every_reader_says_which_files_it_reads(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that it opens, whether it was named or found: a job depends on their contents."""
    given = MAKERS[name](tmp_path)
    dump(tmp_path / "ids.json", {"train": []})
    rows = [{"cocoid": i, "split": "train", "filename": f"{i}.jpg"} for i in (9, 4, 6, 5, 2)]
    dump(tmp_path / "karpathy.json", {"images": rows})
    plain = io.open
    for more in ({}, *MORE.get(name, [])):
        options = {**given, **more}
        opened: set[Path] = set()

        def watched(file: Any, *rest: Any, seen: set[Path] = opened, **others: Any) -> Any:
            seen.add(Path(file))
            return plain(file, *rest, **others)

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(io, "open", watched)
            load(name, tmp_path, **options)
        row = Dataset(reader=name, options=options)
        files, names = identity.sources(row, tmp_path)
        assert opened == set(files) and (files or names)
        before = identity.source_digest(row, tmp_path)
        for file in files:
            file.write_text(file.read_text() + " ")
            os.utime(file, ns=(1, 1))  # older than any result
            assert identity.source_digest(row, tmp_path) != before
            before = identity.source_digest(row, tmp_path)
    if names:
        touch(tmp_path / ("99:1.jpeg" if name == "trecvid" else "new.jpg"))
        assert identity.source_digest(row, tmp_path) != before
        touch(tmp_path / "new.txt")


def test_the_list_of_files_is_found_without_reading_the_rest(tmp_path: Path) -> None:
    """Whatever a caption says."""
    says = ('he says "file": "b.jpg", "root": "x"', 'a \\ and "file": "')
    files = ['a"b.jpg', "ü\\.jpg", "c.jpg"]
    rows = tuple(
        records.Picture(id=at, file=file, split="train", captions=says)
        for at, file in enumerate(files)
    )
    path = tmp_path / "pictures.json"
    records.write(path, Collection(Path('/a "root"'), rows), code="x")
    assert records.listed(path) == ('/a "root"', files)


# --- COCO ------------------------------------------------------------


def test_coco_2014(tmp_path: Path) -> None:
    pictures = coco.read(tmp_path, **make_coco(tmp_path)).pictures
    # Validation first, as NeuralTalk2's notebook: its random split depends on the order.
    assert [(p.id, p.split) for p in pictures] == [
        (5, "val"),
        (2, "val"),
        (9, "train"),
        (4, "train"),
        (6, "train"),
    ]
    assert pictures[0].file == "val2014/0005.jpg"
    assert (pictures[0].width, pictures[0].height) == (640, 480)
    assert pictures[0].objects == (
        Object("dog", (1.0, 2.0, 30.5, 40.0)),
        Object("person", (0.0, 0.0, 5.0, 5.0), crowd=True),
    )
    assert pictures[1].objects == ()


def test_coco_in_one_folder_of_images(tmp_path: Path) -> None:
    for name, ids in {"train": [1], "val": [2], "test": [3]}.items():
        dump(tmp_path / f"captions_{name}.json", coco_captions(ids))
        touch(tmp_path / f"images/{ids[0]:04d}.jpg")
    splits = {"train": "train", "val": "val", "test": "test"}
    collection = coco.read(
        tmp_path, splits=splits, captions="captions_{name}.json", images="images"
    )
    assert [(p.file, p.split) for p in collection.pictures] == [
        ("images/0002.jpg", "val"),
        ("images/0001.jpg", "train"),
        ("images/0003.jpg", "test"),
    ]


def test_coco_in_one_file(tmp_path: Path) -> None:
    """Anybody's own set: all pictures in one file, read once and split afterwards."""
    dump(tmp_path / "my.json", coco_captions([1, 2, 3, 4]))
    chosen = coco.read(tmp_path, captions="my.json", num_val=1, num_test=1).pictures
    assert sorted(picture.split for picture in chosen) == ["test", "train", "train", "val"]
    assert sorted(picture.file for picture in chosen) == [f"000{n}.jpg" for n in (1, 2, 3, 4)]
    found = coco.read(tmp_path, captions="my.json", images="photos").pictures
    assert (found[0].file, found[0].split) == ("photos/0001.jpg", "train")


def test_coco_without_pixels_or_without_captions(tmp_path: Path) -> None:
    make_coco(tmp_path)
    options: dict[str, Any] = {"splits": {"train": "train2014"}, "images": ""}
    layouts = coco.read(tmp_path, instances="annotations/instances_{name}.json", **options)
    assert layouts.pictures[0].file == "0009.jpg" and layouts.pictures[0].captions
    options |= {"captions": None, "instances": "annotations/instances_{name}.json"}
    boxes = coco.read(tmp_path, **options)
    assert boxes.pictures[0].objects and boxes.pictures[0].captions == ()
    with pytest.raises(ValueError, match="give `captions`, `instances`, or both"):
        coco.read(tmp_path, captions=None)


def test_coco_keeps_the_ids_of_its_categories(tmp_path: Path) -> None:
    options = make_coco(tmp_path)
    assert coco.read(tmp_path, **options).categories == {1: "person", 18: "dog"}
    assert coco.read(tmp_path).categories == {}
    value = coco_instances([5, 2])
    value["categories"][1]["name"] = "cat"
    dump(tmp_path / "annotations/instances_val2014.json", value)
    assert coco.read(tmp_path, **options).categories == {1: "person"}, "18 is two things"


def test_coco_as_tables_and_others_write_it(tmp_path: Path) -> None:
    """Numbers as floats, sizes that are not known, and categories by text."""
    options = make_coco(tmp_path)
    captions, instances = coco_captions([5, 2]), coco_instances([5, 2])
    for value in (captions, instances):
        value["images"] = [{**image, "id": float(image["id"])} for image in value["images"]]
        for row in value["annotations"]:
            row["image_id"] = float(row["image_id"])
    captions["images"][0] |= {"width": None, "height": None}
    captions["images"][1] |= {"width": 640.0, "height": 480.0}
    instances["categories"] = [{"id": "p", "name": "person"}, {"id": 18.0, "name": "dog"}]
    instances["annotations"][1]["category_id"] = "p"
    dump(tmp_path / "annotations/captions_val2014.json", captions)
    dump(tmp_path / "annotations/instances_val2014.json", instances)
    found = coco.read(tmp_path, **options)
    pictures = {p.id: p for p in found.split("val")}
    assert [type(key) for key in pictures] == [int, int]
    assert [(p.width, p.height) for p in pictures.values()] == [(0, 0), (640, 480)]
    assert [row.category for row in pictures[5].objects] == ["dog", "person"]
    assert found.categories == {1: "person", 18: "dog"}, "text is no number of a results file"
    records.write(tmp_path / "pictures.json", found)
    assert records.read(tmp_path / "pictures.json") == found


def test_coco_instances_of_other_pictures(tmp_path: Path, caplog: Any) -> None:
    options = make_coco(tmp_path)
    dump(tmp_path / "annotations/instances_val2014.json", coco_instances([77, 78]))
    message = r"instances_val2014\.json is of other pictures than .*captions_val2014\.json.* 77"
    with pytest.raises(ValueError, match=message):
        coco.read(tmp_path, **options)
    value = coco_instances([77, 5])
    value["annotations"].append({"id": 9, "image_id": 5, "category_id": 1, "bbox": [0, 0, 1, 1]})
    dump(tmp_path / "annotations/instances_val2014.json", value)
    found = coco.read(tmp_path, **options)
    assert "has objects of 1 pictures that are not in" in caplog.text and "(77)" in caplog.text
    assert [len(p.objects) for p in found.split("val")] == [1, 0]


def test_coco_splits_by_setting(tmp_path: Path) -> None:
    make_coco(tmp_path)
    random = coco.read(tmp_path, num_val=1, num_test=1)
    assert sorted(p.split for p in random.pictures) == ["test", "train", "train", "train", "val"]
    dump(tmp_path / "ids.json", {"train": [9], "test": [2]})
    assert [(p.id, p.split) for p in coco.read(tmp_path, ids="ids.json").pictures] == [
        (2, "test"),
        (9, "train"),
    ]


def test_coco_splits_are_the_same_in_any_order_of_the_setting(tmp_path: Path) -> None:
    """Settings travel as JSON with sorted keys."""
    make_coco(tmp_path)
    names = {"train": "train2014", "val": "val2014"}
    turned = dict(reversed(names.items()))
    assert coco.read(tmp_path, splits=names) == coco.read(tmp_path, splits=turned)
    with pytest.raises(ValueError, match=r"splits\.dev"):
        part_options.check("dataset", "coco", {"splits": {"dev": "val2014"}})


def test_coco_pictures_without_captions(tmp_path: Path) -> None:
    make_coco(tmp_path)
    value = coco_captions([1, 2])
    value["annotations"] = [row for row in value["annotations"] if row["image_id"] == 2]
    dump(tmp_path / "annotations/captions_val2014.json", value)
    with pytest.raises(ValueError, match=r"captions_val2014\.json: picture 1 has no captions"):
        coco.read(tmp_path)
    kept = coco.read(tmp_path, uncaptioned="keep").split("val")
    assert [(p.id, len(p.captions)) for p in kept] == [(1, 0), (2, 5)]
    assert [p.id for p in coco.read(tmp_path, uncaptioned="drop").split("val")] == [2]


def test_coco_annotations_that_point_nowhere(tmp_path: Path) -> None:
    options = make_coco(tmp_path)
    captions = coco_captions([1])
    captions["annotations"].append({"id": 99, "image_id": 404, "caption": "lost"})
    dump(tmp_path / "annotations/captions_val2014.json", captions)
    with pytest.raises(ValueError, match=r"val2014.*annotation 99 is of the unknown image 404"):
        coco.read(tmp_path)
    make_coco(tmp_path)
    instances = coco_instances([5, 2])
    instances["annotations"][1]["category_id"] = 77
    dump(tmp_path / "annotations/instances_val2014.json", instances)
    with pytest.raises(ValueError, match="annotation 8 has no category 77"):
        coco.read(tmp_path, **options)
    instances["annotations"][1] |= {"category_id": 1, "bbox": [1, 2, 3]}
    dump(tmp_path / "annotations/instances_val2014.json", instances)
    with pytest.raises(ValueError, match=r"annotations\.1\.bbox\.3: Field required \(in \[1, 2, 3"):
        coco.read(tmp_path, **options)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("categories", None, r"categories: .* valid list \(in None\)"),
        ("categories", [{"id": 1}], r"categories\.0\.name: Field required"),
        (
            "categories",
            [{"id": [1], "name": "dog"}],
            r"s\.0\.id: an id is a whole number or text \(in \[",
        ),
        ("categories", [{"id": 1, "name": 3}], r"categories\.0\.name: .* valid string \(in 3\)"),
        ("images", 5, r"images: .* valid list \(in 5\)"),
        ("annotations", {}, r"annotations: .* valid list \(in {}\)"),
        (
            "annotations",
            [{"image_id": 5, "category_id": 1, "bbox": [1, 2, "a", 4]}],
            r"0\.bbox\.2: ",
        ),
        (
            "annotations",
            [{"image_id": 5, "category_id": [1], "bbox": [1] * 4}],
            r"0\.category_id: an",
        ),
    ],
)
def test_coco_files_that_are_something_else(
    tmp_path: Path, key: str, value: Any, message: str
) -> None:
    options = make_coco(tmp_path)
    dump(tmp_path / "annotations/instances_val2014.json", {**coco_instances([5, 2]), key: value})
    with pytest.raises(ValueError, match=rf"instances_val2014\.json.*{message}"):
        coco.read(tmp_path, **options)


@pytest.mark.parametrize("option", ["captions", "instances", "images"])
@pytest.mark.parametrize("pattern", ["x_{split}", "x_{}", "x_{name", "{name.x}", "{name[x]}"])
def test_coco_names_are_filled_in_by_name_alone(tmp_path: Path, option: str, pattern: str) -> None:
    make_coco(tmp_path)
    with pytest.raises(ValueError, match=rf"the option {option} is .*{{name}} alone"):
        coco.read(tmp_path, **{option: pattern})


def test_coco_repeated_images(tmp_path: Path) -> None:
    make_coco(tmp_path)
    dump(tmp_path / "annotations/captions_val2014.json", coco_captions([2, 2]))
    with pytest.raises(ValueError, match="two images have the id 2"):
        coco.read(tmp_path)
    # In two files it shows when the records are written.
    dump(tmp_path / "annotations/captions_val2014.json", coco_captions([9]))
    with pytest.raises(ValueError, match="two pictures have the id '9'"):
        records.write(tmp_path / "pictures.json", coco.read(tmp_path))


# --- Flickr8k and Flickr30k ------------------------------------------------------------


def test_flickr8k_lists(tmp_path: Path) -> None:
    make_flickr8k(tmp_path)
    pictures = flickr8k.read(tmp_path).pictures
    assert {p.file.split("/")[1]: p.split for p in pictures} == FLICKR
    assert [p.id for p in pictures] == [1, 2, 3, 4]


def kaggle(root: Path, rows: list[tuple[str, str]]) -> None:
    with (root / "captions.txt").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "caption"), *rows])


def test_flickr8k_of_kaggle(tmp_path: Path) -> None:
    rows = [(f"{i}.jpg", text) for i in "ba" for text in ('say "hi", please .', "plain .")]
    kaggle(tmp_path, rows)
    with (tmp_path / "captions.txt").open("a", encoding="utf-8") as file:
        file.write("c.jpg,no quotes, but commas, many .\n")
    touch(*(tmp_path / f"Images/{i}.jpg" for i in "abc"))
    pictures = flickr8k.read(tmp_path, num_val=1, num_test=1).pictures
    said = {p.file: p.captions for p in pictures}
    assert said == {
        "Images/a.jpg": ('say "hi", please .', "plain ."),
        "Images/b.jpg": ('say "hi", please .', "plain ."),
        "Images/c.jpg": ("no quotes, but commas, many .",),
    }
    assert {p.file: p.id for p in pictures} == {
        f"Images/{i}.jpg": n for n, i in enumerate("abc", 1)
    }


def test_flickr8k_quotes_that_nobody_closed(tmp_path: Path) -> None:
    """They must not swallow the lines that follow."""
    text = 'image,caption\na.jpg,"A ""big"", dog"\na.jpg,"half a, quote\nb.jpg,b"ad"\nb.jpg,"x" y\n'
    (tmp_path / "captions.txt").write_text(text)
    touch(tmp_path / "Images/a.jpg", tmp_path / "Images/b.jpg")
    said = {p.file: p.captions for p in flickr8k.read(tmp_path, num_val=1).pictures}
    assert said == {
        "Images/a.jpg": ('A "big", dog', "half a, quote"),
        "Images/b.jpg": ('b"ad"', "x y"),
    }
    # Two of them, between which a reader of CSV sees one caption of several lines.
    (tmp_path / "captions.txt").write_text('image,caption\na.jpg,"one\nb.jpg,two\na.jpg,three"\n')
    said = {p.file: p.captions for p in flickr8k.read(tmp_path, num_val=1).pictures}
    assert said == {"Images/a.jpg": ("one", 'three"'), "Images/b.jpg": ("two",)}


def test_flickr8k_a_caption_of_two_lines(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text('image,caption\na.jpg,"A dog\nruns , fast ."\nb.jpg,x\n')
    touch(tmp_path / "Images/a.jpg", tmp_path / "Images/b.jpg")
    said = {p.file: p.captions for p in flickr8k.read(tmp_path, num_val=1).pictures}
    assert said == {"Images/a.jpg": ("A dog\nruns , fast .",), "Images/b.jpg": ("x",)}


def test_flickr8k_a_bar_in_a_caption_is_no_flickr30k(tmp_path: Path) -> None:
    (tmp_path / "Flickr8k.token.txt").write_text("a.jpg#0\tA dog | cat\nb.jpg#0\tTwo\n")
    touch(tmp_path / "Images/a.jpg", tmp_path / "Images/b.jpg")
    pictures = flickr8k.read(tmp_path, num_val=1).pictures
    assert {p.captions for p in pictures} == {("A dog | cat",), ("Two",)}


def test_flickr8k_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_bytes("image,caption\na.jpg,ein Stück\n".encode("latin-1"))
    touch(tmp_path / "Images/a.jpg")
    with pytest.raises(ValueError, match=r"captions\.txt is not in UTF-8"):
        flickr8k.read(tmp_path, num_val=1)


def test_flickr30k_in_both_layouts(tmp_path: Path) -> None:
    token, bars = tmp_path / "token", tmp_path / "bars"
    touch(token / "flickr30k-images/1.jpg", bars / "flickr30k_images/flickr30k_images/1.jpg")
    (token / "results_20130124.token").write_text("1.jpg#0\tTwo men .\n1.jpg#1\tA #1 fan .\n")
    (bars / "flickr30k_images/results.csv").write_text(
        "image_name| comment_number| comment\n1.jpg| 0| Two men .\n1.jpg| 4   A #1 fan .\n"
    )
    dump(token / "k.json", {"images": [{"filename": "1.jpg", "split": "train"}]})
    dump(bars / "k.json", {"images": [{"filename": "1.jpg", "split": "train"}]})
    for root in (token, bars):
        picture = flickr8k.read(root, karpathy="k.json").pictures[0]
        assert picture.captions == ("Two men .", "A #1 fan .")
        assert (root / picture.file).is_file()


def test_flickr8k_without_a_split(tmp_path: Path) -> None:
    make_flickr8k(tmp_path)
    (tmp_path / "Flickr_8k.devImages.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks Flickr_8k\.devImages\.txt: set .*`lists`"):
        flickr8k.read(tmp_path)


def test_flickr8k_lists_that_do_not_fit(tmp_path: Path) -> None:
    make_flickr8k(tmp_path)
    (tmp_path / "mine.txt").write_text("1#a.jpg\nghost.jpg\n")
    with pytest.raises(ValueError, match=r"mine\.txt names 1 .* such as name ghost\.jpg"):
        flickr8k.read(tmp_path, lists={"train": "mine.txt"})
    (tmp_path / "mine.txt").write_text("1#a.jpg\n")
    with pytest.raises(ValueError, match=r"mine\.txt: '1#a\.jpg' is in two splits"):
        flickr8k.read(tmp_path, lists={"train": "mine.txt", "val": "mine.txt"})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("Flickr8k.token.txt", "a.jpg#0\tfine\nno tab here\n", "line 2: no tab"),
        ("captions.txt", "image,caption\nno comma here\n", "line 2: no comma"),
        ("results.csv", "image_name| n| c\na.jpg| x| fine\n", "line 2: no number"),
        ("captions.txt", "image,caption\n", "holds no captions"),
    ],
)
def test_flickr8k_lines_that_cannot_be_read(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    touch(tmp_path / "Images/a.jpg")
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        flickr8k.read(tmp_path, num_val=1)
    assert name in str(caught.value)


# --- Karpathy ------------------------------------------------------------


def test_karpathy_restval(tmp_path: Path) -> None:
    make_karpathy(tmp_path)
    splits = {
        how: [(p.id, p.split) for p in karpathy.read(tmp_path, restval=how).pictures]
        for how in ("train", "extra", "drop")
    }
    others = [(100, "test"), (101, "train"), (103, "val")]
    assert sorted(splits["train"]) == sorted([*others, (102, "train")])
    assert sorted(splits["extra"]) == sorted([*others, (102, "extra")])
    assert splits["drop"] == others


def test_karpathy_of_flickr(tmp_path: Path) -> None:
    """No filepath, no cocoid."""
    row = {"filename": "1.jpg", "imgid": 7, "split": "val", "sentences": [{"raw": " A dog .\n"}]}
    dump(tmp_path / "dataset_flickr8k.json", {"images": [row]})
    picture = karpathy.read(tmp_path, images="Images").pictures[0]
    assert (picture.id, picture.file, picture.captions) == (7, "Images/1.jpg", ("A dog .",))


def test_karpathy_mistakes(tmp_path: Path) -> None:
    make_karpathy(tmp_path)
    dump(tmp_path / "dataset_flickr8k.json", {"images": []})
    with pytest.raises(FileNotFoundError, match=r"dataset_coco\.json, dataset_flickr8k\.json"):
        karpathy.read(tmp_path)
    row = {"filename": "1.jpg", "imgid": 7, "split": "dev", "sentences": [{"raw": "a"}]}
    dump(tmp_path / "dataset_flickr8k.json", {"images": [row]})
    with pytest.raises(ValueError, match=r"flickr8k\.json .*images\.0\.split: .*\(in dev\)"):
        karpathy.read(tmp_path, annotations="dataset_flickr8k.json")


# --- NeuralTalk2's raw JSON ------------------------------------------------------------


def test_raw_with_and_without_ids(tmp_path: Path) -> None:
    """P1: a list of file_path, captions and an optional id."""
    rows = [{"file_path": "a.jpg", "captions": ["x"]}, {"file_path": "b.jpg", "captions": ["y"]}]
    dump(tmp_path / "mine.json", rows)
    options: dict[str, Any] = {"annotations": "mine.json", "num_val": 1, "num_test": 0}
    pictures = raw.read(tmp_path, images="img", **options).pictures
    assert {p.file: p.id for p in pictures} == {"img/a.jpg": 1, "img/b.jpg": 2}
    rows[0]["id"] = "first"
    dump(tmp_path / "mine.json", rows)
    assert {p.id for p in raw.read(tmp_path, **options).pictures} == {"first", 2}


def test_raw_split_by_path(tmp_path: Path) -> None:
    """O3: OBJ2TEXT's official split."""
    paths = ["train2014/a.jpg", "val2014/b.jpg", "test2014/c.jpg", "mine/d.jpg"]
    dump(tmp_path / "raw.json", [{"file_path": path, "captions": ["x"]} for path in paths])
    found = raw.read(tmp_path, by_path=True).pictures
    assert [(p.file, p.split) for p in found] == list(
        zip(paths, ("train", "val", "test", "train"), strict=True)
    )
    with pytest.raises(ValueError, match=r"names 1 pictures that the data set lacks"):
        dump(tmp_path / "ids.json", {"train": [99]})
        raw.read(tmp_path, by_path=True, ids="ids.json")


@pytest.mark.parametrize("captions", [[], ["", " \n"], None, "a dog", [3]])
def test_raw_missing_captions_name_the_picture(tmp_path: Path, captions: Any) -> None:
    """P1 and the empty captions of NeuralTalk2's issue 204."""
    rows = [{"file_path": "a.jpg", "captions": ["x"]}, {"file_path": "dir/b.jpg"}]
    if captions is not None:
        rows[1]["captions"] = captions
    dump(tmp_path / "coco_raw.json", rows)
    with pytest.raises(ValueError, match=r"coco_raw\.json.*(picture 'dir/b\.jpg'|2\.captions)"):
        raw.read(tmp_path)


def test_one_empty_caption_among_others_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"file_path": f"{i}.jpg", "captions": ["a dog", " "]} for i in range(2)]
    dump(tmp_path / "coco_raw.json", rows)
    with caplog.at_level(logging.WARNING, "snakecap"):
        pictures = raw.read(tmp_path, num_val=1, num_test=0).pictures
    assert pictures[0].captions == ("a dog",)
    assert "'0.jpg' has an empty caption" in caplog.text


def test_raw_defaults_need_a_large_data_set(tmp_path: Path) -> None:
    make_raw(tmp_path)
    with pytest.raises(ValueError, match="num_val=5000 and num_test=5000 leave none of the 5"):
        raw.read(tmp_path)


def test_coco_to_raw_is_validation_first(tmp_path: Path) -> None:
    """P11: two caption files to one list; of COCO 2014 it has 40,504 + 82,783 entries."""
    train, val = list(range(100, 183)), list(range(1, 41))
    for name, ids in {"train2014": train, "val2014": val}.items():
        dump(tmp_path / f"annotations/captions_{name}.json", coco_captions(ids))
        (tmp_path / name).mkdir()
    dump(tmp_path / "coco_raw.json", raw.rows(coco.read(tmp_path).pictures))
    rows = json.loads((tmp_path / "coco_raw.json").read_text(encoding="utf-8"))
    assert len(rows) == 83 + 40
    assert [row["id"] for row in rows] == val + train
    assert rows[0] == {"file_path": "val2014/0001.jpg", "id": 1, "captions": list(KEPT)}
    assert rows[40]["file_path"] == "train2014/0100.jpg"
    again = raw.read(tmp_path, num_val=5, num_test=5).pictures
    assert {p.id: p.captions for p in again} == {row["id"]: KEPT for row in rows}


# --- a folder of images ------------------------------------------------------------


def test_folder_takes_every_ending_in_any_case_and_sorts(tmp_path: Path) -> None:
    """L3: jpg, jpeg, png, ppm in any case; sorted; id and path reported."""
    make_folder(tmp_path)
    touch(tmp_path / "sub/e.jpg")
    (tmp_path / "folder.jpg").mkdir()
    found = [(p.id, p.file, p.split) for p in folder.read(tmp_path).pictures]
    assert found == [
        (1, "a.jpeg", "test"),
        (2, "b.JPG", "test"),
        (3, "c.Png", "test"),
        (4, "d.ppm", "test"),
    ]
    deep = [p.file for p in folder.read(tmp_path, recursive=True, split="val").pictures]
    assert deep == ["a.jpeg", "b.JPG", "c.Png", "d.ppm", "sub/e.jpg"]
    assert [p.file for p in folder.read(tmp_path, images="sub").pictures] == ["sub/e.jpg"]


def test_folder_with_a_list_of_ids(tmp_path: Path) -> None:
    """L4: list, order and ids come from the file."""
    make_folder(tmp_path)
    rows = [{"id": 391895, "file_name": "c.Png"}, {"id": 7, "file_name": "a.jpeg"}]
    dump(tmp_path / "info.json", {"images": rows})
    found = [(p.id, p.file) for p in folder.read(tmp_path, coco_json="info.json").pictures]
    assert found == [(391895, "c.Png"), (7, "a.jpeg")]
    dump(tmp_path / "info.json", {"images": [{"id": 1}]})
    with pytest.raises(ValueError, match=r"info\.json is not a list of .*images\.0\.file_name"):
        folder.read(tmp_path, coco_json="info.json")


def test_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(FileNotFoundError, match="holds no image"):
        folder.read(tmp_path)
